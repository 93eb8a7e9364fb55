//! A Queue that refuses, repeats, reorders and forgets.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backends::{Delivery, Health, Lane, MemoryQueue, Queue, QueueError};
use futures_util::FutureExt;
use proto::Envelope;
use tokio::sync::Notify;

/// What happens to a task that is published.
#[derive(Debug, Clone, Copy)]
pub(super) enum Trouble {
    /// It is refused; the broker may hold it nevertheless.
    Refuse { held: bool },
    /// The broker holds it, and the one who published it dies.
    Die,
}

#[derive(Default)]
pub(super) struct Broker {
    /// Replaced when everything is forgotten.
    lanes: Mutex<Arc<MemoryQueue>>,
    /// In how many tasks from now there is trouble.
    trouble: Mutex<Option<(usize, Trouble)>>,
    died: Notify,
}

impl Broker {
    pub(super) fn expect_trouble(&self, after: usize, trouble: Trouble) {
        *self.trouble.lock().unwrap() = Some((after, trouble));
    }

    /// Ends trouble that has not come; whether there was any left.
    pub(super) fn end_trouble(&self) -> bool {
        self.trouble.lock().unwrap().take().is_some()
    }

    /// Waits until whoever publishes is to die.
    pub(super) async fn died(&self) {
        self.died.notified().await;
    }

    /// All that waits in a lane, taken out of it.
    pub(super) async fn drain(&self, lane: Lane) -> Vec<Envelope> {
        let mut drained = Vec::new();
        while let Some(delivery) = self.next(lane).now_or_never() {
            let delivery = delivery.unwrap();
            drained.push(delivery.envelope().clone());
            delivery.ack().await.unwrap();
        }
        drained
    }

    /// Brings what waits in a lane into another order, some of it twice.
    pub(super) async fn shuffle(&self, lane: Lane, random: &mut fastrand::Rng) {
        let mut waiting = self.drain(lane).await;
        random.shuffle(&mut waiting);
        let lanes = self.lanes();
        for message in &waiting {
            for _ in 0..random.usize(1..=2) {
                lanes.publish(lane, message).await.unwrap();
            }
        }
    }

    /// Forgets what waits and what is delivered.
    pub(super) fn forget(&self) {
        *self.lanes.lock().unwrap() = Arc::default();
    }

    fn lanes(&self) -> Arc<MemoryQueue> {
        self.lanes.lock().unwrap().clone()
    }

    /// The trouble that comes to the task that is published now.
    fn trouble_now(&self) -> Option<Trouble> {
        let mut expected = self.trouble.lock().unwrap();
        let (after, trouble) = (*expected)?;
        *expected = after.checked_sub(1).map(|after| (after, trouble));
        (after == 0).then_some(trouble)
    }
}

#[async_trait]
impl Queue for Broker {
    async fn publish(&self, lane: Lane, message: &Envelope) -> Result<(), QueueError> {
        let trouble = if lane == Lane::Tasks { self.trouble_now() } else { None };
        if !matches!(trouble, Some(Trouble::Refuse { held: false })) {
            self.lanes().publish(lane, message).await?;
        }
        match trouble {
            None => Ok(()),
            Some(Trouble::Refuse { .. }) => {
                Err(QueueError::Refused { address: "memory".into(), lane, why: "a test wants it".into() })
            }
            Some(Trouble::Die) => {
                self.died.notify_one();
                std::future::pending().await
            }
        }
    }

    async fn next(&self, lane: Lane) -> Result<Delivery, QueueError> {
        let lanes = self.lanes();
        lanes.next(lane).await
    }

    async fn release(&self, lane: Lane) {
        let lanes = self.lanes();
        lanes.release(lane).await;
    }

    async fn depth(&self, lane: Lane) -> Result<u64, QueueError> {
        self.lanes().depth(lane).await
    }

    async fn parked(&self) -> Result<u64, QueueError> {
        self.lanes().parked().await
    }

    fn health(&self) -> Health {
        Health::Ready
    }
}
