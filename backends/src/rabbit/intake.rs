//! Brings the messages of one lane from the broker to whoever takes them.
//!
//! Results are pushed by the broker ahead of need, so that many are recorded at once. Tasks and dead letters are fetched
//! one by one, and only when somebody waits: what is fetched ahead of a free slot would wait behind an attempt that
//! runs alone, for longer than the broker lets it be held; and a worker that dies would spend a delivery of tasks that it
//! never began, until the seven beside the one that killed it count as lost too. A task costs a round trip for that.

use std::future::pending;
use std::io;
use std::sync::Arc;

use futures_util::StreamExt;
use lapin::message::Delivery as Message;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use proto::limits;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::cause;
use super::held::{Fetched, Hold};
use super::link::Link;
use super::publisher::Publisher;
use crate::queue::{Delivery, Lane};

/// Results that the broker pushes ahead of need: as many again as are recorded at once.
const RESULTS_AHEAD: u16 = 2 * limits::COLLECT_BATCH as u16;

/// The messages of one lane.
pub(super) struct Intake {
    lane: Lane,
    queue: ShortString,
    link: Arc<Link>,
    publisher: Arc<Publisher>,
    /// None while nobody takes.
    inbox: Mutex<Option<Inbox>>,
}

/// Where messages arrive while somebody takes.
struct Inbox {
    fetched: mpsc::UnboundedReceiver<Fetched>,
    /// A permit is a wish for one message.
    wishes: Arc<Semaphore>,
    /// A wish was made of which nothing has come yet: whoever made it may be gone, and it is for the next one.
    has_wished: bool,
    stop: CancellationToken,
    pump: AbortOnDropHandle<()>,
}

impl Intake {
    pub(super) fn new(lane: Lane, queue: ShortString, link: Arc<Link>, publisher: Arc<Publisher>) -> Self {
        Self { lane, queue, link, publisher, inbox: Mutex::default() }
    }

    /// Waits for a message.
    pub(super) async fn next(&self) -> Delivery {
        let mut inbox = self.inbox.lock().await;
        let inbox = inbox.get_or_insert_with(|| self.open_inbox());
        loop {
            if !inbox.has_wished {
                inbox.wishes.add_permits(1);
                inbox.has_wished = true;
            }
            let Some(fetched) = inbox.fetched.recv().await else { pending().await };
            inbox.has_wished = false;
            // Others of a connection that has ended come again, over the next one.
            if fetched.is_held() {
                return fetched.take();
            }
        }
    }

    /// Stops fetching, and gives back what nobody took.
    pub(super) async fn release(&self) {
        let Some(inbox) = self.inbox.lock().await.take() else { return };
        inbox.stop.cancel();
        let _ = inbox.pump.await;
    }

    fn open_inbox(&self) -> Inbox {
        let (sender, fetched) = mpsc::unbounded_channel();
        let (wishes, stop) = (Arc::new(Semaphore::new(0)), CancellationToken::new());
        let pump = Pump {
            lane: self.lane,
            queue: self.queue.clone(),
            link: Arc::clone(&self.link),
            publisher: Arc::clone(&self.publisher),
            wishes: Arc::clone(&wishes),
            fetched: sender,
        };
        let until = stop.clone();
        let pump = AbortOnDropHandle::new(tokio::spawn(async move { pump.run(&until).await }));
        Inbox { fetched, wishes, has_wished: false, stop, pump }
    }
}

/// The task that fills an [`Inbox`].
struct Pump {
    lane: Lane,
    queue: ShortString,
    link: Arc<Link>,
    publisher: Arc<Publisher>,
    wishes: Arc<Semaphore>,
    fetched: mpsc::UnboundedSender<Fetched>,
}

