//! The promise of every Queue: messages are carried at least once, in no promised order.

use async_trait::async_trait;
use proto::Envelope;
use proto::envelope::EnvelopeError;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Tasks, from coordinator to workers. A message that came back from `limits::DELIVERIES_MAX` deliveries moves to
    /// [`Lane::DeadTasks`].
    Tasks,
    /// Results, from workers to coordinator; delivered again until they are acked.
    Results,
    /// Tasks that nobody acked, for the coordinator; delivered again until they are acked. Cut connections and
    /// restarts count as deliveries too, so a dead letter is not a failure.
    DeadTasks,
}

/// Carries encoded messages at least once, in no promised order.
///
/// In process: lives as long as the process; the Store is the journal. What holds of every implementation is written
/// down in the `conformance` module. Messages above `limits::MESSAGE_BYTES_MAX` cannot be made into an [`Envelope`], so
/// no Queue ever sees one.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Returns once the backend holds the message.
    ///
    /// # Errors
    /// It is not known whether the backend holds the message: publish it again.
    async fn publish(&self, lane: Lane, message: &Envelope) -> Result<(), QueueError>;

    /// Waits for one message. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The backend could not be asked, or gave something that is not a message of ours.
    async fn next(&self, lane: Lane) -> Result<Delivery, QueueError>;

    /// Messages waiting, for scaling and for display; those delivered and not yet acked do not count. May be stale by
    /// seconds.
    ///
    /// # Errors
    /// The backend could not be asked.
    async fn depth(&self, lane: Lane) -> Result<u64, QueueError>;
}

/// A message in somebody's hands. Dropped without [`Delivery::ack`], it is delivered again.
#[must_use = "a delivery that is dropped comes back"]
pub struct Delivery {
    envelope: Envelope,
    count: u32,
    receipt: Box<dyn Receipt>,
}

/// What an implementation keeps of a delivery: dropping it gives the message back.
#[async_trait]
pub(crate) trait Receipt: Send + Sync {
    /// Takes the message off the Queue.
    async fn ack(self: Box<Self>) -> Result<(), QueueError>;
}

impl Delivery {
    pub(crate) fn new(envelope: Envelope, count: u32, receipt: Box<dyn Receipt>) -> Self {
        Self { envelope, count, receipt }
    }

    /// The message.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// How often the message has been delivered on this lane, this time included.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Takes the message off the Queue: only once its effect is kept elsewhere.
    ///
    /// # Errors
    /// It is not known whether the message is gone: it may be delivered again.
    pub async fn ack(self) -> Result<(), QueueError> {
        self.receipt.ack().await
    }
}

/// What went wrong between us and the Queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// What lay in the lane is not a message that this program reads.
    #[error("read a message of lane `{lane:?}`")]
    Unreadable {
        /// Where it lay.
        lane: Lane,
        /// What is wrong with it.
        #[source]
        source: EnvelopeError,
    },
}
