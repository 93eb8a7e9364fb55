//! Several destinations from one read of the source: what is held for them, and that none waits for another.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::outcome::End;
use proto::task::{Destination, TaskKind};
use proto::{Code, Digest, LayoutRef, Location, Task, TaskId, TaskResult};
use sandbox::{Effect, Fault, Hold, Image, Layer, Registry, content};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use worker::{ContentStore, Tools};

use crate::bench::{Bench, PATIENCE, destinations, tools, within};

/// More than any test needs.
const CAP: u64 = 1_000_000;

/// A source, registries beside the bench's own, and a folder for what is held.
struct Several {
    bench: Bench,
    others: Vec<Registry>,
    folder: TempDir,
}

impl Several {
    /// As many destinations in all.
    async fn new(count: usize) -> Self {
        let bench = Bench::new().await;
        let mut others = Vec::new();
        for _ in 1..count {
            others.push(Registry::builder().start().await.unwrap());
        }
        // One that takes no blob with the request that opens the upload reads a first one in vain.
        bench.destination.features(|can| can.single_post = true);
        Self { bench, others, folder: tempfile::tempdir().unwrap() }
    }

    async fn tools(&self, cap: u64) -> Tools {
        tools().await.with_content(ContentStore::open(self.folder.path(), cap).await.unwrap())
    }

    /// The task to mirror a tag of `team/app` to all destinations.
    fn task(&self, tag: &str) -> Task {
        let mut task = self.bench.task(tag);
        let at = |registry: &Registry| format!("{}/mirror/app:{tag}", registry.host()).parse().unwrap();
        destinations(&mut task).extend(self.others.iter().map(|other| Destination::new(at(other))));
        task
    }

    fn all(&self) -> impl Iterator<Item = &Registry> {
        std::iter::once(&self.bench.destination).chain(&self.others)
    }

    /// Requests for blobs at the source, and the bytes that answered them.
    fn read(&self) -> (usize, u64) {
        let log = self.bench.source.log();
        (log.count("GET", "/blobs/"), log.bytes_out("GET", "/blobs/"))
    }

    /// Files of blobs that are held now.
    fn files(&self) -> usize {
        std::fs::read_dir(self.folder.path()).unwrap().count()
    }
}

fn image_of(seed: u64) -> Image {
    content::image(seed).layer(&Layer::new(seed * 1_000, 200_000)).layer(&Layer::new(seed * 1_000 + 1, 3_000)).build()
}

/// Number and bytes of the distinct blobs of some images.
fn blobs(registry: &Registry, images: &[&Image]) -> (usize, u64) {
    let digests: BTreeSet<Digest> = images.iter().flat_map(|image| image.blob_digests()).collect();
    let size = |digest: &Digest| registry.store().blob("team/app", digest).unwrap().len() as u64;
    (digests.len(), digests.iter().map(size).sum())
}

