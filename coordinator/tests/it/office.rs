//! What the tests share: a coordinator with a Store, a Queue that can be made to fail, and workers by script.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use backends::store::NewRun;
use backends::{Delivery, Health, Lane, MemoryQueue, Queue, QueueError, Store};
use coordinator::Extent;
use coordinator::expand::Only;
use coordinator::intake::Submission;
use coordinator::report::Reports;
use coordinator::{Coordinator, CoordinatorError, Pace};
use jiff::Timestamp;
use jobfile::JobFile;
use proto::outcome::{DestinationResult, End, Spent};
use proto::settings::Access;
use proto::task::{Fingerprint, TaskKind};
use proto::{Content, Digest, Envelope, RunId, Task, TaskResult};
use registry::{Client, Options};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What `work` gives; fails the test if it takes far too long.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), work).await.expect("what the test waits for never came")
}

/// A Queue in memory that refuses tasks on command, or takes one and never says so, and looks into the Store.
pub(crate) struct TestQueue {
    inner: MemoryQueue,
    store: Store,
    /// How many more tasks are refused.
    pub(crate) refusals: AtomicUsize,
    /// Takes tasks, and never confirms them.
    pub(crate) is_mute: AtomicBool,
    /// How many tasks the Store held as ready when one was published.
    pub(crate) ready_when_published: Mutex<Vec<u64>>,
}

#[async_trait]
impl Queue for TestQueue {
    async fn publish(&self, lane: Lane, message: &Envelope) -> Result<(), QueueError> {
        if lane != Lane::Tasks {
            return self.inner.publish(lane, message).await;
        }
        if self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(QueueError::Refused { address: "memory".into(), lane, why: "a test wants it".into() });
        }
        let progress = self.store.progress(message.task().unwrap().run).await.unwrap();
        self.ready_when_published.lock().unwrap().push(progress.ready);
        self.inner.publish(lane, message).await?;
        if self.is_mute.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn next(&self, lane: Lane) -> Result<Delivery, QueueError> {
        self.inner.next(lane).await
    }

    async fn release(&self, lane: Lane) {
        self.inner.release(lane).await;
    }

    async fn depth(&self, lane: Lane) -> Result<u64, QueueError> {
        self.inner.depth(lane).await
    }

    async fn parked(&self) -> Result<u64, QueueError> {
        self.inner.parked().await
    }

    fn health(&self) -> Health {
        self.inner.health()
    }
}

/// Everything around a coordinator; the coordinator itself may come and go.
pub(crate) struct Office {
    pub(crate) store: Store,
    pub(crate) queue: Arc<TestQueue>,
    pub(crate) coordinator: Coordinator,
    folder: TempDir,
}

/// A run of the job `nightly`, for tests that make it themselves.
pub(crate) fn new_run(only: Option<String>, started_at: Timestamp) -> NewRun {
    NewRun {
        id: RunId::new(),
        job: "nightly".into(),
        file_digest: Digest::of(b"file"),
        file_path: "/jobs/nightly.yaml".into(),
        git_commit: None,
        started_by: "test".into(),
        take_over: false,
        only,
        started_at,
        key: None,
        max_concurrency: None,
        deadline: None,
        pinned: None,
    }
}

impl Office {
    pub(crate) async fn new() -> Self {
        Self::over(Store::in_memory().await.unwrap(), tempfile::tempdir().unwrap())
    }

    /// An office whose Store is a file, and the file.
    pub(crate) async fn with_file() -> (Self, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        (Self::over(Store::open(&path).await.unwrap(), folder), path)
    }

    fn over(store: Store, folder: TempDir) -> Self {
        let queue = Arc::new(TestQueue {
            inner: MemoryQueue::new(),
            store: store.clone(),
            refusals: AtomicUsize::new(0),
            is_mute: AtomicBool::new(false),
            ready_when_published: Mutex::default(),
        });
        let coordinator = coordinator(&store, &queue, folder.path());
        Self { store, queue, coordinator, folder }
    }

    /// Another coordinator over what the one before left.
    pub(crate) fn start_over(&mut self) {
        self.coordinator = coordinator(&self.store, &self.queue, self.folder.path());
    }

    /// Makes a run of `file` with all its tasks.
    pub(crate) async fn submit(&self, file: &JobFile) -> RunId {
        let submission = Submission {
            job: "nightly".into(),
            path: "/jobs/nightly.yaml".into(),
            commit: None,
            started_by: "test".into(),
            take_over: false,
            only: None,
        };
        let run = self.coordinator.submit(file, submission).await.unwrap();
        self.expand(run, file, &Extent::Listed(Only::All)).await;
        run
    }

