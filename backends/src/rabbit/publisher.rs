//! Sends messages and waits for the broker's word that it holds them.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Confirmation};
use proto::Envelope;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::cause;
use super::held::Hold;
use super::link::{Link, Session};
use super::settings::RabbitTimes;
use super::topology::Queues;
use crate::health::Health;
use crate::queue::{Lane, QueueError, Receipt};

/// Messages under way at once. Each has a channel of its own meanwhile: the client hands a returned message to whichever
/// is confirmed next on its channel, so that with two of them the wrong one would count as lost, and the lost one as held.
/// Brokers are set to as few as 128 channels for a connection.
const UNDER_WAY: usize = 64;

/// Between two tries to send a message that was refused.
const PAUSE: Duration = Duration::from_millis(100);

/// The value of the property `delivery_mode` for a message that survives the broker's restart.
const PERSISTENT: u8 = 2;

/// The header of a parked message that says where it lay.
pub(super) const LANE_HEADER: &str = "x-image-factory-lane";

/// Sends messages over a connection that does nothing else: while the broker is short of memory it does not read from a
/// connection that has published, and acks have to be read.
pub(super) struct Publisher {
    link: Link,
    address: String,
    queues: Queues,
    times: RabbitTimes,
    under_way: Semaphore,
}

/// What a message is, and where it goes.
struct Letter<'a> {
    queue: &'a ShortString,
    bytes: &'a [u8],
    properties: BasicProperties,
}

impl Publisher {
    pub(super) fn new(link: Link, address: String, queues: Queues, times: RabbitTimes) -> Self {
        Self { link, address, queues, times, under_way: Semaphore::new(UNDER_WAY) }
    }

    pub(super) fn health(&self) -> Health {
        self.link.health()
    }

    /// Returns once the broker holds the message.
    pub(super) async fn publish(&self, lane: Lane, message: &Envelope) -> Result<(), QueueError> {
        let properties = properties().with_message_id(message.id().into());
        self.send(lane, Letter { queue: self.queues.of(lane), bytes: message.bytes(), properties }).await
    }

    /// Puts away a message of a lane that cannot be read; tries for as long as it is held, because given back it would come
    /// again at once.
    pub(super) async fn park(&self, lane: Lane, id: Option<ShortString>, bytes: &[u8], hold: &Hold) {
        let mut headers = FieldTable::default();
        headers.insert(LANE_HEADER.into(), AMQPValue::LongString(lane.as_str().into()));
        let properties = properties().with_headers(headers);
        let properties = id.into_iter().fold(properties, BasicProperties::with_message_id);
        while hold.is_held() {
            let letter = Letter { queue: &self.queues.parked, bytes, properties: properties.clone() };
            match self.send(lane, letter).await {
                Ok(()) => return,
                Err(error) => tracing::warn!("park a message that cannot be read: {error}"),
            }
            sleep(self.times.pause).await;
        }
    }

    /// Sends until the broker holds it, over as many connections as it takes, but not longer than an answer may take.
    async fn send(&self, lane: Lane, letter: Letter<'_>) -> Result<(), QueueError> {
        let (mut last, mut refusal) = (None, None);
        let held = timeout(self.times.answer, async {
            // An error would mean that the semaphore was closed; nobody does.
            let _place = self.under_way.acquire().await;
            loop {
                let session = last.insert(self.link.open_session().await);
                let attempted = attempt(session, &letter).await;
                refusal = match attempted {
                    Ok(None) => return,
                    // A queue refuses for a moment when its leader was just chosen, and one that is gone is made again.
                    Ok(Some(why)) => Some(why),
                    Err(error) => {
                        self.link.replace(session, format!("publish: {}", cause(&error))).await;
                        None
                    }
                };
                sleep(PAUSE).await;
            }
        });
        match (held.await, refusal) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(why)) => Err(QueueError::Refused { address: self.address.clone(), lane, why }),
            (Err(_), None) => Err(self.unanswered(last.as_deref())),
        }
    }

    /// A broker that reads from us and does not answer has lost the message, or the connection has.
    fn unanswered(&self, session: Option<&Session>) -> QueueError {
        let why = self.link.obstacle().unwrap_or_else(|| {
            let why = format!("no answer to a message within {:?}", self.times.answer);
            if let Some(session) = session {
                session.fail(why.clone());
            }
            why
        });
        QueueError::Unavailable { address: self.address.clone(), why }
    }
}

fn properties() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(PERSISTENT).with_content_type("application/msgpack".into())
}

/// None if the broker holds the message; why, if it does not. An error means that nobody knows.
async fn attempt(session: &Arc<Session>, letter: &Letter<'_>) -> lapin::Result<Option<String>> {
    let channel = session.channel().await?;
    // A message that no queue takes is confirmed like any other, so it has to come back.
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let Letter { queue, bytes, properties } = letter;
    let sent = channel.basic_publish(ShortString::default(), (*queue).clone(), options, bytes, properties.clone());
    let refusal = match sent.await?.await? {
        Confirmation::Ack(None) => None,
        Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
            let why = format!("queue `{queue}`: {} {}", returned.reply_code, returned.reply_text);
            // Somebody has deleted the queue: it is made again with the next connection.
            session.fail(format!("publish: {why}"));
            Some(why)
        }
        Confirmation::Nack(None) => Some(format!("queue `{queue}` has rejected it")),
        Confirmation::NotRequested => Some("the channel does not confirm".into()),
    };
    session.put_back(channel);
    Ok(refusal)
}
