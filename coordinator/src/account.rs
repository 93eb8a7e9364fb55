//! What is counted and told of runs.

use std::collections::BTreeMap;

use backends::Lane;
use backends::store::Run;
use proto::{Outcome, RunId};
use tracing::Span;

use crate::coordinator::Coordinator;
use crate::error::CoordinatorError;

/// The lanes whose messages are counted, by their names in metrics.
const LANES: [(Lane, &str); 3] = [(Lane::Tasks, "tasks"), (Lane::Results, "results"), (Lane::DeadTasks, "dead_tasks")];

/// A span in the trace of each of these runs, for one step that works for all of them; each is told how often it is named.
pub(crate) fn spans_of(runs: impl Iterator<Item = RunId>, span: impl Fn(RunId, u64) -> Span) -> Vec<Span> {
    let mut counts = BTreeMap::new();
    runs.for_each(|run| *counts.entry(run).or_default() += 1);
    counts.into_iter().map(|(run, tasks)| span(run, tasks)).collect()
}

/// Says how a run ended, in one line, and writes the span over all that was done for it.
pub(crate) fn close(run: &Run) {
    let Some((end, ended_at)) = run.ended else { return };
    let (id, job, outcome) = (run.id, &run.job, end.as_str());
    daemon::trace::end(id.as_u128(), job, outcome, run.started_at.into(), ended_at.into());
    let counts = Outcome::ALL.map(|outcome| (run.counts.of(outcome), outcome));
    let counts: Vec<_> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, outcome)| format!("{n} {outcome}")).collect();
    let duration_ms = ended_at.duration_since(run.started_at).as_millis();
    tracing::info!(
        run.id = %id,
        job,
        outcome,
        duration_ms,
        "run {id} of job `{job}` {outcome} after {duration_ms} ms: {}",
        if counts.is_empty() { "no images".to_owned() } else { counts.join(", ") }
    );
}

impl Coordinator {
    /// Brings up to date what is counted elsewhere: before each look at the metrics.
    ///
    /// # Errors
    /// The Store or the Queue does not answer.
    pub async fn measure(&self) -> Result<(), CoordinatorError> {
        let runs = self.store.open_runs().await?;
        self.metrics.runs_open.set(runs.len() as f64, []);
        let [mut ready, mut published, mut deferred] = [0; 3];
        for run in runs {
            let progress = self.store.progress(run.id).await?;
            ready += progress.ready;
            published += progress.published;
            deferred += progress.deferred;
        }
        for (state, tasks) in [("ready", ready), ("published", published), ("deferred", deferred)] {
            self.metrics.tasks.set(tasks as f64, [state]);
        }
        for (job, at) in self.store.last_successes().await? {
            self.metrics.last_success.set(at.as_second() as f64, [&job]);
        }
        for (lane, name) in LANES {
            self.metrics.messages.set(self.queue.depth(lane).await? as f64, [name]);
        }
        Ok(())
    }
}
