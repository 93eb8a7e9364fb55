//! How few requests an image costs, counted at both registries; greetings and tokens apart.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use proto::content::Referrers;
use proto::outcome::End;
use proto::settings::Alternative;
use proto::task::{Listed, ListedTag, Sidecars, TaskKind};
use proto::{Class, Code, Descriptor, Digest, Manifest, Task, TaskId};
use sandbox::store::StoredManifest;
use sandbox::{Effect, Fault, Image, Layer, Log, Missing, Registry, RetryAfter, content};

use crate::bench::{Bench, destinations, digest, end, failure, tools_in_doubt, tools_with};

/// An image of so many blobs.
fn image_of(blobs: u64, seed: u64) -> Image {
    let layers = (1..blobs).map(|layer| Layer::new(seed * 1_000 + layer, 3_000));
    let image = layers.fold(content::image(seed), |image, layer| image.layer(&layer)).build();
    assert_eq!(image.blob_digests().len() as u64, blobs);
    image
}

/// A pair of registries that have met before: what each can do is known, and so is the destination's repository.
async fn acquainted(change: impl Fn(&Bench)) -> Bench {
    let bench = Bench::new().await;
    bench.source.features(|can| can.redirect_blobs = true);
    change(&bench);
    bench.put("0.9", &image_of(3, 9));
    digest(&bench.run(&listed(bench.task("0.9"))).await);
    for log in [bench.source.log(), bench.source.storage_log(), bench.destination.log()] {
        log.clear();
    }
    bench
}

/// A task as it is made when names of tags are listed on both sides.
fn listed(mut task: Task) -> Task {
    let TaskKind::Mirror(mirror) = &mut task.kind;
    mirror.sidecars = Sidecars { tags: BTreeSet::new(), is_complete: true };
    for destination in &mut mirror.destinations {
        destination.listed = Some(Listed { tag: ListedTag::Absent, sidecars: BTreeSet::new(), has_tags: true });
    }
    task
}

/// All requests but greetings.
fn asked(log: &Log) -> usize {
    log.requests().iter().filter(|request| request.path != "/v2/").count()
}

fn asked_at_source(bench: &Bench) -> usize {
    asked(bench.source.log()) + asked(bench.source.storage_log())
}

