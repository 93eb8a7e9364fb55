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
use crate::crew::{self, Runs};
use crate::workshop::Workshop;

/// Between two tries to publish a result.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Takes tasks from the queue, as many at once as it has slots.
pub struct Worker {
    queue: Arc<dyn Queue>,
    workshop: Workshop,
    slots: usize,
    /// How long running attempts may go on once draining begins.
    drain_grace: Duration,
    /// Its name among the workers of a fleet, to which it says what it does; none if it is the only one.
    name: Option<String>,
}

impl Worker {
    /// A worker with `slots` slots that works with the tools of `workshop`.
    pub fn new(queue: Arc<dyn Queue>, workshop: impl Into<Workshop>, slots: usize, drain_grace: Duration) -> Self {
        Self { queue, workshop: workshop.into(), slots, drain_grace, name: None }
    }

    /// The same as one of a fleet, under a name that no other worker has.
    #[must_use]
    pub fn in_crew(self, name: String) -> Self {
        Self { name: Some(name), ..self }
    }

    /// Works until `shutdown` drains: then takes nothing new, lets running attempts go on for the grace, and gives
    /// the rest back as interrupted.
    ///
    /// # Errors
    /// The queue can give no messages any more.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), QueueError> {
        let (runs, common) = (Runs::default(), self.workshop.common());
        let beat = async {
            match &self.name {
                Some(name) => crew::beat(&*common.ledger, &common.activity, (name, self.slots), &shutdown.drain).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            outcome = self.work(&runs, &shutdown) => outcome,
            () = runs.interrupt_cancelled(&*common.ledger) => unreachable!("it asks for ever"),
            () = beat => unreachable!("it says so for ever"),
        }
    }

    async fn work(&self, runs: &Runs, shutdown: &Shutdown) -> Result<(), QueueError> {
        let interrupt = shutdown.stop.child_token();
        let attempts = TaskTracker::new();
        let outcome = self.take_deliveries((runs, &interrupt), &shutdown.drain, &attempts).await;
        attempts.close();
        let finish = async {
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
        };
        tokio::join!(finish, shutdown.stop.run_until_cancelled(self.queue.release(Lane::Tasks)));
        self.workshop.settled().await;
        outcome
    }

    async fn take_deliveries(
        &self,
        (runs, interrupt): (&Runs, &CancellationToken),
        drain: &CancellationToken,
        attempts: &TaskTracker,
    ) -> Result<(), QueueError> {
        let slots = Arc::new(Semaphore::new(self.slots));
        let metrics = &self.workshop.common().metrics;
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
            let job = handle(self.queue.clone(), self.workshop.clone(), delivery, (runs.clone(), interrupt.clone()));
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
async fn handle(
    queue: Arc<dyn Queue>,
    workshop: Workshop,
    delivery: Delivery,
    (runs, interrupt): (Runs, CancellationToken),
) {
    let id = delivery.envelope().id().to_owned();
    let failed = |lane, action| workshop.common().metrics.queue_failures.add(1, [lane, action]);
    let task = match delivery.envelope().task() {
        Ok(task) => task,
        Err(error) => {
            // Not acked: the queue delivers it again, and then hands it to the coordinator as a dead letter.
            tracing::error!(message.id = id, "read task {id}: {}", ErrorChain(&error));
            failed("tasks", "read");
            return;
        }
    };
    let under_way = runs.enter(task.run, &interrupt);
    let result = match workshop.tools(&task).await {
        // Nobody waits for what it would do any more.
        Ok(tools) if tools.ledger.is_cancelled(task.run).await => given_back(&task, &End::INTERRUPTED),
        Ok(tools) => attempt(&tools, &task, under_way.interrupt.clone()).await,
        Err((failure, wait)) => given_back(&task, &End::Deferred { wait, failure }),
    };
    drop(under_way);
    let envelope = Envelope::of_result(&result).or_else(|error| Envelope::of_result(&unsayable(&task, &error)));
    let published = match envelope {
        Ok(envelope) => around(Effect::ResultPublish, answer(&*queue, &envelope, &delivery, &interrupt)).await,
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

/// The result of an attempt that was not begun.
fn given_back(task: &Task, end: &End) -> TaskResult {
    let TaskKind::Mirror(mirror) = &task.kind;
    TaskResult::new(task, everywhere(mirror, end))
}

/// Publishes a result, through an outage of the Queue too, for as long as the task is ours: given back, it would be done
/// again, and after some times count as lost.
async fn answer(
    queue: &dyn Queue,
    result: &Envelope,
    delivery: &Delivery,
    interrupt: &CancellationToken,
) -> Result<(), QueueError> {
    loop {
        let published = queue.publish(Lane::Results, result).await;
        match published {
            Err(error) if error.is_outage() && delivery.is_held() && !interrupt.is_cancelled() => {
                tracing::warn!(message.id = result.id(), "publish the result of {}, again: {error}", result.id());
                unless(interrupt, tokio::time::sleep(AGAIN_AFTER)).await;
            }
            published => return published,
        }
    }
}

/// The result of an attempt whose own result does not fit into a message.
fn unsayable(task: &Task, error: &EnvelopeError) -> TaskResult {
    given_back(task, &End::Failed(our_fault(&format!("write the result: {}", ErrorChain(error)))))
}
