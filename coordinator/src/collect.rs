//! Records results, many in one transaction, and acks them only then.

use backends::store::Recorded;
use backends::{Delivery, Lane};
use daemon::crash::{Effect, around};
use daemon::run_span;
use futures_util::FutureExt;
use jiff::Timestamp;
use proto::{TaskId, limits};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::account::spans_of;
use crate::coordinator::{Coordinator, Event, Failures};
use crate::error::CoordinatorError;

impl Coordinator {
    /// Records results as they come, until `stop`.
    pub(crate) async fn collect_until(&self, stop: &CancellationToken) -> Result<(), CoordinatorError> {
        let mut failures = Failures::new(self.pace);
        while let Some(first) = stop.run_until_cancelled(self.queue.next(Lane::Results)).await {
            let step = async {
                let mut batch = vec![first?];
                // More follow while workers are busy, and a transaction costs the same for all of them.
                let until = Instant::now() + limits::COLLECT_WITHIN;
                while batch.len() < limits::COLLECT_ENOUGH
                    // A fault of the Queue shows again when the loop waits for the next one.
                    && let Ok(Ok(next)) = timeout_at(until, self.queue.next(Lane::Results)).await
                {
                    batch.push(next);
                }
                self.record(self.with_waiting(batch), Timestamp::now()).await
            };
            failures.note(step.await).await?;
        }
        self.queue.release(Lane::Results).await;
        Ok(())
    }

    /// Records what lies on the results lane now.
    pub(crate) async fn collect_waiting(&self, now: Timestamp) -> Result<(), CoordinatorError> {
        while let Some(first) = self.queue.next(Lane::Results).now_or_never() {
            self.record(self.with_waiting(vec![first?]), now).await?;
        }
        Ok(())
    }

    /// Takes up dead letters as they come, until `stop`.
    pub(crate) async fn collect_dead_until(&self, stop: &CancellationToken) -> Result<(), CoordinatorError> {
        let mut failures = Failures::new(self.pace);
        while let Some(letter) = stop.run_until_cancelled(self.queue.next(Lane::DeadTasks)).await {
            let step = async { self.take_up(letter?, Timestamp::now()).await };
            failures.note(step.await).await?;
        }
        self.queue.release(Lane::DeadTasks).await;
        Ok(())
    }

    /// `batch`, and what else lies there already.
    fn with_waiting(&self, mut batch: Vec<Delivery>) -> Vec<Delivery> {
        while batch.len() < limits::COLLECT_BATCH {
            match self.queue.next(Lane::Results).now_or_never() {
                Some(Ok(delivery)) => batch.push(delivery),
                Some(Err(_)) | None => break,
            }
        }
        batch
    }

    /// Sends a task again whose message nobody answered: workers may have died of other causes than this task, so the
    /// next attempt runs alone, and only that one counts.
    pub(crate) async fn take_up(&self, letter: Delivery, now: Timestamp) -> Result<(), CoordinatorError> {
        let task = letter.envelope().task()?;
        let (run, id, attempt) = (task.run, task.id, task.attempt);
        self.metrics.dead_letters.add(1, []);
        tracing::warn!(run.id = %run, task.id = %id, attempt = attempt.0, "nobody answered for attempt {attempt} of task {id}");
        self.store.dead_letter(task.id, task.attempt, now).await?;
        self.tell(&[task.id]).await?;
        letter.ack().await?;
        Ok(())
    }

    async fn record(&self, batch: Vec<Delivery>, now: Timestamp) -> Result<(), CoordinatorError> {
        let results: Vec<_> = batch.iter().map(|delivery| delivery.envelope().result()).collect::<Result<_, _>>()?;
        let _spans = spans_of(results.iter().map(|result| result.run), |run, tasks| run_span!("collect", run, tasks));
        let recorded = around(Effect::ResultsRecord, self.store.record(&results, now)).await?;
        recorded.iter().for_each(|recorded| self.metrics.results.add(1, [recorded.as_str()]));
        // What was up to date makes most of a run, and the report tells of it.
        let news = recorded.iter().zip(&results).filter(|(recorded, _)| **recorded == Recorded::First);
        self.tell(&news.map(|(_, result)| result.task).collect::<Vec<_>>()).await?;
        for delivery in batch {
            let acked = around(Effect::ResultAck, delivery.ack()).await;
            acked.inspect_err(|_| self.metrics.queue_failures.add(1, ["results", "ack"]))?;
        }
        Ok(())
    }

    /// Tells listeners which of `tasks` are done and which wait, and the loops that there is something to do.
    async fn tell(&self, tasks: &[TaskId]) -> Result<(), CoordinatorError> {
        // Nobody need be listening, and then nothing is read for it.
        if self.events.receiver_count() > 0 {
            self.store.report_rows_of(tasks).await?.into_iter().for_each(|row| self.tell_event(Event::Ended(row)));
            self.store.waiting_of(tasks).await?.into_iter().for_each(|waiting| self.tell_event(Event::Waits(waiting)));
        }
        self.run_finished.notify_one();
        self.tasks_ready.notify_one();
        Ok(())
    }
}
