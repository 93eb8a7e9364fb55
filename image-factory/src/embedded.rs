//! The whole factory in one process: coordinator and worker around a Queue in memory and a Store on disk. The only
//! place that knows this mode.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use backends::{MemoryQueue, Queue, Store};
use coordinator::intake::Submission;
use coordinator::{Coordinator, Pace};
use daemon::Shutdown;
use jobfile::{Job, JobFile};
use proto::{Outcome, RunId, limits};
use registry::Client;
use tokio_util::sync::CancellationToken;
use worker::{Activity, Tools, Worker};

use crate::data::{DataFolder, DataLock};
use crate::exit::UsageError;
use crate::progress::{DRAW_EVERY, Progress, Standing, say};

/// A factory within this process, alone in its data folder.
pub(crate) struct Factory {
    coordinator: Coordinator,
    store: Store,
    queue: Arc<dyn Queue>,
    tools: Tools,
    slots: usize,
    /// Held as long as the factory works.
    _lock: DataLock,
}

impl Factory {
    /// Takes the data folder, and closes what a run that was killed left open: what it placed stays on record.
    pub(crate) async fn open(
        data: &DataFolder,
        client: Client,
        slots: usize,
        retry_after: [Duration; 2],
    ) -> anyhow::Result<Self> {
        let lock = data.lock()?;
        let store = Store::open(&data.store()).await.context("open the data folder's database")?;
        let store = store.with_retry_after(retry_after);
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new());
        let tools = Tools::new(client.clone(), Activity::default());
        let pace = Pace::for_slots(slots).with_retry_after(retry_after);
        let coordinator = Coordinator::new(store.clone(), queue.clone(), client, pace, data.reports());
        for run in store.open_runs().await? {
            tracing::warn!(run.id = %run.id, "run {} was cut off: it is closed, with a report", run.id.short());
            coordinator.interrupt(run.id).await?;
        }
        Ok(Self { coordinator, store, queue, tools, slots, _lock: lock })
    }

    /// Refuses the job file at `path` if a job of its name was last run from another: both would own the same tags.
    pub(crate) async fn refuse_namesake(&self, job: &str, path: &str) -> anyhow::Result<()> {
        match self.store.newest_run_of(job).await? {
            Some(run) if run.file_path != path => Err(UsageError(format!(
                "job `{job}` was last run from `{}`, and this file is `{path}`: if it is another job, give it another \
                 name, under `jobs` or with `--job`; if the file has moved, say `--job {job}`",
                run.file_path
            ))
            .into()),
            _ => Ok(()),
        }
    }

    /// Runs a job of `file` to its report. Once `shutdown` drains, running copies are finished, the rest is cancelled, and the
    /// report says so; once it stops, nothing more is done, and none is returned.
    pub(crate) async fn run(
        &self,
        file: &JobFile,
        job: &Job,
        submission: Submission,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Option<RunId>> {
        let name = submission.job.clone();
        let run = self.coordinator.submit(file, submission).await?;
        tokio::select! {
            biased;
            () = shutdown.stop.cancelled() => Ok(None),
            never = self.show(run, format!("{name}  run {}", run.short())) => match never {},
            result = Box::pin(self.work(run, job, shutdown)) => result.map(|()| Some(run)),
        }
    }

    /// Where the report of an ended run is.
    pub(crate) async fn report_of(&self, run: RunId) -> anyhow::Result<PathBuf> {
        let report = self.store.run(run).await?.report.context("the run has no report")?;
        Ok(report.path.into())
    }

    /// Everything at once, ending in this order: no more is taken, what ended is recorded, what is left is cancelled.
    async fn work(&self, run: RunId, job: &Job, shutdown: &Shutdown) -> anyhow::Result<()> {
        let taking = Shutdown { drain: shutdown.drain.child_token(), stop: shutdown.stop.child_token() };
        let recording = CancellationToken::new();
        let worker = Worker::new(self.queue.clone(), self.tools.clone(), self.slots, limits::DRAIN_GRACE);
        let take = async {
            worker.run(taking.clone()).await.context("take tasks")?;
            recording.cancel();
            anyhow::Ok(())
        };
        let conclude = async {
            tokio::select! {
                reported = self.coordinator.reported(run) => reported.context("wait for the report")?,
                () = shutdown.drain.cancelled() => {
                    say("stopping: finishing what is under way; interrupt again to leave at once");
                }
            }
            taking.drain.cancel();
            anyhow::Ok(())
        };
        let expand = async { self.coordinator.expand(run, job, &taking.drain).await.context("expand the job file") };
        let coordinate = async { self.coordinator.run(&recording).await.context("coordinate") };
        tokio::try_join!(take, conclude, expand, coordinate)?;
        self.coordinator.interrupt(run).await.context("close the run")
    }

    /// Shows how far the run is, for as long as it is polled.
    async fn show(&self, run: RunId, name: String) -> Infallible {
        let mut progress = Progress::begin(name);
        let mut events = self.coordinator.listen();
        let mut ticks = tokio::time::interval(DRAW_EVERY);
        loop {
            tokio::select! {
                // A listener that is behind misses lines, and all of them are in the report.
                event = events.recv() => if let Ok(event) = event { progress.tell(&event) },
                // Whether a Store that fails ends the run is for the coordinator to say.
                _ = ticks.tick() => if let Ok(standing) = self.standing(run).await { progress.show(&standing) },
            }
        }
    }

    async fn standing(&self, run: RunId) -> anyhow::Result<Standing> {
        // The run's own counters: counting the rows of its tasks would cost more with every image.
        let run = self.store.run(run).await?;
        Ok(Standing {
            images: run.counts.tasks,
            complete: run.expanded,
            done: Outcome::ALL.map(|outcome| run.counts.of(outcome)),
            moving: self.tools.activity.snapshot(),
        })
    }
}
