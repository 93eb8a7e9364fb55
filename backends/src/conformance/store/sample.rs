//! What placements remember of how they came to be, and which of them are read back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use proto::failure::Class;
use proto::outcome::End;
use proto::{Digest, Location, limits};

use super::{Scene, destinations, failed, new_run, placed, result};
use crate::Store;
use crate::conformance::{location, loose_task};
use crate::store::{NewDestination, NewTask, Recorded, RunReport, Unchanged};

/// An end of which an attempt says more than that it is placed.
fn end(content: &str, has_moved: bool, is_read_back: bool, counted: Option<u32>) -> End {
    let mut end = placed(content);
    if let End::Placed { moved, read_back, parts, .. } = &mut end {
        (*moved, *read_back, *parts) = (has_moved, is_read_back, counted);
    }
    end
}

/// Brings `app:1` to its place in a run of its own.
async fn attempt(scene: &mut Scene, end: End) -> Option<Timestamp> {
    scene.pass(Duration::from_secs(86_400));
    scene.run = new_run(&scene.store, "nightly", false, scene.now).await;
    scene.add("app:1", &["app:1"]).await;
    scene.record(result(&scene.publish_one().await, end)).await;
    let target = location("mirror.example.com/app:1");
    scene.store.placements(std::slice::from_ref(&target)).await.unwrap()[&target].verified_at
}

/// An attempt that finds an image as it was placed asks for nothing below its tag.
pub async fn a_placement_is_verified_by_who_sends_it_or_reads_it_back(store: Store) {
    let mut scene = Scene::new(store).await;
    let first = attempt(&mut scene, end("one", true, false, Some(5))).await;
    assert_eq!(first, Some(scene.now));
    assert_eq!(attempt(&mut scene, end("one", false, false, None)).await, first, "it was found as it was placed");
    assert_eq!(attempt(&mut scene, end("one", false, true, None)).await, Some(scene.now), "read back");
    assert_eq!(attempt(&mut scene, end("one", true, false, None)).await, Some(scene.now), "set right");
    let other = attempt(&mut scene, end("two", false, false, None)).await;
    assert_eq!(other, Some(scene.now), "somebody else had put it there: it went through all stages");

    let old = result(&loose_task(location("source.example.com/app:1")), placed("two"));
    assert_eq!(scene.record(old).await, Recorded::Stale);
}

/// More than a database takes in one question.
pub async fn many_placements_are_read_at_once(store: Store) {
    let scene = Scene::new(store).await;
    for n in 0..250 {
        scene.add(&format!("app:{n}"), &[&format!("app:{n}")]).await;
    }
    for task in scene.publish().await {
        scene.record(result(&task, placed("one"))).await;
    }
    let mut asked: Vec<Location> = (0..250).map(|n| location(&format!("mirror.example.com/app:{n}"))).collect();
    asked.push(location("mirror.example.com/never:1"));
    let found = scene.store.placements(&asked).await.unwrap();
    assert_eq!(found.len(), 250);
    assert!(asked[..250].iter().all(|location| found[location].placed.digest == Digest::of(b"one")));
    assert!(scene.store.placements(&[]).await.unwrap().is_empty());
}

/// A task that reads back names its source at the digest that is on record; the record keeps the name.
pub async fn what_was_placed_is_listed_by_what_it_was_made_of(store: Store) {
    let mut scene = Scene::new(store).await;
    for (source, targets) in [("b:1", &["b:1", "a:1"][..]), ("a:1", &["c:1"]), ("a:2", &["c:2"])] {
        scene.add(source, targets).await;
        scene.record(result(&scene.publish_one().await, end("one", true, false, Some(4)))).await;
    }
    let other = new_run(&scene.store, "other", false, scene.now).await;
    let own = std::mem::replace(&mut scene.run, other);
    scene.add("a:1", &["other:1"]).await;
    scene.record(result(&scene.publish_one().await, placed("one"))).await;

    let (mut found, mut after) = (Vec::new(), None);
    while let Some(kept) = scene.store.kept("nightly", after.as_ref(), 1).await.unwrap().pop() {
        after = Some(kept.at.clone());
        found.push(kept);
    }
    let names = found.iter().map(|kept| (kept.source.clone().unwrap(), kept.destination.location.clone()));
    let names: Vec<_> = names.map(|(source, to)| format!("{source} {to}").replace(".example.com", "")).collect();
    assert_eq!(
        names,
        ["source/a:1 mirror/c:1", "source/a:2 mirror/c:2", "source/b:1 mirror/a:1", "source/b:1 mirror/b:1"]
    );
    assert!(found.iter().all(|kept| kept.source_digest == Some(Digest::of(b"source")) && kept.parts == Some(4)));
    assert_eq!(found, scene.store.kept("nightly", None, 100).await.unwrap());

    scene.run = own;
    scene.add(&format!("a:1@{}", Digest::of(b"source")), &["c:1"]).await;
    scene.record(result(&scene.publish_one().await, end("one", false, true, Some(4)))).await;
    assert_eq!(scene.store.kept("nightly", None, 1).await.unwrap()[0].source, found[0].source);
}