impl Pump {
    /// Fills the inbox over one connection after the other, until it is to stop.
    async fn run(&self, stop: &CancellationToken) {
        while let Some(session) = stop.run_until_cancelled(self.link.session()).await {
            let filled = async {
                let channel = session.open_channel().await?;
                match self.lane {
                    Lane::Results => self.push(&channel, stop).await,
                    Lane::Tasks | Lane::DeadTasks => self.pull(&channel, stop).await,
                }
            };
            match filled.await {
                Ok(()) => return,
                Err(error) => {
                    self.link.replace(&session, format!("take from `{}`: {}", self.queue, cause(&error))).await;
                }
            }
        }
    }

    /// Has the broker push messages as they come.
    async fn push(&self, channel: &Channel, stop: &CancellationToken) -> lapin::Result<()> {
        let mut consumer = self.consume(channel, RESULTS_AHEAD).await?;
        while let Some(message) = stop.run_until_cancelled(consumer.next()).await {
            self.hand_over(channel, pushed(message)?, stop).await;
        }
        self.cancel(channel, consumer).await
    }

    /// Fetches a message for each wish.
    async fn pull(&self, channel: &Channel, stop: &CancellationToken) -> lapin::Result<()> {
        while let Some(Ok(wish)) = stop.run_until_cancelled(self.wishes.acquire()).await {
            let lies_there = channel.basic_get(self.queue.clone(), BasicGetOptions::default()).await?;
            let message = match lies_there {
                Some(found) => Some(found.delivery),
                None => self.wait_for_one(channel, stop).await?,
            };
            if let Some(message) = message
                && self.hand_over(channel, message, stop).await
            {
                wish.forget();
            }
        }
        Ok(())
    }

    /// Has the broker push one message when it comes. A consumer that stayed would be given the next one as soon as this
    /// one is settled, whether somebody wants it or not.
    async fn wait_for_one(&self, channel: &Channel, stop: &CancellationToken) -> lapin::Result<Option<Message>> {
        let mut consumer = self.consume(channel, 1).await?;
        let message = stop.run_until_cancelled(consumer.next()).await.map(pushed).transpose()?;
        self.cancel(channel, consumer).await?;
        Ok(message)
    }

    async fn consume(&self, channel: &Channel, ahead: u16) -> lapin::Result<Consumer> {
        channel.basic_qos(ahead, BasicQosOptions::default()).await?;
        let (tag, options) = (ShortString::default(), BasicConsumeOptions::default());
        channel.basic_consume(self.queue.clone(), tag, options, FieldTable::default()).await
    }

    /// Ends a consumer, and gives back what was pushed meanwhile.
    async fn cancel(&self, channel: &Channel, mut consumer: Consumer) -> lapin::Result<()> {
        channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        while let Some(message) = consumer.next().await {
            message?.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await?;
        }
        Ok(())
    }

    /// Puts a message into the inbox. False if it is not for whoever takes, but parked because it cannot be read.
    async fn hand_over(&self, channel: &Channel, message: Message, stop: &CancellationToken) -> bool {
        let hold = Hold::new(message.acker, channel.clone());
        match self.lane.read(message.data.clone()) {
            // Without a receiver it is dropped, and goes back.
            Ok(envelope) => self.fetched.send(Fetched::new(envelope, &message.properties, hold)).is_ok(),
            Err(error) => {
                let id = message.properties.message_id();
                tracing::error!(
                    "message `{}` of queue `{}` cannot be read, and is parked until a release starts that reads it: {error}",
                    id.as_ref().map_or("", ShortString::as_str),
                    self.queue
                );
                let parked = self.publisher.park(self.lane, id.clone(), &message.data, &hold);
                if stop.run_until_cancelled(parked).await.is_some() {
                    // If it cannot be settled any more it comes again, and is parked twice.
                    let _ = hold.settle().await;
                }
                false
            }
        }
    }
}

/// What a consumer gives; it ends when the queue is deleted.
fn pushed(message: Option<lapin::Result<Message>>) -> lapin::Result<Message> {
    message.unwrap_or_else(|| Err(io::Error::other("the broker has ended the consumer").into()))
}
