//! How few requests a night costs in which nothing moved, counted at both registries.

use std::collections::BTreeSet;
use std::time::Duration;

use coordinator::Extent;
use coordinator::expand::Only;
use jiff::Timestamp;
use jobfile::JobFile;
use proto::limits::READ_BACK_AFTER;
use proto::outcome::{DestinationResult, End};
use proto::task::{Destination, Fingerprint, TaskKind};
use proto::{Content, Digest, Task, TaskResult};
use sandbox::{Registry, Vendor, content};

use crate::office::{Office, new_run};

const REPOSITORIES: usize = 500;
const TAGS: usize = 20;

/// A registry that lists digests, with so many repositories below `folder`.
async fn full_registry(folder: &str, repositories: usize) -> Registry {
    let registry = Registry::builder().features(|can| can.vendor = Vendor::Gcr).start().await.unwrap();
    let image = content::image(1).build();
    for repository in 0..repositories {
        let name = format!("{folder}/app-{repository:03}");
        registry.store().put_image(&name, None, &image);
        (0..TAGS).for_each(|tag| registry.store().put_tag(&name, &format!("1.{tag}"), &image.digest()));
    }
    registry
}

/// A source, and a destination that has all of it.
async fn both_full(repositories: usize) -> [Registry; 2] {
    [full_registry("team", repositories).await, full_registry("mirror/team", repositories).await]
}

fn file(source: &Registry, destination: &Registry, repositories: usize) -> JobFile {
    let images: String = (0..repositories).map(|n| format!("  {}/team/app-{n:03}: \"1.*\"\n", source.host())).collect();
    let text = format!("version: 1\nto: {}/mirror/{{path}}\nimages:\n{images}", destination.host());
    jobfile::parse(text.as_bytes(), "nightly.yaml".as_ref()).unwrap()
}

/// What a worker says that found what is there already.
fn placed(task: &Task, digest: &Digest) -> TaskResult {
    let TaskKind::Mirror(mirror) = &task.kind;
    let end = End::placed(digest.clone(), Fingerprint::of_copy(digest, &Content::default()), true);
    let ends = mirror.destinations.iter();
    let ends = ends.map(|to| DestinationResult { location: to.location.clone(), end: end.clone() });
    TaskResult { source_digest: Some(digest.clone()), ..TaskResult::new(task, ends.collect()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_unchanged_tags_cost_a_listing_for_each_repository_and_side() {
    let [source, destination] = both_full(REPOSITORIES).await;
    let file = file(&source, &destination, REPOSITORIES);
    let office = Office::new().await;

    let first = office.submit(&file).await;
    while !work(&office, Timestamp::now()).await.is_empty() {}
    assert_eq!(office.store.run(first).await.unwrap().counts.pushed, 10_000);
    office.report_of(first).await;
    source.log().clear();
    destination.log().clear();

    let second = office.submit(&file).await;
    let run = office.store.run(second).await.unwrap();
    assert_eq!((run.counts.tasks, run.counts.up_to_date), (10_000, 10_000));
    assert!(office.store.take_ready(10, Timestamp::now()).await.unwrap().is_empty(), "nothing is left to do");
    let asked = source.requests().len() + destination.requests().len();
    assert!(asked <= 1_010, "{asked} requests");
    let report = office.report_of(second).await;
    assert_eq!(report["totals"]["up_to_date"], 10_000);

    // One of them moves, and only that is done.
    let moved = content::image(2).build();
    source.store().put_image("team/app-007", Some("1.7"), &moved);
    office.submit(&file).await;
    let tasks = office.store.take_ready(10, Timestamp::now()).await.unwrap();
    let [task] = &tasks[..] else { panic!("one task: {tasks:?}") };
    let TaskKind::Mirror(mirror) = &task.kind;
    assert_eq!(mirror.source.to_string(), format!("{}/team/app-007:1.7", source.host()));
    assert_eq!(mirror.listed, Some(moved.digest()));
}

/// Does what is due, up to 1,000 tasks; their destinations.
async fn work(office: &Office, now: Timestamp) -> Vec<Destination> {
    let digest = content::image(1).build().digest();
    let tasks = office.store.take_ready(1_000, Timestamp::now()).await.unwrap();
    office.store.mark_published(&tasks).await.unwrap();
    let results: Vec<_> = tasks.iter().map(|task| placed(task, &digest)).collect();
    office.store.record(&results, now).await.unwrap();
    let of_task = |task: Task| {
        let TaskKind::Mirror(mirror) = task.kind;
        mirror.destinations
    };
    tasks.into_iter().flat_map(of_task).collect()
}

/// The tags that are to be read back.
fn read_back(destinations: Vec<Destination>) -> BTreeSet<String> {
    destinations.into_iter().filter(|to| to.read_back).map(|to| to.location.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_night_reads_some_of_what_was_verified_longer_than_a_day_ago_back_in_turn_and_asks_for_nothing_else() {
    let [source, destination] = both_full(2).await;
    let file = file(&source, &destination, 2);
    let office = Office::new().await;
    let long_ago = Timestamp::now().checked_sub(READ_BACK_AFTER + Duration::from_secs(3_600)).unwrap();
    let first = new_run(None, long_ago);
    office.store.create_run(&first).await.unwrap();
    office.expand(first.id, &file, &Extent::Listed(Only::All)).await;
    assert_eq!(read_back(work(&office, long_ago).await).len(), 0, "what is placed now needs no other look");
    assert!(office.store.finish_run(first.id, long_ago).await.unwrap());

    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let night = office.submit(&file).await;
        let read_back = read_back(work(&office, Timestamp::now()).await);
        let counts = office.store.run(night).await.unwrap().counts;
        assert_eq!((counts.tasks, counts.up_to_date + counts.pushed), (40, 40), "the others are unchanged");
        assert!((1..10).contains(&read_back.len()), "{read_back:?}");
        assert!(read_back.is_disjoint(&seen), "in turn");
        seen.extend(read_back);
        office.report_of(night).await;
    }
}
