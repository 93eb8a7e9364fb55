//! Hands out tasks that are due: publish, wait for the confirm, then mark.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use backends::Lane;
use daemon::crash::{Effect, around};
use daemon::run_span;
use futures_util::future::join_all;
use jiff::Timestamp;
use proto::{Envelope, Task, limits};

use crate::account::spans_of;
use crate::coordinator::Coordinator;
use crate::error::CoordinatorError;

impl Coordinator {
    /// Fills the window of published tasks.
    ///
    /// A crash after publishing and before marking leaves the task ready: it is published again, and the second
    /// result is recorded as a duplicate. What the Queue has lost is published again in the same way.
    pub(crate) async fn dispatch(&self, now: Timestamp) -> Result<(), CoordinatorError> {
        self.take_back_lost(now).await?;
        let published = self.store.published().await?;
        let room = self.window().await.saturating_sub(published);
        let tasks = around(Effect::TasksTake, self.store.take_ready(room, now)).await?;
        let _spans = spans_of(tasks.iter().map(|task| task.run), |run, tasks| run_span!("dispatch", run, tasks));
        // All at once: a broker confirms hundreds in the time of one.
        let sent = join_all(tasks.iter().map(|task| self.publish(task))).await;
        let held = tasks.into_iter().zip(&sent).filter_map(|(task, sent)| sent.is_ok().then_some(task));
        around(Effect::TasksMark, self.store.mark_published(&held.collect::<Vec<_>>())).await?;
        sent.into_iter().collect::<Result<(), _>>()?;
        // What could not be handed out at all was closed by the Store, and may have been the last.
        self.run_finished.notify_one();
        Ok(())
    }

    /// Tasks on the Queue at once: by the slots of the workers that live, where they say so.
    async fn window(&self) -> usize {
        let Some(crew) = &self.crew else { return self.pace.window };
        let Some(beats) = crew.beats().await else { return self.pace.window };
        let slots = beats.iter().filter(|beat| !beat.drains).map(|beat| beat.slots as usize).sum::<usize>();
        // Without any worker some wait for the first.
        slots.max(1) * limits::TASKS_PER_SLOT
    }

    async fn publish(&self, task: &Task) -> Result<(), CoordinatorError> {
        let envelope = Envelope::of_task(task)?;
        let published = around(Effect::TaskPublish, self.queue.publish(Lane::Tasks, &envelope)).await;
        published.inspect_err(|_| self.metrics.queue_failures.add(1, ["tasks", "publish"]))?;
        Ok(())
    }

    /// A Queue that was wiped forgets what it was given, and nobody will answer for that.
    async fn take_back_lost(&self, now: Timestamp) -> Result<(), CoordinatorError> {
        // While tasks wait, those before them are late rather than lost.
        if self.queue.depth(Lane::Tasks).await? > 0 {
            // Workers may have been slow to say so; what they now take is not lost.
            if self.crew.is_some() {
                *self.seen_empty() = None;
            }
            return Ok(());
        }
        let since = *self.seen_empty().get_or_insert(now);
        let lost = match &self.crew {
            None if passed(since, now) > limits::ANSWER_WITHIN => {
                *self.seen_empty() = None;
                self.store.take_back_unanswered(since, &[]).await?
            }
            // Those that workers say they have are under way.
            Some(crew) if passed(since, now) > limits::EMPTY_FOR => {
                let Some(beats) = crew.beats().await else { return Ok(()) };
                let running: Vec<_> = beats.iter().flat_map(|beat| &beat.running).map(|running| running.task).collect();
                let before = now.checked_sub(limits::SILENT_FOR).unwrap_or(Timestamp::MIN);
                self.store.take_back_unanswered(before, &running).await?
            }
            _ => return Ok(()),
        };
        if lost > 0 {
            tracing::warn!(tasks = lost, "{lost} tasks were not answered for, and are published again");
        }
        Ok(())
    }

    /// Since when the lane of tasks is seen empty.
    fn seen_empty(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.seen_empty.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn passed(since: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(since).unsigned_abs()
}
