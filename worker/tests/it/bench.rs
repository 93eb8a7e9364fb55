//! What the tests share: two registries, a Queue that can be made to fail, and a worker between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backends::{Delivery, Health, Lane, Ledger, LocalLedger, MemoryQueue, Queue, QueueError};
use daemon::Shutdown;
use proto::outcome::End;
use proto::settings::{Access, Alternative, RegistrySettings};
use proto::task::{Destination, Mirror, Placed, TaskKind};
use proto::{Attempt, Content, Digest, Envelope, Failure, RunId, Task, TaskId, TaskResult};
use registry::{Client, Options};
use sandbox::{Image, Registry, content};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use worker::{Activity, Tools, Worker, Workshop};

/// The longest that any wait in these tests may last; far more than is needed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What `work` gives; fails the test if it takes too long.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("what the test waits for never came")
}

/// A Queue in memory that refuses to take results, and counts who waits for tasks.
#[derive(Default)]
pub(crate) struct TestQueue {
    inner: MemoryQueue,
    /// How many more results are refused.
    pub(crate) refusals: AtomicUsize,
    /// How many results, after those, cannot be taken now.
    pub(crate) outages: AtomicUsize,
    /// How often a result was offered.
    pub(crate) offered: AtomicUsize,
    /// How many wait for a task.
    pub(crate) waiting: AtomicUsize,
}

#[async_trait]
impl Queue for TestQueue {
    async fn publish(&self, lane: Lane, message: &Envelope) -> Result<(), QueueError> {
        if lane == Lane::Results {
            self.offered.fetch_add(1, Ordering::SeqCst);
            let refused = self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            let down = self.outages.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if down.is_ok() {
                return Err(QueueError::Unavailable { address: "memory".into(), why: "a test wants it".into() });
            }
            if refused.is_ok() {
                return Err(QueueError::Refused { address: "memory".into(), lane, why: "a test wants it".into() });
            }
        }
        self.inner.publish(lane, message).await
    }

    async fn next(&self, lane: Lane) -> Result<Delivery, QueueError> {
        struct Waits<'a>(&'a AtomicUsize);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let _waits = (lane == Lane::Tasks).then(|| {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            Waits(&self.waiting)
        });
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

/// Two registries and a Queue.
pub(crate) struct Bench {
    pub(crate) source: Registry,
    pub(crate) destination: Registry,
    pub(crate) queue: Arc<TestQueue>,
    tools: Tools,
}

/// A worker at work.
pub(crate) struct Working {
    pub(crate) shutdown: Shutdown,
    handle: JoinHandle<Result<(), QueueError>>,
}

impl Working {
    /// Waits until it has drained.
    pub(crate) async fn ended(self) {
        within(self.handle).await.unwrap().unwrap();
    }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self {
            source: Registry::builder().start().await.unwrap(),
            // As most are: a blob comes after the request that opens its upload.
            destination: Registry::builder().features(|can| can.single_post = false).start().await.unwrap(),
            queue: Arc::default(),
            tools: tools().await,
        }
    }

    /// Puts an image at the source, under a tag of `team/app`.
    pub(crate) fn put(&self, tag: &str, image: &Image) -> Digest {
        self.source.store().put_image("team/app", Some(tag), image);
        image.digest()
    }

    /// Puts a small image at the source and the task to mirror it on the Queue.
    pub(crate) async fn queue_image(&self, seed: u64, tag: &str) -> Task {
        self.put(tag, &content::image(seed).build());
        let task = self.task(tag);
        self.publish(&task).await;
        task
    }

    /// The task to mirror a tag of `team/app`.
    pub(crate) fn task(&self, tag: &str) -> Task {
        let at = |registry: &Registry, repository| format!("{}/{repository}:{tag}", registry.host()).parse().unwrap();
        let destination = Destination::new(at(&self.destination, "mirror/app"));
        Task {
            run: RunId::new(),
            id: TaskId::new(),
            attempt: Attempt::FIRST,
            solo: false,
            deadline: PATIENCE,
            bundle: None,
            kind: TaskKind::Mirror(Mirror {
                source: at(&self.source, "team/app"),
                listed: None,
                sidecars: Default::default(),
                destinations: vec![destination],
            }),
        }
    }

    /// The same for some of the image's content.
    pub(crate) fn task_for(&self, tag: &str, content: &Content) -> Task {
        let mut task = self.task(tag);
        destinations(&mut task)[0].content = content.clone();
        task
    }

    /// Runs a task without Queue and worker, with tools that remember the tasks before.
    pub(crate) async fn run(&self, task: &Task) -> TaskResult {
        self.run_with(&self.tools, task).await
    }

    /// The same with other tools.
    pub(crate) async fn run_with(&self, tools: &Tools, task: &Task) -> TaskResult {
        within(Box::pin(worker::attempt(tools, task, CancellationToken::new()))).await
    }

