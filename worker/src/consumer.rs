//! The loop of a worker: slot, delivery, attempt, result, ack; and how it drains.

use std::sync::Arc;
use std::time::Duration;

use backends::queue::{Delivery, Lane, Queue, QueueError};
use daemon::crash::{Effect, around};
use daemon::{ErrorChain, Shutdown};
use proto::envelope::EnvelopeError;
use proto::outcome::End;
use proto::task::TaskKind;
use proto::{Envelope, Task, TaskResult};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempt::{attempt, everywhere, our_fault};
use crate::context::Tools;

/// Takes tasks from the queue, as many at once as it has slots.
pub struct Worker {
    queue: Arc<dyn Queue>,
    tools: Tools,
    slots: usize,
    /// How long running attempts may go on once draining begins.
    drain_grace: Duration,
}

impl Worker {
    /// A worker with `slots` slots that works with `tools`.
    pub fn new(queue: Arc<dyn Queue>, tools: Tools, slots: usize, drain_grace: Duration) -> Self {
        Self { queue, tools, slots, drain_grace }
    }

    /// Works until `shutdown` drains: then takes nothing new, lets running attempts go on for the grace, and gives
    /// the rest back as interrupted.
    ///
    /// # Errors
    /// The queue can give no messages any more.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), QueueError> {
        let interrupt = shutdown.stop.child_token();
        let attempts = TaskTracker::new();
        let outcome = self.take_deliveries(&shutdown.drain, &interrupt, &attempts).await;
        attempts.close();
        tokio::select! {
            () = attempts.wait() => {}
            () = tokio::time::sleep(self.drain_grace) => {
                let (attempts, grace) = (attempts.len(), self.drain_grace.as_secs_f64());
                tracing::warn!("{attempts} attempts did not end within {grace} s, and are given back");
                interrupt.cancel();
            }
            () = shutdown.stop.cancelled() => {}
        }
        attempts.wait().await;
        self.tools.places.settled().await;
        outcome
    }

    async fn take_deliveries(
        &self,
        drain: &CancellationToken,
        interrupt: &CancellationToken,
        attempts: &TaskTracker,
    ) -> Result<(), QueueError> {
        let slots = Arc::new(Semaphore::new(self.slots));
        let metrics = &self.tools.metrics;
        metrics.slots.set(self.slots as f64, []);
        metrics.slots_busy.set(0.0, []);
        loop {
            // Capacity first: never hold what we cannot run.
            let Some(slot) = unless(drain, acquire(&slots, 1)).await else { return Ok(()) };
            let Some(delivery) = unless(drain, self.queue.next(Lane::Tasks)).await else { return Ok(()) };
            let delivery = delivery.inspect_err(|_| metrics.queue_failures.add(1, ["tasks", "next"]))?;
            metrics.deliveries.add(1, [if delivery.count() > 1 { "again" } else { "first" }]);
            // A solo attempt runs beside nothing. Waiting here, where deliveries are taken one by one, cannot lock up
            // with another that waits for the same slots.
            let is_solo = delivery.envelope().task().is_ok_and(|task| task.solo);
            let others = if is_solo { self.slots - 1 } else { 0 };
            let Some(others) = unless(drain, acquire(&slots, others)).await else { return Ok(()) };
            let busy = metrics.slots_busy.hold([]);
            let job = handle(self.queue.clone(), self.tools.clone(), delivery, interrupt.clone());
            attempts.spawn(async move {
                job.await;
                drop((busy, slot, others));
            });
        }
    }
}

/// The value of `work`, or none once `token` is cancelled.
async fn unless<T>(token: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    token.run_until_cancelled(work).await
}

async fn acquire(slots: &Arc<Semaphore>, count: usize) -> Option<OwnedSemaphorePermit> {
    let count = u32::try_from(count).ok()?;
    slots.clone().acquire_many_owned(count).await.ok()
}

/// Answers for one delivery: its result is published before the task is acked, so a death in between costs a
/// duplicate and never a loss.
async fn handle(queue: Arc<dyn Queue>, tools: Tools, delivery: Delivery, interrupt: CancellationToken) {
    let id = delivery.envelope().id().to_owned();
    let failed = |lane, action| tools.metrics.queue_failures.add(1, [lane, action]);
    let task = match delivery.envelope().task() {
        Ok(task) => task,
        Err(error) => {
            // Not acked: the queue delivers it again, and then hands it to the coordinator as a dead letter.
            tracing::error!(message.id = id, "read task {id}: {}", ErrorChain(&error));
            failed("tasks", "read");
            return;
        }
    };
    let result = attempt(&tools, &task, interrupt).await;
    let envelope = Envelope::of_result(&result).or_else(|error| Envelope::of_result(&unsayable(&task, &error)));
    let published = match envelope {
        Ok(envelope) => around(Effect::ResultPublish, queue.publish(Lane::Results, &envelope)).await,
        Err(error) => {
            // Even its names are too much for a message; as a dead letter it comes to the coordinator's notice.
            tracing::error!(message.id = id, "write result of {id}: {}", ErrorChain(&error));
            return;
        }
    };
    let settled = match published {
        Ok(()) => around(Effect::TaskAck, delivery.ack()).await.map_err(|error| ("tasks", "ack", error)),
        Err(error) => Err(("results", "publish", error)),
    };
    if let Err((lane, action, error)) = settled {
        failed(lane, action);
        tracing::warn!(message.id = id, "settle {id}: {}", ErrorChain(&error));
    }
}

/// The result of an attempt whose own result does not fit into a message.
fn unsayable(task: &Task, error: &EnvelopeError) -> TaskResult {
    let TaskKind::Mirror(mirror) = &task.kind;
    let failure = our_fault(&format!("write the result: {}", ErrorChain(error)));
    TaskResult::new(task, everywhere(mirror, &End::Failed(failure)))
}