/// Places `images` at a registry, one a minute, each of so many parts.
async fn place_at(scene: &mut Scene, host: &str, images: u32, parts: impl Fn(u32) -> Option<u32>) {
    let mut tasks = Vec::new();
    for n in 0..images {
        let destination = location(&format!("{host}/app:{n:03}")).into();
        let source = location(&format!("source.example.com/{}:{n:03}", host.split('.').next().unwrap()));
        tasks.push(NewTask::new(source, vec![destination]));
    }
    scene.store.add_tasks(scene.run, &tasks, scene.now).await.unwrap();
    let number: BTreeMap<_, _> = (0..images).map(|n| (tasks[n as usize].id, n)).collect();
    let mut taken = scene.publish().await;
    taken.sort_by_key(|task| number[&task.id]);
    for task in taken {
        scene.pass(Duration::from_secs(60));
        scene.record(result(&task, end("one", true, false, parts(number[&task.id])))).await;
    }
}

fn tags(sample: impl IntoIterator<Item = Location>, host: &str) -> Vec<String> {
    let names: BTreeSet<String> = sample.into_iter().map(|location| location.to_string()).collect();
    names.iter().filter_map(|name| name.strip_prefix(&format!("{host}/app:"))).map(ToOwned::to_owned).collect()
}

/// As many as fit, at each registry; the largest gets its turn too; what was verified today does not.
pub async fn a_sample_holds_what_was_verified_least_recently(store: Store) {
    let mut scene = Scene::new(store).await;
    place_at(&mut scene, "small.example.com", 30, |n| (n != 1).then_some(10)).await;
    place_at(&mut scene, "large.example.com", 3, |_| Some(90)).await;
    scene.store.set_expanded(scene.run, scene.now).await.unwrap();
    assert!(scene.store.finish_run(scene.run, scene.now).await.unwrap());
    assert!(scene.store.sample("nightly", 5, scene.now).await.unwrap().is_empty(), "all were verified today");

    scene.pass(limits::READ_BACK_AFTER);
    let sample = scene.store.sample("nightly", 5, scene.now).await.unwrap();
    // 10 + 12 + 10 + 10 of 50 requests.
    assert_eq!(tags(sample.clone(), "small.example.com"), ["000", "001", "002", "003"]);
    assert_eq!(tags(sample, "large.example.com"), ["000"], "larger than what there is for it, and yet in turn");
    assert!(scene.store.sample("nightly", 0, scene.now).await.unwrap().is_empty());
    assert!(scene.store.sample("other", 5, scene.now).await.unwrap().is_empty());
    let most = scene.store.sample("nightly", 100, scene.now).await.unwrap();
    assert_eq!(tags(most, "small.example.com").len(), 4, "a hundred of a hundred are 30 requests, fewer than 50");

    // What is read back stands at the end of the line; what cannot be is in doubt, and read back anyway.
    scene.run = new_run(&scene.store, "nightly", false, scene.now).await;
    let small = |n: u32| {
        let mut destination = NewDestination::from(location(&format!("small.example.com/app:{n:03}")));
        destination.read_back = true;
        NewTask::new(location(&format!("source.example.com/small:{n:03}")), vec![destination])
    };
    scene.store.add_tasks(scene.run, &[small(0), small(1)], scene.now).await.unwrap();
    for task in scene.publish().await {
        let is_first = destinations(&task)[0].location.to_string().ends_with("000");
        let end = if is_first { end("one", false, true, None) } else { failed(Class::Reject) };
        scene.record(result(&task, end)).await;
    }
    let sample = scene.store.sample("nightly", 5, scene.now).await.unwrap();
    assert_eq!(tags(sample, "small.example.com"), ["002", "003", "004", "005", "006"]);
    let doubted = location("small.example.com/app:001");
    let placement = &scene.store.placements(std::slice::from_ref(&doubted)).await.unwrap()[&doubted];
    assert_eq!(placement.verified_at, None);
}

/// A tag that the file no longer takes is never verified again, and would stand first in the line for ever.
pub async fn a_sample_holds_nothing_that_the_last_run_did_not_see(store: Store) {
    let mut scene = Scene::new(store).await;
    place_at(&mut scene, "small.example.com", 2, |_| None).await;
    scene.store.set_expanded(scene.run, scene.now).await.unwrap();
    assert!(scene.store.finish_run(scene.run, scene.now).await.unwrap());
    scene.store.set_report(scene.run, &RunReport { digest: Digest::of(b"r"), path: "r.json".into() }).await.unwrap();
    scene.pass(limits::READ_BACK_AFTER);
    assert_eq!(scene.store.sample("nightly", 5, scene.now).await.unwrap().len(), 2);

    scene.run = new_run(&scene.store, "nightly", false, scene.now).await;
    let kept = location("small.example.com/app:001");
    let placed = scene.store.placements(std::slice::from_ref(&kept)).await.unwrap()[&kept].placed.clone();
    let task = NewTask::new(location("source.example.com/small:001"), vec![kept.clone().into()]);
    let image = Unchanged { task, placed: vec![placed] };
    assert_eq!(scene.store.mark_unchanged(scene.run, &[image], scene.now).await.unwrap(), []);
    assert_eq!(scene.store.sample("nightly", 5, scene.now).await.unwrap().len(), 2, "the run may be cut off");
    scene.store.set_expanded(scene.run, scene.now).await.unwrap();
    assert!(scene.store.finish_run(scene.run, scene.now).await.unwrap());
    assert_eq!(scene.store.sample("nightly", 5, scene.now).await.unwrap(), [kept].into());
}
