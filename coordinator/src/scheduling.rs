//! Starts what is due by the schedules of the jobs in force, each time once.

use std::collections::BTreeMap;
use std::sync::Arc;

use backends::Evidence;
use jiff::Timestamp;
use jobfile::Schedule;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::catalogue::CatalogueJob;
use crate::coordinator::{Coordinator, Failures};
use crate::error::CoordinatorError;
use crate::expand::Only;
use crate::intake::{Request, Submission, prepare, tell_begun};
use crate::order::Extent;
use crate::schedule::{Due, Runs, Seen, Step, look};

/// The jobs in force, by their names, as they change.
pub type Jobs = watch::Receiver<Arc<BTreeMap<String, CatalogueJob>>>;

impl Coordinator {
    /// Starts the runs of `jobs` that are due, until `stop`.
    ///
    /// # Errors
    /// Another coordinator leads.
    pub(crate) async fn schedule_until(
        &self,
        jobs: &Jobs,
        evidence: &Evidence,
        stop: &CancellationToken,
    ) -> Result<(), CoordinatorError> {
        let mut failures = Failures::new(self.pace);
        while !stop.is_cancelled() {
            let jobs = Arc::clone(&jobs.borrow());
            failures.note(self.start_due(&jobs, evidence, Timestamp::now()).await).await?;
            let _ = stop.run_until_cancelled(tokio::time::sleep(self.pace.tick)).await;
        }
        Ok(())
    }

    async fn start_due(
        &self,
        jobs: &BTreeMap<String, CatalogueJob>,
        evidence: &Evidence,
        now: Timestamp,
    ) -> Result<(), CoordinatorError> {
        let paused = self.store.paused_schedules().await?;
        for (name, entry) in jobs {
            let Some(schedule) = &entry.job().schedule else { continue };
            if paused.iter().any(|pause| pause.job == *name) {
                // What passes meanwhile was not missed.
                self.store.settle_schedule(name, now).await?;
                continue;
            }
            let seen = self.seen(name, schedule, now).await?;
            if let Some(due) = look(name, schedule, &seen, now).due {
                self.settle(name, entry, due, evidence).await?;
            }
        }
        Ok(())
    }

    /// What is on record of a job.
    async fn seen(&self, name: &str, schedule: &Schedule, now: Timestamp) -> Result<Seen, CoordinatorError> {
        let since = self.store.schedule_since(name, &schedule.to_string(), now).await?;
        let runs = match self.store.newest_run_of(name).await? {
            Some(run) => run.ended.map_or(Runs::Open, |(_, at)| Runs::Ended(Some(at))),
            None => Runs::Ended(None),
        };
        Ok(Seen { since, runs })
    }

    async fn settle(
        &self,
        name: &str,
        entry: &CatalogueJob,
        due: Due,
        evidence: &Evidence,
    ) -> Result<(), CoordinatorError> {
        let due_at = due.firing.due_at;
        match due.step {
            Step::Wait => {}
            Step::Skip(reason) => {
                let reason = reason.as_str();
                tracing::warn!(
                    job = name,
                    "the run of job {name} that was due at {due_at} is left out, because {reason}"
                );
                self.store.settle_schedule(name, due_at).await?;
            }
            Step::Start => {
                let submission = Submission {
                    job: name.to_owned(),
                    path: entry.path.clone(),
                    commit: entry.revision.clone(),
                    started_by: "schedule".to_owned(),
                    take_over: false,
                    only: None,
                };
                let request = Request { submission, extent: Extent::Listed(Only::All), key: None };
                let run = prepare(evidence, &entry.file, request).await?;
                // Whoever else starts it gets the same run.
                let begun = self.store.fire(&run, due_at).await?;
                if begun.is_new {
                    for warning in entry.file.warnings.lines() {
                        self.store.add_warning(begun.run, &warning).await?;
                    }
                    if due.first < due_at {
                        let warning = format!("this run stands for all that were due since {}", due.first);
                        self.store.add_warning(begun.run, &warning).await?;
                    }
                    tell_begun(&run);
                }
            }
        }
        Ok(())
    }
}
