//! How few requests a night costs in which nothing moved, counted at both registries.

use jiff::Timestamp;
use jobfile::JobFile;
use proto::outcome::{DestinationResult, End};
use proto::task::{Fingerprint, TaskKind};
use proto::{Content, Digest, Task, TaskResult};
use sandbox::{Registry, Vendor, content};

use crate::office::Office;

const REPOSITORIES: usize = 500;
const TAGS: usize = 20;

/// A registry that lists digests, with so many repositories below `folder`.
async fn full_registry(folder: &str) -> Registry {
    let registry = Registry::builder().features(|can| can.vendor = Vendor::Gcr).start().await.unwrap();
    let image = content::image(1).build();
    for repository in 0..REPOSITORIES {
        let name = format!("{folder}/app-{repository:03}");
        registry.store().put_image(&name, None, &image);
        (0..TAGS).for_each(|tag| registry.store().put_tag(&name, &format!("1.{tag}"), &image.digest()));
    }
    registry
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
    let (source, destination) = (full_registry("team").await, full_registry("mirror/team").await);
    let images: String = (0..REPOSITORIES).map(|n| format!("  {}/team/app-{n:03}: \"1.*\"\n", source.host())).collect();
    let text = format!("version: 1\nto: {}/mirror/{{path}}\nimages:\n{images}", destination.host());
    let file: JobFile = jobfile::parse(text.as_bytes(), "nightly.yaml".as_ref()).unwrap();
    let office = Office::new().await;

    let first = office.submit(&file).await;
    let digest = content::image(1).build().digest();
    loop {
        let tasks = office.store.take_ready(1_000, Timestamp::now()).await.unwrap();
        if tasks.is_empty() {
            break;
        }
        office.store.mark_published(&tasks).await.unwrap();
        let results: Vec<_> = tasks.iter().map(|task| placed(task, &digest)).collect();
        office.store.record(&results, Timestamp::now()).await.unwrap();
    }
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
