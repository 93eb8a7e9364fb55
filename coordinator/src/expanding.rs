//! Expands the open runs of a fleet, whoever began them, by the orders that they were begun with.

use std::collections::HashSet;

use backends::Evidence;
use backends::store::{Pinned, Run};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use proto::RunId;
use registry::{Client, Options};
use tokio_util::sync::CancellationToken;

use crate::coordinator::{Coordinator, Failures};
use crate::error::CoordinatorError;
use crate::order::{Order, job_of};

/// Runs that are expanded at once: each lists many repositories at once.
const RUNS: usize = 4;

impl Coordinator {
    /// Expands runs as they are begun, until `stop`. Sources are listed by clients with `options`.
    ///
    /// A run that was half expanded is expanded again: what it has already stays as it is.
    ///
    /// # Errors
    /// Another coordinator leads.
    pub(crate) async fn expand_until(
        &self,
        evidence: &Evidence,
        options: &Options,
        stop: &CancellationToken,
    ) -> Result<(), CoordinatorError> {
        let (mut under_way, mut runs) = (FuturesUnordered::new(), HashSet::new());
        let mut failures = Failures::new(self.pace);
        while !stop.is_cancelled() {
            let due = self.unexpanded(&runs).await;
            let listed = due.map(|due| {
                for (run, pinned) in due.into_iter().take(RUNS.saturating_sub(runs.len())) {
                    runs.insert(run.id);
                    let expand = self.expand_pinned(run.clone(), pinned, evidence, options, stop);
                    under_way.push(async move { (run.id, Box::pin(expand).await) });
                }
            });
            failures.note(listed).await?;
            tokio::select! {
                Some((run, expanded)) = under_way.next() => {
                    runs.remove(&run);
                    failures.note(expanded).await?;
                }
                () = tokio::time::sleep(self.pace.tick) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    /// The open runs that lack tasks, without those `under_way`. One whose time is over will not get them.
    async fn unexpanded(&self, under_way: &HashSet<RunId>) -> Result<Vec<(Run, Pinned)>, CoordinatorError> {
        let (now, mut due) = (Timestamp::now(), Vec::new());
        for run in self.store.open_runs().await? {
            let Some(pinned) = run.pinned.clone().filter(|_| !run.expanded && !under_way.contains(&run.id)) else {
                continue;
            };
            if run.deadline.is_some_and(|deadline| deadline <= now) {
                let warning = "the run's time was over before all its repositories were listed";
                self.store.add_warning(run.id, warning).await?;
                self.store.interrupt_run(run.id, now).await?;
                self.run_finished.notify_one();
            } else {
                due.push((run, pinned));
            }
        }
        Ok(due)
    }

    async fn expand_pinned(
        &self,
        run: Run,
        pinned: Pinned,
        evidence: &Evidence,
        options: &Options,
        stop: &CancellationToken,
    ) -> Result<(), CoordinatorError> {
        let order = Order::read(evidence, &pinned.order).await?;
        let faults = |faults: String| CoordinatorError::Order { run: run.id, faults };
        let file = order.pack.parse().map_err(|found| faults(found.to_string()))?;
        let Some(job) = job_of(&file, &order.job) else { return Err(faults(format!("no job `{}`", order.job))) };
        let client = Client::new(&file.access, options.clone())?;
        tracing::info!(run.id = %run.id, job = run.job, "expanding run {} of job {}", run.id.short(), run.job);
        self.expand(run.id, &client, job, &order.extent, stop).await
    }
}
