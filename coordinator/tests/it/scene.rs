//! A run in a Store of its own, at fixed times, whose tasks end as a test says; and its report.

use std::path::PathBuf;

use backends::Store;
use backends::store::{NewDestination, NewRun, NewTask, Origin, RunEnd};
use jiff::Timestamp;
use proto::failure::{Class, Code};
use proto::outcome::{DestinationResult, End, Spent, StageTime};
use proto::task::{Fingerprint, TaskKind};
use proto::{Content, Digest, Failure, Location, RunId, Stage, Task, TaskId, TaskResult};
use tempfile::TempDir;

/// An open run and a folder for reports.
pub(crate) struct Scene {
    pub(crate) store: Store,
    pub(crate) run: RunId,
    folder: TempDir,
}

pub(crate) const RUN: &str = "0192f0c0ffee70008000000000000001";

impl Scene {
    /// A run called [`RUN`] of the job `nightly`.
    pub(crate) async fn new() -> Self {
        Self::of("nightly", RUN).await
    }

    pub(crate) async fn of(job: &str, run: &str) -> Self {
        Self::over(Store::in_memory().await.unwrap(), job, run, None).await
    }

    /// A run of a part of the job `nightly`.
    pub(crate) async fn limited_to(only: &str) -> Self {
        Self::over(Store::in_memory().await.unwrap(), "nightly", RUN, Some(only)).await
    }

    /// Another run of the job, called `run`, on the same Store.
    pub(crate) async fn next(&self, run: &str) -> Self {
        Self::over(self.store.clone(), "nightly", run, None).await
    }

    async fn over(store: Store, job: &str, run: &str, only: Option<&str>) -> Self {
        let new = NewRun {
            id: run.parse().unwrap(),
            job: job.to_owned(),
            file_digest: Digest::of(b"file"),
            file_path: "/jobs/nightly.yaml".to_owned(),
            git_commit: Some("9c2f31e0aa5d".to_owned()),
            started_by: "robot".to_owned(),
            take_over: false,
            only: only.map(ToOwned::to_owned),
            started_at: at(0),
            key: None,
            max_concurrency: None,
            deadline: None,
            pinned: None,
        };
        store.create_run(&new).await.unwrap();
        Self { store, run: new.id, folder: TempDir::new().unwrap() }
    }

    /// Adds a task for each source, to these destinations.
    pub(crate) async fn add(&self, sources: impl IntoIterator<Item = String>, destinations: &[&str]) {
        let place = |place: &&str, source: &str| location(&place.replace("{}", source)).into();
        let task = |source: String| task(&source, destinations.iter().map(|to| place(to, &source)).collect());
        let tasks: Vec<NewTask> = sources.into_iter().map(task).collect();
        self.store.add_tasks(self.run, &tasks, at(1)).await.unwrap();
    }

    /// Adds a task whose destinations tell who wants the image there, and what of it.
    pub(crate) async fn add_wanted(&self, source: &str, destinations: Vec<NewDestination>) {
        self.store.add_tasks(self.run, &[task(source, destinations)], at(1)).await.unwrap();
    }

    /// Takes all that is due, and records an end for each destination.
    pub(crate) async fn work(&self, end: impl Fn(&Location, &Location) -> End) {
        let tasks = self.store.take_ready(10_000, at(2)).await.unwrap();
        self.store.mark_published(&tasks).await.unwrap();
        let results: Vec<TaskResult> = tasks.iter().map(|task| result(task, &end)).collect();
        for results in results.chunks(200) {
            self.store.record(results, at(14)).await.unwrap();
        }
    }

    /// Ends the run, or interrupts it, and writes its report; the folder of its files.
    pub(crate) async fn report(&self, end: RunEnd) -> PathBuf {
        match end {
            RunEnd::Finished => {
                self.store.set_expanded(self.run, at(2)).await.unwrap();
                assert!(self.store.finish_run(self.run, at(200)).await.unwrap(), "all tasks are done");
            }
            _ => assert!(self.store.interrupt_run(self.run, at(200)).await.unwrap()),
        }
        self.write().await.unwrap();
        self.folder()
    }

    pub(crate) async fn write(&self) -> Result<(), coordinator::CoordinatorError> {
        let run = self.store.run(self.run).await.unwrap();
        coordinator::report::write(&self.store, &run, self.folder.path()).await.map(drop)
    }

    /// Where the files of the report go.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().join(self.run.to_string())
    }
}

/// Wanted by a line of an owner's group, all of it.
pub(crate) fn wanted(place: &str, owner: &str, rule: &str) -> NewDestination {
    let origin = Origin {
        group: Some(format!("{owner}-images")),
        owner: Some(owner.to_owned()),
        rule: rule.to_owned(),
        place: "nightly.yaml:7:12".to_owned(),
        ..Origin::default()
    };
    NewDestination { origin, ..location(place).into() }
}

fn task(source: &str, destinations: Vec<NewDestination>) -> NewTask {
    NewTask { id: TaskId::new(), source: location(source), listed: None, sidecars: Default::default(), destinations }
}

fn result(task: &Task, end: impl Fn(&Location, &Location) -> End) -> TaskResult {
    let TaskKind::Mirror(mirror) = &task.kind;
    let destinations = mirror.destinations.iter().map(|destination| {
        let location = destination.location.clone();
        DestinationResult { end: end(&mirror.source, &location), location }
    });
    let stage = |stage, ms| StageTime { stage, ms };
    TaskResult {
        source_digest: Some(Digest::of(mirror.source.to_string().as_bytes())),
        spent: Spent { bytes_read: 3_000, bytes_written: 2_048, bytes_skipped: 1_024, ..Spent::default() },
        stages: vec![stage(Stage::Resolve, 120), stage(Stage::Push, 11_400)],
        ..TaskResult::new(task, destinations.collect())
    }
}

/// Seconds after the start of the run.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_317_400 + seconds).unwrap()
}

pub(crate) fn location(text: &str) -> Location {
    text.parse().unwrap()
}

/// Pushed, under a digest of its own.
pub(crate) fn pushed(source: &Location) -> End {
    let digest = Digest::of(source.to_string().as_bytes());
    let fingerprint = Fingerprint::of_copy(&digest, &Content::default());
    End::placed(digest, fingerprint, false)
}

pub(crate) fn failed(code: Code, message: &str, hint: Option<&str>) -> End {
    End::Failed(Failure::new(Some(Stage::Push), code, Class::Reject, message, hint))
}
