//! The whole factory in one process: coordinator and worker around a Queue in memory and a Store on disk. The only
//! place that knows this mode.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use backends::store::{Run, RunEnd};
use backends::{Ledger, LocalLedger, MemoryQueue, Queue, Store};
use coordinator::Extent;
use coordinator::audit::Audit;
use coordinator::intake::Submission;
use coordinator::report::Reports;
use coordinator::{Coordinator, Event, Pace};
use daemon::Shutdown;
use jobfile::{Job, JobFile, RepositoryLocation};
use proto::{Host, Outcome, Repository, RunId, limits};
use registry::Client;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use worker::{Activity, ContentStore, Tools, Worker};

use crate::data::{DataFolder, DataLock};
use crate::machine::Machine;
use crate::progress::{DRAW_EVERY, Display, Progress, Standing, say, warn};
use crate::records;

/// Rows read at once.
const ROWS: usize = 500;

/// A factory within this process, alone in its data folder.
pub(crate) struct Factory {
    coordinator: Arc<Coordinator>,
    store: Store,
    queue: Arc<dyn Queue>,
    tools: Tools,
    client: Client,
    ledger: Arc<LocalLedger>,
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
        let lock = data.lock().await?;
        let store = Store::open(&data.store()).await.context("open the data folder's database")?;
        let store = store.with_retry_after(retry_after);
        let queue: Arc<dyn Queue> = Arc::new(MemoryQueue::new());
        let content = ContentStore::open(data.scratch(), limits::CONTENT_BYTES_MAX).await?;
        let pace = Pace::for_slots(slots).with_retry_after(retry_after);
        let coordinator = Coordinator::new(store.clone(), queue.clone(), pace, Reports::Folder(data.reports()));
        let cut_off = store.open_runs().await?;
        let ledger = LocalLedger::open(&data.ledger()).await;
        // Asked of the last run, and not only of an open one: who closed that may have been killed before it made up for it.
        let is_complete = |run: &Run| run.ended.is_some_and(|(end, _)| end != RunEnd::Interrupted);
        let ledger = if store.runs(1).await?.iter().all(is_complete) { ledger } else { ledger.doubted() };
        let ledger = Arc::new(ledger);
        let tools = Tools::new(client.clone(), ledger.clone(), Activity::default()).with_content(content);
        for run in cut_off {
            warn(&format!("run {} was cut off: it is closed, with a report", run.id.short()));
            coordinator.interrupt(run.id).await?;
        }
        Ok(Self { coordinator: Arc::new(coordinator), store, queue, tools, client, ledger, slots, _lock: lock })
    }

    /// As [`records::refuse_namesake`].
    pub(crate) async fn refuse_namesake(&self, job: &str, path: &str) -> anyhow::Result<()> {
        records::refuse_namesake(&self.store, job, path).await
    }

    /// How many placements of a job an audit is of.
    pub(crate) async fn placed(&self, job: &str, audit: &Audit) -> anyhow::Result<usize> {
        Ok(audit.placements(&self.store, job).await?)
    }

    /// Whether a run read back what was placed.
    pub(crate) async fn is_audit(&self, run: RunId) -> anyhow::Result<bool> {
        Ok(self.store.run(run).await?.only.is_some_and(|only| Audit::is_named_by(&only)))
    }

    /// Runs a job of `file`, limited to `extent`, to its report. Once `shutdown` drains, running copies are finished, the
    /// rest is cancelled, and the report says so; once it stops, nothing more is done, and none is returned.
    pub(crate) async fn run(
        &self,
        file: &JobFile,
        (job, extent): (&Job, &Extent),
        submission: Submission,
        machine: Option<&mut Machine>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Option<Run>> {
        let name = submission.job.clone();
        let events = self.coordinator.listen();
        let id = self.coordinator.submit(file, submission).await?;
        let progress = Progress::begin(format!("{name}  run {}", id.short()), Display::begin(machine.is_some()));
        let mut show = Show { run: id, store: &self.store, activity: &self.tools.activity, events, progress, machine };
        if let Some(machine) = &mut show.machine {
            machine.begin(&self.store.run(id).await?)?;
        }
        self.recall(job).await;
        tokio::select! {
            biased;
            () = shutdown.stop.cancelled() => return Ok(None),
            never = show.go_on() => match never? {},
            result = Box::pin(self.work(id, (job, extent), shutdown)) => result?,
        }
        // What was learned last would be lost with the process, and asked for again.
        self.ledger.flush().await;
        show.end().await.map(Some)
    }

    /// What was not done right in a run: its images, and the repositories that could not be listed. The run is closed.
    pub(crate) async fn undone(&self, run: RunId, only_failed: bool) -> anyhow::Result<Vec<String>> {
        let mut names = Vec::new();
        records::each_undone(&self.store, run, |row| {
            if !only_failed || row.outcome == Outcome::Failed {
                names.push(row.source);
            }
        })
        .await?;
        Ok(names)
    }

    /// Reminds the client of what it learned of a job's registries before.
    async fn recall(&self, job: &Job) {
        for repository in registries(job).values() {
            if let Some(learned) = self.ledger.learned(repository.host()).await {
                // Settings that cannot be read are told when the registry is needed.
                let _ = self.client.recall(repository, &learned).await;
            }
        }
    }

    /// Keeps what was learned of a job's registries, and all else that the Ledger holds, for the next time.
    async fn keep(&self, job: &Job) {
        for repository in registries(job).values() {
            if let Ok(Some(learned)) = self.client.learned(repository).await {
                self.ledger.keep_learned(repository.host(), &learned).await;
            }
        }
        self.ledger.flush().await;
    }

    /// Everything at once, ending in this order: no more is taken, what ended is recorded, what is left is cancelled.
    async fn work(&self, run: RunId, (job, extent): (&Job, &Extent), shutdown: &Shutdown) -> anyhow::Result<()> {
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
        let expand = async {
            let expanded = self.coordinator.expand(run, &self.client, job, extent, &taking.drain);
            expanded.await.context("expand the job file")
        };
        // As a task it runs where workers do, and need not wake another thread with each of its steps.
        let (coordinator, until) = (Arc::clone(&self.coordinator), recording.clone());
        let coordinating = AbortOnDropHandle::new(tokio::spawn(async move { coordinator.run(&until).await }));
        let coordinate = async { coordinating.await.context("coordinate")?.context("coordinate") };
        tokio::try_join!(take, conclude, expand, coordinate)?;
        // Before the run counts as closed: a Ledger of which something may be lost is doubted.
        self.keep(job).await;
        self.coordinator.end(run).await.context("close the run")
    }
}

