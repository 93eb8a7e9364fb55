//! Hands out tasks that are due: publish, wait for the confirm, then mark.

use std::sync::PoisonError;

use backends::Lane;
use daemon::crash::{Effect, around};
use daemon::run_span;
use jiff::Timestamp;
use proto::{Envelope, limits};

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
        let room = self.pace.window.saturating_sub(published);
        let tasks = around(Effect::TasksTake, self.store.take_ready(room, now)).await?;
        let _spans = spans_of(tasks.iter().map(|task| task.run), |run, tasks| run_span!("dispatch", run, tasks));
        for task in &tasks {
            let envelope = Envelope::of_task(task)?;
            let published = around(Effect::TaskPublish, self.queue.publish(Lane::Tasks, &envelope)).await;
            published.inspect_err(|_| self.metrics.queue_failures.add(1, ["tasks", "publish"]))?;
        }
        around(Effect::TasksMark, self.store.mark_published(&tasks)).await?;
        // What could not be handed out at all was closed by the Store, and may have been the last.
        self.run_finished.notify_one();
        Ok(())
    }

    /// A Queue that was wiped forgets what it was given, and nobody will answer for that.
    async fn take_back_lost(&self, now: Timestamp) -> Result<(), CoordinatorError> {
        // While tasks wait, those before them are late rather than lost.
        if self.queue.depth(Lane::Tasks).await? > 0 {
            return Ok(());
        }
        let Some(before) = self.due_before(now) else { return Ok(()) };
        let lost = self.store.take_back_unanswered(before).await?;
        if lost > 0 {
            tracing::warn!(tasks = lost, "{lost} tasks were not answered for, and are published again");
        }
        Ok(())
    }

    /// Notes that no task waits now; says what was published before when, if that must have been answered for by now.
    fn due_before(&self, now: Timestamp) -> Option<Timestamp> {
        let mut seen_empty = self.seen_empty.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *seen_empty.get_or_insert(now);
        let is_due = now.duration_since(before).unsigned_abs() > limits::ANSWER_WITHIN;
        seen_empty.take_if(|_| is_due)
    }
}
