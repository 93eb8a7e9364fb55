//! Hands out tasks that are due: publish, wait for the confirm, then mark.

use backends::Lane;
use daemon::crash::{Effect, around};
use jiff::Timestamp;
use proto::Envelope;

use crate::coordinator::Coordinator;
use crate::error::CoordinatorError;

impl Coordinator {
    /// Fills the window of published tasks.
    ///
    /// A crash after publishing and before marking leaves the task ready: it is published again, and the second
    /// result is recorded as a duplicate.
    pub(crate) async fn dispatch(&self, now: Timestamp) -> Result<(), CoordinatorError> {
        let published = self.store.published().await?;
        let room = self.pace.window.saturating_sub(published);
        let tasks = around(Effect::TasksTake, self.store.take_ready(room, now)).await?;
        for task in &tasks {
            let envelope = Envelope::of_task(task)?;
            around(Effect::TaskPublish, self.queue.publish(Lane::Tasks, &envelope)).await?;
        }
        around(Effect::TasksMark, self.store.mark_published(&tasks)).await?;
        // What could not be handed out at all was closed by the Store, and may have been the last.
        self.run_finished.notify_one();
        Ok(())
    }
}
