//! The promise of every Queue: messages are carried at least once, in no promised order.

use std::fmt;

use async_trait::async_trait;
use proto::Envelope;
use proto::envelope::EnvelopeError;

use crate::health::Health;

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

impl Lane {
    /// All lanes.
    pub const ALL: [Self; 3] = [Self::Tasks, Self::Results, Self::DeadTasks];

    /// Its name outside of the program.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Results => "results",
            Self::DeadTasks => "dead-tasks",
        }
    }

    /// Reads a message of this lane, whole: whoever takes it need not expect that it cannot be read.
    pub(crate) fn read(self, bytes: Vec<u8>) -> Result<Envelope, EnvelopeError> {
        let envelope = Envelope::from_bytes(bytes)?;
        match self {
            Self::Tasks | Self::DeadTasks => drop(envelope.task()?),
            Self::Results => drop(envelope.result()?),
        }
        Ok(envelope)
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Carries encoded messages at least once, in no promised order.
///
/// RabbitMQ: survives our crash. In process: lives as long as the process; the Store is the journal. What holds of every
/// implementation is written down in the `conformance` module. Messages above `limits::MESSAGE_BYTES_MAX` cannot be made
/// into an [`Envelope`], so no Queue ever sees one.
///
/// A message that cannot be read is *parked*: nobody is given it, and it is not lost. It was written by a newer release,
/// and the first process that reads it puts it back into its lane when it starts.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Returns once the backend holds the message. Many may be under way at once.
    ///
    /// # Errors
    /// It is not known whether the backend holds the message: publish it again.
    async fn publish(&self, lane: Lane, message: &Envelope) -> Result<(), QueueError>;

    /// Waits for one message, through all outages of the backend. Dropping the future loses nothing. Whoever stops
    /// taking says so by [`Queue::release`].
    ///
    /// # Errors
    /// There will never be another message.
    async fn next(&self, lane: Lane) -> Result<Delivery, QueueError>;

    /// For whoever has stopped taking and lives on: gives back what was fetched ahead of [`Queue::next`], so that others
    /// get it. Deliveries in somebody's hands stay there, and another `next` begins anew.
    async fn release(&self, lane: Lane);

    /// Messages waiting, for scaling and for display; those delivered and not yet acked do not count. May be stale by
    /// seconds.
    ///
    /// # Errors
    /// The backend could not be asked.
    async fn depth(&self, lane: Lane) -> Result<u64, QueueError>;

    /// Messages that are parked: above zero while releases are mixed, a fault when they are not.
    ///
    /// # Errors
    /// The backend could not be asked.
    async fn parked(&self) -> Result<u64, QueueError>;

    /// Whether the backend can be used now, as far as it is known here: nobody is asked for it.
    fn health(&self) -> Health;
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

    /// Whether an ack can still take the message off.
    fn is_held(&self) -> bool;
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

    /// Whether the message is still ours alone. If not, the backend has lost sight of us and delivers it again: what is
    /// done for it is done twice.
    pub fn is_held(&self) -> bool {
        self.receipt.is_held()
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
    /// The backend is not there, takes nothing now, or did not answer in time. Time mends it.
    #[error("the queue at `{address}` cannot be used: {why}")]
    Unavailable {
        /// Where it is.
        address: String,
        /// What is known of it.
        why: String,
    },
    /// The backend answered that it does not take a message.
    #[error("the queue at `{address}` took no message for lane `{lane}`: {why}")]
    Refused {
        /// Where it is.
        address: String,
        /// Where the message was to go.
        lane: Lane,
        /// What the backend said.
        why: String,
    },
    /// The connection that a delivery came over is gone, and so is the delivery: it comes again.
    #[error("a message could not be acked, as its connection is gone; it is delivered again")]
    Lapsed,
}

impl QueueError {
    /// Whether it is a state of the backend that will pass, rather than a fault.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Lapsed)
    }
}
