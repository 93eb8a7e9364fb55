//! The Queue on RabbitMQ, from release 3.10 on.
//!
//! # Layout
//!
//! - [`settings`]: how to reach a broker
//! - [`topology`]: the queues and their arguments
//! - [`connect`], [`link`]: a connection, and one that is kept up
//! - [`publisher`]: from `publish` to the broker's confirm
//! - [`intake`], [`held`]: from the broker to `next`, and back by ack or drop
//! - [`parked`]: what could not be read, taken up after an upgrade

mod connect;
mod held;
mod intake;
mod link;
mod parked;
mod publisher;
mod settings;
mod topology;

use std::sync::Arc;

use async_trait::async_trait;
use lapin::ErrorKind;
use lapin::types::ShortString;
use proto::Envelope;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

pub use settings::{PREFIX, RabbitSettings, RabbitSettingsError, RabbitTimes, RabbitTls};

use crate::health::Health;
use crate::queue::{Delivery, Lane, Queue, QueueError};
use intake::Intake;
use link::Link;
use publisher::Publisher;
use topology::Queues;

/// What went wrong, in the broker's words where it has any.
fn cause(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(said) => said.get_message().to_string(),
        ErrorKind::IOError(error) => error.to_string(),
        _ => error.to_string(),
    }
}

/// A [`Queue`] on a broker, over two connections: one to take and to ack, one to publish.
///
/// It is there at once, whether the broker is or not. Meanwhile `next` waits, and the other verbs wait for
/// [`RabbitTimes::answer`]; `health` says what is wrong.
pub struct RabbitQueue {
    address: String,
    times: RabbitTimes,
    queues: Queues,
    link: Arc<Link>,
    publisher: Arc<Publisher>,
    tasks: Intake,
    results: Intake,
    dead_tasks: Intake,
    _taking_up: AbortOnDropHandle<()>,
}

impl RabbitQueue {
    /// Begins to connect, in the present runtime.
    pub fn new(settings: RabbitSettings) -> Self {
        let (address, times) = (settings.address(), settings.times);
        let queues = Queues::new(&settings.prefix);
        let settings = Arc::new(settings);
        let link = Arc::new(Link::new(Arc::clone(&settings), queues.clone(), "taking"));
        let publishing = Link::new(settings, queues.clone(), "publishing");
        let publisher = Arc::new(Publisher::new(publishing, address.clone(), queues.clone(), times));
        let intake = |lane| Intake::new(lane, queues.of(lane).clone(), Arc::clone(&link), Arc::clone(&publisher));
        let taking_up = parked::take_up_always(Arc::clone(&link), Arc::clone(&publisher), queues.clone());
        Self {
            tasks: intake(Lane::Tasks),
            results: intake(Lane::Results),
            dead_tasks: intake(Lane::DeadTasks),
            _taking_up: AbortOnDropHandle::new(tokio::spawn(taking_up)),
            address,
            times,
            queues,
            link,
            publisher,
        }
    }

    fn intake(&self, lane: Lane) -> &Intake {
        match lane {
            Lane::Tasks => &self.tasks,
            Lane::Results => &self.results,
            Lane::DeadTasks => &self.dead_tasks,
        }
    }

    /// Messages of a queue that nobody holds.
    async fn waiting(&self, queue: &ShortString) -> Result<u64, QueueError> {
        let asked = async {
            let session = self.link.session().await;
            let asked = async {
                let channel = session.channel().await?;
                let count = self.queues.declare(&channel, queue).await?;
                session.put_back(channel);
                lapin::Result::Ok(count)
            };
            asked.await.inspect_err(|error| session.fail(format!("ask how many lie in `{queue}`: {}", cause(error))))
        };
        let unavailable = |why| QueueError::Unavailable { address: self.address.clone(), why };
        match timeout(self.times.answer, asked).await {
            Ok(Ok(count)) => Ok(count.into()),
            Ok(Err(error)) => Err(unavailable(cause(&error))),
            Err(_) => {
                let late = || format!("no answer within {:?}", self.times.answer);
                Err(unavailable(self.link.obstacle().unwrap_or_else(late)))
            }
        }
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    async fn publish(&self, lane: Lane, message: &Envelope) -> Result<(), QueueError> {
        self.publisher.publish(lane, message).await
    }

    async fn next(&self, lane: Lane) -> Result<Delivery, QueueError> {
        Ok(self.intake(lane).next().await)
    }

    async fn release(&self, lane: Lane) {
        self.intake(lane).release().await;
    }

    async fn depth(&self, lane: Lane) -> Result<u64, QueueError> {
        self.waiting(self.queues.of(lane)).await
    }

    async fn parked(&self) -> Result<u64, QueueError> {
        self.waiting(&self.queues.parked).await
    }

    fn health(&self) -> Health {
        match self.link.health() {
            Health::Ready => self.publisher.health(),
            not_ready => not_ready,
        }
    }
}
