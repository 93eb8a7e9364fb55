//! A message that the broker has given us, and how it is settled.

use async_trait::async_trait;
use lapin::options::{BasicAckOptions, BasicNackOptions, BasicRejectOptions};
use lapin::types::AMQPValue;
use lapin::{Acker, BasicProperties, Channel};
use proto::Envelope;
use tokio::runtime::Handle;

use crate::queue::{Delivery, QueueError, Receipt};

/// The header in which a quorum queue counts how often a message came back; it is missing the first time.
const COUNT_HEADER: &str = "x-delivery-count";

/// A message that can be read, and that nobody has taken yet. Dropped, it goes back.
pub(super) struct Fetched {
    envelope: Envelope,
    count: u32,
    hold: Hold,
}

impl Fetched {
    pub(super) fn new(envelope: Envelope, properties: &BasicProperties, hold: Hold) -> Self {
        Self { envelope, count: count(properties), hold }
    }

    /// False once the broker has lost sight of us and gives it to others.
    pub(super) fn is_held(&self) -> bool {
        self.hold.is_held()
    }

    pub(super) fn take(mut self) -> Delivery {
        self.hold.is_taken = true;
        Delivery::new(self.envelope, self.count, Box::new(self.hold))
    }
}

/// The right to settle a message, on the channel over which it came and on no other.
pub(super) struct Hold {
    acker: Acker,
    /// Closed, it would give back all that came over it: so it stays open as long as there is any of that.
    channel: Channel,
    runtime: Handle,
    is_taken: bool,
}

impl Hold {
    pub(super) fn new(acker: Acker, channel: Channel) -> Self {
        Self { acker, channel, runtime: Handle::current(), is_taken: false }
    }

    /// Takes the message off its queue.
    pub(super) async fn settle(self) -> Result<(), QueueError> {
        // False says that the channel has ended.
        match self.acker.ack(BasicAckOptions::default()).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(QueueError::Lapsed),
        }
    }
}

#[async_trait]
impl Receipt for Hold {
    async fn ack(self: Box<Self>) -> Result<(), QueueError> {
        self.settle().await
    }

    fn is_held(&self) -> bool {
        self.acker.usable()
    }
}

impl Drop for Hold {
    /// Gives the message back, unless it is settled or the channel has ended.
    fn drop(&mut self) {
        if !self.acker.usable() {
            return;
        }
        let (acker, channel, is_taken) = (self.acker.clone(), self.channel.clone(), self.is_taken);
        self.runtime.spawn(async move {
            // From release 4.3 on, the broker counts what was tried and rejected towards the limit of deliveries, and not
            // what was only given back; older ones count both. If the channel ends meanwhile, the message goes back too.
            let _ = if is_taken {
                acker.reject(BasicRejectOptions { requeue: true }).await
            } else {
                acker.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await
            };
            drop(channel);
        });
    }
}

/// How often a message was delivered, this time included.
fn count(properties: &BasicProperties) -> u32 {
    let returns = properties.headers().as_ref().and_then(|headers| headers.inner().get(COUNT_HEADER));
    let returns = match returns {
        Some(AMQPValue::LongLongInt(returns)) => *returns,
        Some(AMQPValue::LongInt(returns)) => (*returns).into(),
        Some(AMQPValue::ShortInt(returns)) => (*returns).into(),
        Some(AMQPValue::ShortShortInt(returns)) => (*returns).into(),
        Some(AMQPValue::LongUInt(returns)) => (*returns).into(),
        Some(AMQPValue::ShortUInt(returns)) => (*returns).into(),
        Some(AMQPValue::ShortShortUInt(returns)) => (*returns).into(),
        _ => 0,
    };
    u32::try_from(returns).unwrap_or(0).saturating_add(1)
}
