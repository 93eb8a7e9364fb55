//! The Queue within one process: encoded messages in lists, gone when the process ends.
//!
//! It carries bytes and delivers again what is dropped, as a broker does, so that the embedded factory is no other
//! path than the fleet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use proto::{Envelope, limits};
use tokio::sync::Semaphore;

use crate::health::Health;
use crate::queue::{Delivery, Lane, Queue, QueueError, Receipt};

/// A [`Queue`] that lives as long as the process.
#[derive(Default)]
pub struct MemoryQueue {
    lanes: Arc<Lanes>,
}

#[derive(Default)]
struct Lanes {
    tasks: Waiting,
    results: Waiting,
    dead_tasks: Waiting,
    /// What nobody can read: as all messages are written by this process, a fault of ours.
    parked: Waiting,
}

/// The messages of a lane that wait for somebody to take them.
struct Waiting {
    messages: Mutex<VecDeque<Message>>,
    /// A permit for each message.
    arrived: Semaphore,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { messages: Mutex::default(), arrived: Semaphore::new(0) }
    }
}

struct Message {
    bytes: Vec<u8>,
    deliveries: u32,
}

impl MemoryQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn publish(&self, lane: Lane, message: &Envelope) -> Result<(), QueueError> {
        self.lanes.get(lane).put(Message { bytes: message.bytes().to_vec(), deliveries: 0 });
        Ok(())
    }

    async fn next(&self, lane: Lane) -> Result<Delivery, QueueError> {
        loop {
            let mut message = self.lanes.get(lane).take().await;
            message.deliveries += 1;
            match lane.read(message.bytes.clone()) {
                Ok(envelope) => {
                    let count = message.deliveries;
                    let receipt = MemoryReceipt { lanes: Arc::clone(&self.lanes), lane, message: Some(message) };
                    return Ok(Delivery::new(envelope, count, Box::new(receipt)));
                }
                Err(error) => {
                    tracing::error!("a message of lane `{lane}` cannot be read, and is parked: {error}");
                    self.lanes.parked.put(message);
                }
            }
        }
    }

    async fn release(&self, _: Lane) {
        // Nothing is fetched ahead.
    }

    async fn depth(&self, lane: Lane) -> Result<u64, QueueError> {
        Ok(self.lanes.get(lane).lock().len() as u64)
    }

    async fn parked(&self) -> Result<u64, QueueError> {
        Ok(self.lanes.parked.lock().len() as u64)
    }

    fn health(&self) -> Health {
        Health::Ready
    }
}

impl Lanes {
    fn get(&self, lane: Lane) -> &Waiting {
        match lane {
            Lane::Tasks => &self.tasks,
            Lane::Results => &self.results,
            Lane::DeadTasks => &self.dead_tasks,
        }
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Message>> {
        // A list of messages is whole whatever its last user did.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, message: Message) {
        self.lock().push_back(message);
        self.arrived.add_permits(1);
    }

    /// Takes a permit, then the message that it stands for. There is no await between, so a dropped future holds
    /// neither.
    async fn take(&self) -> Message {
        loop {
            // An error would mean that the semaphore was closed; nobody does.
            if let Ok(permit) = self.arrived.acquire().await {
                permit.forget();
            }
            if let Some(message) = self.lock().pop_front() {
                return message;
            }
        }
    }
}

struct MemoryReceipt {
    lanes: Arc<Lanes>,
    lane: Lane,
    /// None once acked.
    message: Option<Message>,
}

#[async_trait]
impl Receipt for MemoryReceipt {
    async fn ack(mut self: Box<Self>) -> Result<(), QueueError> {
        self.message = None;
        Ok(())
    }

    fn is_held(&self) -> bool {
        true
    }
}

impl Drop for MemoryReceipt {
    fn drop(&mut self) {
        let Some(message) = self.message.take() else { return };
        if self.lane == Lane::Tasks && message.deliveries >= limits::DELIVERIES_MAX {
            self.lanes.dead_tasks.put(Message { deliveries: 0, ..message });
        } else {
            self.lanes.get(self.lane).put(message);
        }
    }
}