/// The digest that was placed at each destination, where one was.
fn placed(result: &TaskResult) -> Vec<Option<&Digest>> {
    let ends = result.destinations.iter().map(|one| &one.end);
    ends.map(|end| if let End::Placed { digest, .. } = end { Some(digest) } else { None }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_blob_is_read_once_however_many_registries_want_it() {
    for count in [2, 3] {
        let several = Several::new(count).await;
        let (one, other) = (image_of(1), image_of(2));
        let top = several.bench.put("1.0", &content::index(&[one.clone(), other.clone()]));
        let tools = several.tools(CAP).await;
        let result = several.bench.run_with(&tools, &several.task("1.0")).await;
        assert_eq!(placed(&result), vec![Some(&top); count]);
        let expected = blobs(&several.bench.source, &[&one, &other]);
        assert_eq!(several.read(), expected);
        assert_eq!((result.spent.bytes_read, result.spent.bytes_written), (expected.1, expected.1 * count as u64));
        assert_eq!(result.warnings, Vec::<String>::new());
        for registry in several.all() {
            assert_eq!(registry.store().manifests("mirror/app"), several.bench.source.store().manifests("team/app"));
        }
        assert_eq!(several.files(), expected.0, "they may be wanted again");
        drop(tools);
        assert_eq!(several.files(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_and_a_layout_share_a_read_too() {
    let several = Several::new(1).await;
    let top = several.bench.put("1.0", &image_of(1));
    let layout = tempfile::tempdir().unwrap();
    let mut task = several.bench.task("1.0");
    let at = LayoutRef { path: layout.path().into(), name: Some("app:1.0".into()) };
    destinations(&mut task).push(Destination::new(Location::Layout(at)));
    let result = several.bench.run_with(&several.tools(CAP).await, &task).await;
    assert_eq!(placed(&result), [Some(&top), Some(&top)]);
    assert_eq!(several.read(), blobs(&several.bench.source, &[&image_of(1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_destination_wants_is_streamed() {
    let several = Several::new(1).await;
    several.bench.put("1.0", &image_of(1));
    let tools = several.tools(CAP).await;
    let result = several.bench.run_with(&tools, &several.task("1.0")).await;
    assert!(placed(&result)[0].is_some());
    assert_eq!(several.files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_at_one_registry_mount_from_each_other() {
    let several = Several::new(1).await;
    let top = several.bench.put("1.0", &image_of(1));
    let mut task = several.bench.task("1.0");
    let beside = format!("{}/mirror/other:1.0", several.bench.destination.host()).parse().unwrap();
    destinations(&mut task).push(Destination::new(beside));
    let tools = several.tools(CAP).await;
    let result = several.bench.run_with(&tools, &task).await;
    assert_eq!(placed(&result), [Some(&top), Some(&top)]);
    assert_eq!(several.read(), blobs(&several.bench.source, &[&image_of(1)]));
    assert_eq!((result.spent.blobs_mounted, several.files()), (several.read().0 as u64, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_down_does_not_hold_up_the_others_nor_make_them_read_twice() {
    let several = Several::new(3).await;
    let top = several.bench.put("1.0", &image_of(1));
    several.others[0].fault(Fault::on("", "", Effect::status(503)));
    let result = several.bench.run_with(&several.tools(CAP).await, &several.task("1.0")).await;
    assert_eq!(placed(&result), [Some(&top), None, Some(&top)]);
    assert!(matches!(result.destinations[1].end, End::Failed(_)), "{result:?}");
    assert_eq!(several.read(), blobs(&several.bench.source, &[&image_of(1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_others_are_done_while_one_stalls_which_is_given_back_and_continued_alone() {
    let several = Several::new(3).await;
    let top = several.bench.put("1.0", &image_of(1));
    several.others[1].fault(Fault::on("", "/blobs/uploads/", Effect::StallUpload { after: 10 }));
    let tools = several.tools(CAP).await.with_laggard_grace(Duration::from_millis(50));
    let mut task = several.task("1.0");
    let result = several.bench.run_with(&tools, &task).await;
    assert_eq!(placed(&result), [Some(&top), Some(&top), None]);
    assert_eq!(result.destinations[2].end, End::INTERRUPTED);
    assert_eq!(several.others[1].store().tag("mirror/app", "1.0"), None);

    several.others[1].clear_faults();
    destinations(&mut task).drain(..2);
    let task = Task { attempt: task.attempt.next(), ..task };
    let result = several.bench.run_with(&tools, &task).await;
    assert_eq!(placed(&result), [Some(&top)]);
    assert_eq!(several.read(), blobs(&several.bench.source, &[&image_of(1)]), "what is held is not read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_images_that_do_not_fit_together_do_not_wait_for_each_other_forever() {
    let several = Several::new(2).await;
    let images: Vec<Image> = (1..=8).map(image_of).collect();
    for (number, image) in images.iter().enumerate() {
        several.bench.put(&format!("{number}.0"), image);
    }
    let largest = images.iter().map(|image| blobs(&several.bench.source, &[image]).1).max().unwrap();
    let cap = largest * 3 / 2;
    for number in 0..images.len() {
        several.bench.publish(&several.task(&format!("{number}.0"))).await;
    }
    let tools = several.tools(cap).await;
    let working = several.bench.work_with(async { tools }, 8, PATIENCE);
    for _ in 0..8 {
        let result = several.bench.result().await;
        assert!(placed(&result).iter().all(Option::is_some), "{result:?}");
        assert_eq!(result.warnings, Vec::<String>::new());
    }
    assert_eq!(several.read(), blobs(&several.bench.source, &images.iter().collect::<Vec<_>>()));
    let sizes = std::fs::read_dir(several.folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    assert!((1..=cap).contains(&sizes.sum()), "what is left stays within the cap");
    working.shutdown.drain.cancel();
    working.ended().await;
    assert_eq!(several.files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_beyond_the_cap_is_streamed_to_each_destination_and_the_report_says_so() {
    let several = Several::new(2).await;
    let top = several.bench.put("1.0", &image_of(1));
    let result = several.bench.run_with(&several.tools(1_000).await, &several.task("1.0")).await;
    assert_eq!(placed(&result), [Some(&top), Some(&top)]);
    let (count, bytes) = blobs(&several.bench.source, &[&image_of(1)]);
    assert_eq!(several.read(), (2 * count, 2 * bytes));
    assert_eq!(result.spent.bytes_read, 2 * bytes);
    assert_eq!(result.warnings.len(), 1);
    assert!(result.warnings[0].contains("exceed the 1000 bytes"), "{:?}", result.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_disk_takes_nothing_blobs_are_streamed_and_the_report_says_so() {
    let several = Several::new(2).await;
    let top = several.bench.put("1.0", &image_of(1));
    let tools = several.tools(CAP).await;
    std::fs::remove_dir(several.folder.path()).unwrap();
    let result = several.bench.run_with(&tools, &several.task("1.0")).await;
    assert_eq!(placed(&result), [Some(&top), Some(&top)]);
    assert!(result.warnings[0].contains("the source was read for each destination"), "{:?}", result.warnings);
    std::fs::create_dir(several.folder.path()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_blob_goes_nowhere_and_is_not_kept() {
    let several = Several::new(2).await;
    let image = image_of(1);
    several.bench.put("1.0", &image);
    let wrong = &image.blob_digests()[1];
    let fault = Fault::on("GET", &format!("/blobs/{wrong}"), Effect::CorruptBody { at: 5 });
    let active = several.bench.source.fault(fault);
    let tools = several.tools(CAP).await;
    let result = several.bench.run_with(&tools, &several.task("1.0")).await;
    for destination in &result.destinations {
        let End::Failed(failure) = &destination.end else { panic!("it is corrupt: {destination:?}") };
        assert_eq!(failure.code, Code::SourceCorrupt);
    }
    assert!(several.all().all(|registry| !registry.store().has_blob("mirror/app", wrong)));

    active.remove();
    let result = several.bench.run_with(&tools, &several.task("1.0")).await;
    assert!(placed(&result).iter().all(Option::is_some), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_stopped_amid_a_read_leaves_nothing_that_the_next_would_believe() {
    let several = Several::new(2).await;
    let image = image_of(1);
    let top = several.bench.put("1.0", &image);
    let stall = several.bench.source.fault(Fault::on("GET", "/blobs/", Effect::StallBody { after: 1_000 }));
    let (tools, task, interrupt) = (several.tools(CAP).await, several.task("1.0"), CancellationToken::new());
    let stop = async {
        several.bench.source.log().wait_for("GET", "/blobs/", image.blob_digests().len()).await;
        interrupt.cancel();
    };
    let attempt = Box::pin(worker::attempt(&tools, &task, interrupt.clone()));
    let (result, ()) = within(futures_util::future::join(attempt, stop)).await;
    assert!(result.destinations.iter().all(|one| one.end == End::INTERRUPTED), "{result:?}");
    assert_eq!(placed(&result), [None, None]);

    stall.remove();
    let result = several.bench.run_with(&tools, &task).await;
    assert_eq!(placed(&result), [Some(&top), Some(&top)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_images_share_is_read_once_even_by_attempts_at_the_same_time() {
    let several = Several::new(2).await;
    let shared = Layer::new(7, 100_000);
    let digest = Digest::of(&shared.bytes);
    for registry in several.all() {
        // So that it is sent again.
        registry.features(|can| can.mount = false);
    }
    let path = format!("/blobs/{digest}");
    let hold = Hold::on(&several.bench.source, "GET", &path, 0);
    let tools = several.tools(CAP).await;
    let mut tasks = Vec::new();
    for tag in ["1.0", "2.0"] {
        several.bench.put(tag, &content::image(tag.len() as u64).layer(&shared).build());
        let task = Task { id: TaskId::new(), ..several.task(tag) };
        tasks.push(elsewhere(task, &format!("mirror/{}", &tag[..1])));
    }
    let run = |task: &Task| {
        let (tools, task) = (tools.clone(), task.clone());
        tokio::spawn(async move { Box::pin(worker::attempt(&tools, &task, CancellationToken::new())).await })
    };
    let first = run(&tasks[0]);
    within(hold.reached()).await;
    let second = run(&tasks[1]);
    within(several.bench.source.log().wait_for("GET", "/manifests/2.0", 1)).await;
    drop(hold);
    for attempt in [first, second] {
        let result = within(attempt).await.unwrap();
        assert!(placed(&result).iter().all(Option::is_some), "{result:?}");
    }
    assert_eq!(several.bench.source.log().count("GET", &path), 1);
}

/// The same task for other repositories.
fn elsewhere(mut task: Task, repository: &str) -> Task {
    let TaskKind::Mirror(mirror) = &mut task.kind;
    for destination in &mut mirror.destinations {
        destination.location = destination.location.to_string().replace("mirror/app", repository).parse().unwrap();
    }
    task
}