/// What a new digest may cost at the source beyond what moves: a look for what refers to it.
const REFERRERS: usize = 1;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_plain_image_of_10_blobs_takes_43_requests() {
    let bench = acquainted(|_| {}).await;
    let top = bench.put("1.0", &image_of(10, 1));
    assert_eq!(digest(&bench.run(&listed(bench.task("1.0"))).await), &top);
    assert_eq!(asked(bench.destination.log()), 2 * 10 + 2);
    assert_eq!(asked_at_source(&bench), 1 + 2 * 10 + REFERRERS);
    assert_eq!(asked(bench.destination.log()) + asked_at_source(&bench) - REFERRERS, 43);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_blob_comes_with_the_request_that_opens_its_upload_it_takes_33() {
    let bench = acquainted(|bench| bench.destination.features(|can| can.single_post = true)).await;
    let top = bench.put("1.0", &image_of(10, 1));
    assert_eq!(digest(&bench.run(&listed(bench.task("1.0"))).await), &top);
    assert_eq!(asked(bench.destination.log()) + asked_at_source(&bench) - REFERRERS, 33);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_tag_of_a_known_digest_takes_two_at_the_destination() {
    let bench = acquainted(|_| {}).await;
    let top = bench.put("1.0", &image_of(10, 1));
    digest(&bench.run(&listed(bench.task("1.0"))).await);
    bench.destination.log().clear();
    bench.source.log().clear();
    bench.put("latest", &image_of(10, 1));
    assert_eq!(digest(&bench.run(&listed(bench.task("latest"))).await), &top);
    assert_eq!(bench.placed("latest"), Some(top));
    assert_eq!(asked(bench.destination.log()), 2);
    assert_eq!(asked(bench.source.log()), 1 + REFERRERS, "its manifest is kept, but what its tag shows is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_blobs_are_elsewhere_in_the_registry_takes_a_mount_for_each() {
    let bench = acquainted(|_| {}).await;
    let known: Vec<Layer> = (0..9).map(|seed| Layer::new(seed, 3_000)).collect();
    let image =
        |seed, layers: &[Layer]| layers.iter().fold(content::image(seed), sandbox::content::ImageBuilder::layer);
    bench.put("0.1", &image(1, &known).build());
    let mut elsewhere = listed(bench.task("0.1"));
    destinations(&mut elsewhere)[0].location = format!("{}/other/app:0.1", bench.destination.host()).parse().unwrap();
    digest(&bench.run(&elsewhere).await);
    for log in [bench.source.log(), bench.source.storage_log(), bench.destination.log()] {
        log.clear();
    }
    // Nine layers are there, its configuration is not.
    let top = bench.put("1.0", &image(2, &known).build());
    assert_eq!(digest(&bench.run(&listed(bench.task("1.0"))).await), &top);
    assert_eq!(asked(bench.destination.log()) + asked_at_source(&bench) - REFERRERS, 2 + 9 + 4 + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_image_takes_one_question_at_the_source_where_the_destination_lists_its_tag() {
    let bench = acquainted(|_| {}).await;
    bench.put("1.0", &image_of(10, 1));
    let task = listed(bench.task("1.0"));
    let result = bench.run(&task).await;
    let mut again = bench.again(&task, &result);
    destinations(&mut again)[0].listed.as_mut().unwrap().tag = ListedTag::Named;
    let result = bench.run(&again).await;
    digest(&result);
    assert_eq!((asked(bench.source.log()), asked(bench.destination.log())), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moved_is_read_with_the_same_request_that_asks() {
    let bench = acquainted(|_| {}).await;
    bench.put("1.0", &image_of(3, 1));
    let task = listed(bench.task("1.0"));
    let result = bench.run(&task).await;
    let mut again = bench.again(&task, &result);
    destinations(&mut again)[0].listed.as_mut().unwrap().tag = ListedTag::Named;
    digest(&bench.run(&again).await);
    assert_eq!(bench.source.requests()[0].method, "HEAD", "whether it can tell is not known yet");

    let mut moved = bench.again(&task, &result);
    destinations(&mut moved)[0].listed.as_mut().unwrap().tag = ListedTag::Named;
    let top = bench.put("1.0", &image_of(3, 2));
    assert_eq!(digest(&bench.run(&moved).await), &top);
    let reads = bench.source.requests();
    let reads: Vec<_> = reads.iter().filter(|request| request.path.contains("/manifests/")).collect();
    assert_eq!(reads.iter().map(|request| request.method.as_str()).collect::<Vec<_>>(), ["GET"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_tasks_that_share_layers_and_repositories_send_each_blob_once() {
    let bench = Arc::new(acquainted(|_| {}).await);
    let shared: Vec<Descriptor> =
        (0..5).map(|seed| bench.source.store().put_synthetic_blob("team/app", seed, 50 << 20)).collect();
    let tasks: Vec<Task> = (0..8)
        .map(|number: u64| {
            let tag = format!("2.{number}");
            let image = content::image(100 + number);
            let image = shared.iter().fold(image, sandbox::content::ImageBuilder::layer_elsewhere);
            bench.put(&tag, &image.build());
            let mut task = listed(bench.task(&tag));
            let place = format!("{}/team-{}/app:{tag}", bench.destination.host(), number % 4);
            destinations(&mut task)[0].location = place.parse().unwrap();
            Task { id: TaskId::new(), ..task }
        })
        .collect();
    for result in join_all(tasks.iter().map(|task| bench.run(task))).await {
        digest(&result);
    }
    let unique = bench.source.store().manifests("team/app").values().flat_map(blobs).collect::<BTreeSet<Digest>>();
    // Those of the image that made the registries known are not sent again.
    let sent = bench.destination.log().bytes_in("PUT", "/blobs/uploads/");
    let uploads = bench.destination.requests().iter().filter(|request| request.is("PUT", "/blobs/uploads/")).count();
    assert_eq!(uploads, unique.len() - 3, "{sent} bytes");
    let mounts = bench.destination.requests();
    let mounts = mounts.iter().filter(|request| request.query.contains("mount=") && request.status == 201).count();
    assert_eq!(mounts, 5 * 3, "and in each other repository it is mounted once");
    let read = bench.source.storage_log().requests().iter().filter(|request| request.method == "GET").count();
    assert_eq!(read, uploads, "and read once");
}

fn blobs(manifest: &StoredManifest) -> Vec<Digest> {
    let manifest = Manifest::parse(manifest.raw.clone(), Some(&manifest.media_type)).unwrap();
    manifest.blobs().map(|blob| blob.digest.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_may_have_sent_is_asked_for_though_nothing_shows_it() {
    for missing in [Missing::Listed, Missing::Unnamed] {
        let bench = Bench::new().await;
        bench.destination.features(|can| can.missing = missing);
        let tools = tools_in_doubt().await;
        for (seed, tag) in [(1, "1.0"), (2, "1.1")] {
            let image = image_of(3, seed);
            bench.put(tag, &image);
            // All of its blobs came, and neither a manifest nor a note.
            for (_, bytes) in &image.blobs {
                bench.destination.store().put_blob("mirror/app", bytes.clone());
            }
            let mut task = listed(bench.task(tag));
            destinations(&mut task)[0].listed.as_mut().unwrap().has_tags = false;
            assert_eq!(digest(&bench.run_with(&tools, &task).await), &image.digest());
        }
        assert_eq!(bench.destination.log().count("POST", "/blobs/uploads/"), 0, "{missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_source_is_throttled_content_comes_from_an_alternative_by_digest() {
    let other = Registry::builder().start().await.unwrap();
    let bench = Bench::new().await;
    let alternative = Alternative { paths: "team/*".into(), to: format!("{}/copies/*", other.host()) };
    let tools = tools_with(&bench.source, vec![alternative]).await;
    let image = image_of(3, 1);
    bench.put("1.0", &image);
    let refused = Effect::too_many_requests(RetryAfter::Seconds(3_600));
    bench.source.fault(Fault::on("GET", "/v2/team/app/", refused));

    // Another image under the same name is of no use.
    other.store().put_image("copies/app", Some("1.0"), &image_of(3, 2));
    let task = bench.task("1.0");
    let mut pinned = task.clone();
    let TaskKind::Mirror(mirror) = &mut pinned.kind;
    mirror.listed = Some(image.digest());
    mirror.sidecars = Sidecars { tags: BTreeSet::new(), is_complete: true };
    destinations(&mut pinned)[0].content.referrers = Referrers::None;
    let result = bench.run_with(&tools, &pinned).await;
    assert!(matches!(end(&result), End::Deferred { .. }), "{result:?}");

    other.store().put_image("copies/app", None, &image);
    let result = bench.run_with(&tools, &pinned).await;
    assert_eq!(digest(&result), &image.digest());
    assert!(result.warnings[0].contains("read from"), "{:?}", result.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outdated_listing_is_found_out_and_the_next_attempt_asks_for_itself() {
    let bench = Bench::new().await;
    let new = bench.put("1.0", &image_of(3, 1));
    let mut task = listed(bench.task("1.0"));
    let TaskKind::Mirror(mirror) = &mut task.kind;
    mirror.listed = Some(Digest::of(b"gone by now"));
    let failed = bench.run(&task).await;
    assert_eq!(failure(&failed).class, Class::Retry);
    let again = Task { attempt: task.attempt.next(), ..task };
    assert_eq!(digest(&bench.run(&again).await), &new);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_outdated_too_where_only_blobs_of_what_it_shows_are_gone() {
    let bench = Bench::new().await;
    let (old, new) = (image_of(3, 2), bench.put("1.0", &image_of(3, 1)));
    bench.source.store().put_image("team/app", None, &old);
    let layer = Digest::of(&old.blobs.last().unwrap().1);
    assert!(bench.source.store().delete_blob("team/app", &layer));
    let mut task = listed(bench.task("1.0"));
    let TaskKind::Mirror(mirror) = &mut task.kind;
    mirror.listed = Some(old.digest());
    assert_eq!(failure(&bench.run(&task).await).class, Class::Retry);
    let again = Task { attempt: task.attempt.next(), ..task };
    assert_eq!(digest(&bench.run(&again).await), &new);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_somebody_made_after_the_listing_is_not_touched_by_this_attempt() {
    let bench = Bench::new().await;
    bench.put("1.0", &image_of(3, 1));
    let foreign = image_of(3, 7);
    bench.destination.store().put_image("mirror/app", Some("1.0"), &foreign);
    let failed = bench.run(&listed(bench.task("1.0"))).await;
    assert_eq!(failure(&failed).code, Code::DestinationMoved);
    assert_eq!(bench.placed("1.0"), Some(foreign.digest()));
}
