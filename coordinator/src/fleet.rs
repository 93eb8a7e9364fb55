//! What the coordinator of a fleet does beside handing out and recording: it expands what others began, starts
//! what is due, and cleans up.

use std::time::Duration;

use backends::Evidence;
use jiff::{SignedDuration, Timestamp};
use registry::Options;
use tokio_util::sync::CancellationToken;

use crate::coordinator::{Coordinator, Failures};
use crate::error::CoordinatorError;
use crate::scheduling::Jobs;

/// How often it is looked for what is kept no longer.
const CLEAN_EVERY: Duration = Duration::from_secs(60 * 60);

/// Rows that are deleted in one transaction: others wait meanwhile.
const CLEAN_BATCH: usize = 2_000;

/// What a fleet's coordinator works with beside Store and Queue.
#[derive(Clone)]
pub struct Fleet {
    /// Where orders, bundles and reports lie.
    pub evidence: Evidence,
    /// What clients of registries are told beside the settings of their job file.
    pub options: Options,
    /// How long what runs did is kept.
    pub retention: Retention,
    /// The jobs in force, of which those with a schedule are started.
    pub jobs: Jobs,
}

/// How long what runs did is kept after their ends.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Tasks and attempts.
    pub tasks: SignedDuration,
    /// Runs and their reports.
    pub runs: SignedDuration,
}

impl Default for Retention {
    /// 90 days, and seven years.
    fn default() -> Self {
        Self { tasks: SignedDuration::from_hours(90 * 24), runs: SignedDuration::from_hours(7 * 366 * 24) }
    }
}

impl Coordinator {
    /// Does all that the leader of a fleet does, until `stop`.
    ///
    /// # Errors
    /// Another coordinator leads.
    pub async fn run_fleet(&self, fleet: &Fleet, stop: &CancellationToken) -> Result<(), CoordinatorError> {
        tokio::try_join!(
            self.run(stop),
            Box::pin(self.expand_until(&fleet.evidence, &fleet.options, stop)),
            Box::pin(self.schedule_until(&fleet.jobs, &fleet.evidence, stop)),
            self.clean_until(fleet.retention, stop),
        )?;
        Ok(())
    }

    async fn clean_until(&self, retention: Retention, stop: &CancellationToken) -> Result<(), CoordinatorError> {
        let mut failures = Failures::new(self.pace);
        while !stop.is_cancelled() {
            failures.note(self.clean(retention, Timestamp::now()).await).await?;
            let _ = stop.run_until_cancelled(tokio::time::sleep(CLEAN_EVERY)).await;
        }
        Ok(())
    }

    async fn clean(&self, retention: Retention, now: Timestamp) -> Result<(), CoordinatorError> {
        let before = |age| now.checked_sub(age).unwrap_or(Timestamp::MIN);
        loop {
            let done = self.store.clean_up(before(retention.tasks), before(retention.runs), CLEAN_BATCH).await?;
            if done == Default::default() {
                return Ok(());
            }
            tracing::info!(
                tasks = done.tasks,
                runs = done.runs,
                "deleted {} tasks and {} runs that are kept no longer",
                done.tasks,
                done.runs
            );
        }
    }
}