    /// Writes the tasks of a run of the one job of `file`.
    pub(crate) async fn expand(&self, run: RunId, file: &JobFile, extent: &Extent) {
        let options = Options { retries: 0, ..Options::default() };
        let client = Client::new(&Access::default(), options).unwrap();
        let stop = CancellationToken::new();
        within(Box::pin(self.coordinator.expand(run, &client, &file.jobs[0], extent, &stop))).await.unwrap();
    }

    /// Makes a run of these tags of one repository, which need no listing.
    pub(crate) async fn submit_tags(&self, tags: &[&str]) -> RunId {
        let tags = tags.iter().map(|tag| format!("\"{tag}\"")).collect::<Vec<_>>().join(", ");
        self.submit(&file(&format!("  source.test/app: [{tags}]\n"))).await
    }

    /// Does `work` while the coordinator's loops run; with its end they are gone, wherever they were.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            ended = self.run() => panic!("the coordinator has ended: {ended:?}"),
            done = within(work) => done,
        }
    }

    /// Runs the coordinator's loops until they fail, and does `work` beside them.
    pub(crate) async fn failing_during<T>(&self, work: impl Future<Output = T>) -> CoordinatorError {
        let (ended, _) = within(async { tokio::join!(self.run(), work) }).await;
        ended.unwrap_err()
    }

    async fn run(&self) -> Result<(), CoordinatorError> {
        // A large future: in a box, those that hold it need not be.
        Box::pin(self.coordinator.run(&CancellationToken::new())).await
    }

    /// The next task as a worker would get it.
    pub(crate) async fn next_task(&self) -> (Delivery, Task) {
        let delivery = within(self.queue.next(Lane::Tasks)).await.unwrap();
        let task = delivery.envelope().task().unwrap();
        (delivery, task)
    }

    pub(crate) async fn answer(&self, result: &TaskResult) {
        self.queue.publish(Lane::Results, &Envelope::of_result(result).unwrap()).await.unwrap();
    }

    /// Does this many tasks as a worker would that pushes everything.
    pub(crate) async fn work(&self, tasks: usize) {
        for _ in 0..tasks {
            let (delivery, task) = self.next_task().await;
            self.answer(&placed(&task)).await;
            delivery.ack().await.unwrap();
        }
    }

    /// Does this many tasks while the coordinator's loops run, and gives the report.
    pub(crate) async fn run_to_report(&self, run: RunId, tasks: usize) -> Value {
        self.during(async {
            self.work(tasks).await;
            self.report(run).await
        })
        .await
    }

    /// The report of a run of which nothing is left to do.
    pub(crate) async fn report_of(&self, run: RunId) -> Value {
        self.during(self.report(run)).await
    }

    /// The report of a run, once it is there.
    pub(crate) async fn report(&self, run: RunId) -> Value {
        within(Box::pin(self.coordinator.reported(run))).await.unwrap();
        let path = self.store.run(run).await.unwrap().report.unwrap().path;
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    pub(crate) async fn depth(&self, lane: Lane) -> u64 {
        self.queue.depth(lane).await.unwrap()
    }
}

fn coordinator(store: &Store, queue: &Arc<TestQueue>, reports: &Path) -> Coordinator {
    let pace =
        Pace { retry_after: [Duration::from_millis(1); 2], tick: Duration::from_millis(10), window: 100, stays: false };
    Coordinator::new(store.clone(), queue.clone(), pace, Reports::Folder(reports.to_owned()))
}

/// A job file with these lines of `images`.
pub(crate) fn file(images: &str) -> JobFile {
    let text = format!("version: 1\nto: mirror.test/{{path}}\nimages:\n{images}");
    jobfile::parse(text.as_bytes(), Path::new("nightly.yaml")).unwrap()
}

/// What a worker says that placed the image everywhere.
pub(crate) fn placed(task: &Task) -> TaskResult {
    let TaskKind::Mirror(mirror) = &task.kind;
    let digest = Digest::of(mirror.source.to_string().as_bytes());
    let end = End::placed(digest.clone(), Fingerprint::of_copy(&digest, &Content::default()), false);
    let result = |to: &proto::task::Destination| DestinationResult { location: to.location.clone(), end: end.clone() };
    TaskResult {
        run: task.run,
        task: task.id,
        attempt: task.attempt,
        source_digest: Some(digest),
        destinations: mirror.destinations.iter().map(result).collect(),
        spent: Spent::default(),
        stages: Vec::new(),
        warnings: Vec::new(),
    }
}