/// A repository of each registry that a job reads from or writes to.
fn registries(job: &Job) -> BTreeMap<Host, Repository> {
    let lines = job.sources.iter().flat_map(|source| &source.lines);
    let destinations = lines.flat_map(|line| &line.destinations);
    let locations = job.sources.iter().map(|source| &source.location).chain(destinations);
    let repositories = locations.filter_map(|location| match location {
        RepositoryLocation::Registry(repository) => Some((repository.host().clone(), repository.clone())),
        RepositoryLocation::Layout { .. } => None,
    });
    repositories.collect()
}

/// Shows one run: to a person how far it is, to a program what happened.
struct Show<'a> {
    run: RunId,
    store: &'a Store,
    activity: &'a Activity,
    events: broadcast::Receiver<Event>,
    progress: Progress,
    machine: Option<&'a mut Machine>,
}

impl Show<'_> {
    /// Goes on for as long as it is polled; ends only if a program that listens has gone wrong.
    async fn go_on(&mut self) -> anyhow::Result<Infallible> {
        let mut ticks = tokio::time::interval(DRAW_EVERY);
        loop {
            tokio::select! {
                // A listener that is behind misses lines: a person finds all in the report, a program hears at the end.
                event = self.events.recv() => if let Ok(event) = event { self.tell(&event)? },
                // Whether a Store that fails ends the run is for the coordinator to say.
                _ = ticks.tick() => if let Ok(standing) = self.standing().await { self.progress.show(&standing) },
            }
        }
    }

    fn tell(&mut self, event: &Event) -> anyhow::Result<()> {
        self.progress.tell(event);
        match &mut self.machine {
            Some(machine) => machine.tell(event),
            None => Ok(()),
        }
    }

    /// Tells what is left to tell of a run that has its report.
    async fn end(mut self) -> anyhow::Result<Run> {
        while let Ok(event) = self.events.try_recv() {
            self.tell(&event)?;
        }
        let run = self.store.run(self.run).await?;
        if let Some(machine) = self.machine {
            let mut after = None;
            loop {
                let rows = self.store.report_rows(run.id, after.as_deref(), ROWS).await?;
                let Some(last) = rows.last() else { break };
                after = Some(last.source.clone());
                for row in rows {
                    machine.row(&row)?;
                }
            }
        }
        Ok(run)
    }

    async fn standing(&self) -> anyhow::Result<Standing> {
        // The run's own counters: counting the rows of its tasks would cost more with every image.
        let run = self.store.run(self.run).await?;
        Ok(Standing {
            images: run.counts.tasks,
            complete: run.expanded,
            done: Outcome::ALL.map(|outcome| run.counts.of(outcome)),
            moving: self.activity.snapshot(),
        })
    }
}
