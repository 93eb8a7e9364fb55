//! Gives finished runs their report.

use daemon::crash::{Effect, around};
use daemon::run_span;
use jiff::Timestamp;

use crate::account;
use crate::coordinator::Coordinator;
use crate::error::CoordinatorError;

impl Coordinator {
    /// Closes every run that has nothing left to do, and writes its report.
    pub(crate) async fn close_finished(&self, now: Timestamp) -> Result<(), CoordinatorError> {
        self.store.postpone_overdue(now).await?;
        if !self.pace.stays {
            for run in self.store.open_runs().await? {
                self.store.postpone_deferred(run.id, now).await?;
            }
        }
        for run in self.store.closable_runs().await? {
            let span = run_span!("close", run.id);
            around(Effect::RunFinish, self.store.finish_run(run.id, now)).await?;
            // Read again: the report quotes how and when it ended.
            let run = self.store.run(run.id).await?;
            let report = self.reports.write(&self.store, &run).await?;
            around(Effect::ReportNote, self.store.set_report(run.id, &report)).await?;
            drop(span);
            account::close(&run);
            self.run_reported.notify_waiters();
        }
        Ok(())
    }
}
