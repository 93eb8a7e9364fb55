//! Images that share blobs, all at once: who waits for whose upload, and that nobody waits in vain.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backends::{Beat, Holders, Lease, Ledger, LocalLedger};
use futures_util::future::{join, join_all};
use proto::outcome::End;
use proto::{Digest, Host, Manifest, Repository, RunId, Task};
use sandbox::{Hold, Layer, content};
use tokio::sync::Barrier;
use tokio_util::sync::CancellationToken;

use crate::bench::{Bench, PATIENCE, destinations, digest, end, tools, tools_over, within};

const SLOTS: usize = 4;
const SHARING: usize = 50;
const UNRELATED: usize = 8;

/// The same task for another repository.
fn to(mut task: Task, bench: &Bench, repository: &str, tag: &str) -> Task {
    destinations(&mut task)[0].location = format!("{}/{repository}:{tag}", bench.destination.host()).parse().unwrap();
    task
}

/// Puts an image of these layers at the source; the task to mirror it to `repository`.
fn image_with(bench: &Bench, seed: u64, layers: &[&Layer], repository: &str) -> Task {
    let tag = format!("1.{seed}");
    let image = layers.iter().fold(content::image(seed), |image, layer| image.layer(layer));
    bench.put(&tag, &image.build());
    to(bench.task(&tag), bench, repository, &tag)
}