    /// The task to do the same again after it ended as `result` says; both registries' logs begin anew.
    pub(crate) fn again(&self, task: &Task, result: &TaskResult) -> Task {
        self.source.log().clear();
        self.destination.log().clear();
        let mut task = Task { id: TaskId::new(), ..task.clone() };
        for (to, done) in destinations(&mut task).iter_mut().zip(&result.destinations) {
            let End::Placed { digest, fingerprint, .. } = &done.end else { panic!("nothing was placed: {done:?}") };
            to.placed = Some(Placed { digest: digest.clone(), fingerprint: fingerprint.clone() });
        }
        task
    }

    /// Puts a manifest that no builder makes at the source, under a tag or without one; its digest and length.
    pub(crate) fn put_document(&self, tag: Option<&str>, document: &Value) -> (Digest, usize) {
        let media_type = document["mediaType"].as_str().unwrap();
        let raw = document.to_string();
        let digest = self.source.store().put_manifest("team/app", media_type, raw.clone().into());
        if let Some(tag) = tag {
            self.source.store().put_tag("team/app", tag, &digest);
        }
        (digest, raw.len())
    }

    pub(crate) async fn publish(&self, task: &Task) {
        self.queue.publish(Lane::Tasks, &Envelope::of_task(task).unwrap()).await.unwrap();
    }

    /// What the destination's tag shows.
    pub(crate) fn placed(&self, tag: &str) -> Option<Digest> {
        self.destination.store().tag("mirror/app", tag)
    }

    /// Starts a worker that gives running attempts this long when it drains.
    pub(crate) fn work_with_grace(&self, slots: usize, grace: Duration) -> Working {
        self.work_with(tools(), slots, grace)
    }

    /// The same with other tools.
    pub(crate) fn work_with(
        &self,
        workshop: impl Future<Output: Into<Workshop> + Send> + Send + 'static,
        slots: usize,
        grace: Duration,
    ) -> Working {
        let (queue, shutdown) = (self.queue.clone(), Shutdown::default());
        let ending = shutdown.clone();
        let work = async move { Worker::new(queue, workshop.await, slots, grace).run(ending).await };
        Working { handle: tokio::spawn(work), shutdown }
    }

    pub(crate) fn work(&self, slots: usize) -> Working {
        self.work_with_grace(slots, PATIENCE)
    }

    /// The next result, taken off its lane.
    pub(crate) async fn result(&self) -> TaskResult {
        let delivery = within(self.queue.next(Lane::Results)).await.unwrap();
        let result = delivery.envelope().result().unwrap();
        delivery.ack().await.unwrap();
        result
    }

    pub(crate) async fn depth(&self, lane: Lane) -> u64 {
        self.queue.depth(lane).await.unwrap()
    }
}

/// Tools of a new worker.
pub(crate) async fn tools() -> Tools {
    tools_for(&Access::default()).await
}

/// The same, where the source has these alternatives.
pub(crate) async fn tools_with(source: &Registry, alternatives: Vec<Alternative>) -> Tools {
    let settings = RegistrySettings { pattern: source.host(), alternatives, ..RegistrySettings::default() };
    tools_for(&Access { registries: vec![settings], ..Access::default() }).await
}

/// The same after a worker that was killed.
pub(crate) async fn tools_in_doubt() -> Tools {
    let ledger = LocalLedger::in_memory().await.doubted();
    Tools::new(Client::new(&Access::default(), options()).unwrap(), Arc::new(ledger), Activity::default())
}

async fn tools_for(access: &Access) -> Tools {
    let ledger = Arc::new(LocalLedger::in_memory().await);
    Tools::new(Client::new(access, options()).unwrap(), ledger, Activity::default())
}

/// Tools that share what they find out in `ledger`.
pub(crate) fn tools_over(ledger: Arc<dyn Ledger>) -> Tools {
    Tools::new(Client::new(&Access::default(), options()).unwrap(), ledger, Activity::default())
}

pub(crate) fn options() -> Options {
    Options { retries: 1, retry_delay: Duration::from_millis(10), ..Options::default() }
}

/// Where a task is to go.
pub(crate) fn destinations(task: &mut Task) -> &mut Vec<Destination> {
    let TaskKind::Mirror(mirror) = &mut task.kind;
    &mut mirror.destinations
}

/// How a task with one destination ended there.
pub(crate) fn end(result: &TaskResult) -> &End {
    assert_eq!(result.destinations.len(), 1);
    &result.destinations[0].end
}

/// The digest that was placed at a task's one destination.
pub(crate) fn digest(result: &TaskResult) -> &Digest {
    match end(result) {
        End::Placed { digest, .. } => digest,
        other => panic!("nothing was placed: {other:?}"),
    }
}

/// Why a task failed at its one destination.
pub(crate) fn failure(result: &TaskResult) -> &Failure {
    match end(result) {
        End::Failed(failure) => failure,
        other => panic!("it did not fail: {other:?}"),
    }
}