/// Images of one base, each to the repository that `repository` names; then some that have nothing to do with them.
async fn fifty_of_one_base(repository: impl Fn(u64) -> String) {
    let bench = Bench::new().await;
    let base = Layer::new(7, 1 << 20);
    let path = format!("/blobs/{}", Digest::of(&base.bytes));
    // The upload is open, and nothing of it comes.
    let hold = Hold::on(&bench.source, "GET", &path, 0);
    let mut sharing = HashMap::new();
    for seed in 0..SHARING as u64 {
        let task = image_with(&bench, seed, &[&base], &repository(seed));
        bench.publish(&task).await;
        sharing.insert(task.id, task);
    }
    for seed in 0..UNRELATED as u64 {
        bench.queue_image(1_000 + seed, &format!("2.{seed}")).await;
    }
    let tools = async { tools().await.with_upload_wait(Duration::from_millis(10)) };
    let _working = bench.work_with(tools, SLOTS, PATIENCE);

    let (mut unrelated, mut given_back) = (0, Vec::new());
    while unrelated < UNRELATED {
        let result = bench.result().await;
        let Some(task) = sharing.get(&result.task) else {
            digest(&result);
            unrelated += 1;
            continue;
        };
        assert!(matches!(end(&result), End::Interrupted { wait } if !wait.is_zero()), "{result:?}");
        given_back.push(Task { attempt: task.attempt.next(), ..task.clone() });
    }
    within(hold.reached()).await;
    while given_back.len() < SHARING - 1 {
        let result = bench.result().await;
        let task = &sharing[&result.task];
        given_back.push(Task { attempt: task.attempt.next(), ..task.clone() });
    }
    drop(hold);
    for task in &given_back {
        bench.publish(task).await;
    }
    for _ in 0..SHARING {
        digest(&bench.result().await);
    }
    assert_eq!(bench.source.log().count("GET", &path), 1, "and it is sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_tags_of_one_repository_that_share_one_huge_base_do_not_park_every_slot() {
    fifty_of_one_base(|_| "mirror/app".into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_repositories_that_share_one_huge_base_do_not_park_every_slot() {
    fifty_of_one_base(|seed| format!("mirror/app-{seed}")).await;
}

/// The Ledger that two workers share, as one of them sees it: no lease is given before each has that of its `first`.
struct Greedy {
    shared: Arc<LocalLedger>,
    first: Digest,
    both: Arc<Barrier>,
    go: CancellationToken,
}

#[async_trait]
impl Ledger for Greedy {
    async fn holders(&self, repository: &Repository, wanted: &[Digest]) -> Holders {
        self.shared.holders(repository, wanted).await
    }

    async fn note_held(&self, repository: &Repository, digests: &[Digest]) {
        self.shared.note_held(repository, digests).await;
    }

    async fn note_missing(&self, repository: &Repository, digests: &[Digest]) {
        self.shared.note_missing(repository, digests).await;
    }

    async fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        self.shared.manifest(digest).await
    }

    async fn keep_manifest(&self, manifest: &Manifest) {
        self.shared.keep_manifest(manifest).await;
    }

    async fn learned(&self, registry: &Host) -> Option<String> {
        self.shared.learned(registry).await
    }

    async fn keep_learned(&self, registry: &Host, document: &str) {
        self.shared.keep_learned(registry, document).await;
    }

    async fn lease(&self, registry: &Host, blob: &Digest) -> Option<Lease> {
        if *blob != self.first {
            self.go.cancelled().await;
            return self.shared.lease(registry, blob).await;
        }
        let lease = self.shared.lease(registry, blob).await;
        if !self.go.is_cancelled() {
            self.both.wait().await;
            self.go.cancel();
        }
        lease
    }

    async fn lease_ended(&self, registry: &Host, blob: &Digest, patience: Duration) {
        self.shared.lease_ended(registry, blob, patience).await;
    }

    async fn beat(&self, beat: &Beat) {
        self.shared.beat(beat).await;
    }

    async fn beats(&self) -> Option<Vec<Beat>> {
        self.shared.beats().await
    }

    async fn cancel(&self, run: RunId) {
        self.shared.cancel(run).await;
    }

    async fn is_cancelled(&self, run: RunId) -> bool {
        self.shared.is_cancelled(run).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tasks_that_each_upload_what_the_other_waits_for_do_not_wait_forever() {
    for (repositories, mounts) in [(["mirror/app", "mirror/app"], 0), (["mirror/a", "mirror/b"], 2)] {
        let bench = Bench::new().await;
        let layers = [Layer::new(1, 300_000), Layer::new(2, 300_000)];
        let tasks = [
            image_with(&bench, 1, &[&layers[0], &layers[1]], repositories[0]),
            image_with(&bench, 2, &[&layers[1], &layers[0]], repositories[1]),
        ];
        let shared = Arc::new(LocalLedger::in_memory().await);
        let (both, go) = (Arc::new(Barrier::new(2)), CancellationToken::new());
        let workers = layers.map(|layer| {
            let first = Digest::of(&layer.bytes);
            tools_over(Arc::new(Greedy { shared: shared.clone(), first, both: both.clone(), go: go.clone() }))
        });
        let (one, two) = join(bench.run_with(&workers[0], &tasks[0]), bench.run_with(&workers[1], &tasks[1])).await;
        digest(&one);
        digest(&two);
        assert!(go.is_cancelled(), "each had what the other waited for");
        let log = bench.destination.requests();
        let uploads =
            log.iter().filter(|request| request.is("PUT", "/blobs/uploads/") && request.status == 201).count();
        let mounted = log.iter().filter(|request| request.query.contains("mount=") && request.status == 201).count();
        assert_eq!((uploads, mounted), (2 + 2, mounts), "both layers and each configuration are sent once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_one_worker_with_the_same_layers_in_other_orders_do_not_wait_forever() {
    let bench = Bench::new().await;
    // More than one task sends at once.
    let layers: Vec<Layer> = (0..6).map(|seed| Layer::new(seed, 100_000)).collect();
    let tasks: Vec<Task> = (0..12)
        .map(|number| {
            let mut order: Vec<&Layer> = layers.iter().collect();
            order.rotate_left(number % layers.len());
            image_with(&bench, number as u64, &order, &format!("mirror/app-{}", number % 3))
        })
        .collect();
    for result in join_all(tasks.iter().map(|task| bench.run(task))).await {
        digest(&result);
    }
    let log = bench.destination.requests();
    let uploads = log.iter().filter(|request| request.is("PUT", "/blobs/uploads/") && request.status == 201).count();
    assert_eq!(uploads, layers.len() + tasks.len());
}
