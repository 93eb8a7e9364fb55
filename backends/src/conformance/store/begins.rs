//! What begins once, however often somebody asks; and what may begin at all.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proto::{Digest, RunId};

use super::{Scene, run_to_be};
use crate::Store;
use crate::store::{Begun, Firing, NewRun, Pause, Pinned};

fn start() -> Timestamp {
    "2026-01-02T01:30:00Z".parse().unwrap()
}

fn run() -> NewRun {
    run_to_be("nightly", false, start())
}

/// Whoever heard no answer asks again.
pub async fn a_run_begins_once_for_a_key(store: Store) {
    let keyed = |key: &str| NewRun { key: Some(key.to_owned()), ..run() };
    let first = keyed("commit-9c2f");
    assert_eq!(store.create_run(&first).await.unwrap(), Begun { run: first.id, is_new: true });
    let known = Begun { run: first.id, is_new: false };
    assert_eq!(store.create_run(&first).await.unwrap(), known, "the same once more");
    let again = NewRun { job: "other".to_owned(), ..keyed("commit-9c2f") };
    assert_eq!(store.create_run(&again).await.unwrap(), known, "another request under its key");
    assert!(store.create_run(&keyed("commit-9c30")).await.unwrap().is_new);
    for _ in 0..2 {
        assert!(store.create_run(&run()).await.unwrap().is_new, "without a key each is another one");
    }
    assert_eq!(store.runs(10).await.unwrap().len(), 4);
    let kept = store.run(first.id).await.unwrap();
    assert_eq!((kept.job.as_str(), kept.key.as_deref()), ("nightly", Some("commit-9c2f")));
}

/// Two leaders may both believe that it is time, one of them late.
pub async fn a_schedule_starts_one_run_for_each_time_that_is_due(store: Store) {
    let due = |hours: i64| start().checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
    assert_eq!(store.last_firing("nightly").await.unwrap(), None);
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.fire(&run(), start()).await.unwrap() })
        })
        .collect();
    let mut begun = Vec::new();
    for start in starts {
        begun.push(start.await.unwrap());
    }
    assert_eq!(begun.iter().filter(|begun| begun.is_new).count(), 1);
    let first = begun[0].run;
    assert!(begun.iter().all(|begun| begun.run == first));

    let tomorrow = store.fire(&run(), due(24)).await.unwrap();
    assert!(tomorrow.is_new && tomorrow.run != first);
    assert!(store.fire(&NewRun { job: "other".to_owned(), ..run() }, start()).await.unwrap().is_new);
    assert!(store.fire(&run(), due(12)).await.unwrap().is_new, "one that was missed");
    let last = Firing { due_at: due(24), run: tomorrow.run };
    assert_eq!(store.last_firing("nightly").await.unwrap(), Some(last), "by the time that was due");
    assert_eq!(store.runs(10).await.unwrap().len(), 4);
}

/// A run without its firing would begin a second time.
pub async fn firing_that_is_dropped_midway_is_whole_or_nothing(store: Store) {
    let due = |turns: usize| start().checked_add(Duration::from_secs(60 * turns as u64)).unwrap();
    for turns in 0..40 {
        let wait = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            _ = async { store.fire(&run(), due(turns)).await } => {}
            () = wait => {}
        }
    }
    for turns in 0..40 {
        store.fire(&run(), due(turns)).await.unwrap();
    }
    assert_eq!(store.runs(100).await.unwrap().len(), 40);
}

/// Who paused it first is who is asked about it.
pub async fn a_schedule_is_paused_until_it_is_resumed(store: Store) {
    let pause = |job: &str, by: &str| Pause { job: job.to_owned(), since: start(), by: by.to_owned() };
    assert!(store.pause_schedule("nightly", "ann", start()).await.unwrap());
    assert!(!store.pause_schedule("nightly", "bob", start()).await.unwrap());
    assert!(store.pause_schedule("hourly", "bob", start()).await.unwrap());
    let paused = store.paused_schedules().await.unwrap();
    assert_eq!(paused, [pause("hourly", "bob"), pause("nightly", "ann")]);
    assert!(store.resume_schedule("nightly").await.unwrap());
    assert!(!store.resume_schedule("nightly").await.unwrap());
    assert_eq!(store.paused_schedules().await.unwrap(), [pause("hourly", "bob")]);
}

/// What was settled is not started again, and a schedule with new times was not missed before it was there.
pub async fn a_schedule_is_settled_until_a_time_and_begins_anew_with_other_times(store: Store) {
    let at = |hours: i64| start().checked_add(SignedDuration::from_hours(hours)).unwrap();
    assert_eq!(store.schedule_since("nightly", "30 1 * * *", at(0)).await.unwrap(), at(0));
    assert_eq!(store.schedule_since("nightly", "30 1 * * *", at(9)).await.unwrap(), at(0), "it was there before");
    store.settle_schedule("nightly", at(2)).await.unwrap();
    store.settle_schedule("nightly", at(1)).await.unwrap();
    assert_eq!(store.schedule_since("nightly", "30 1 * * *", at(9)).await.unwrap(), at(2), "it never goes back");
    store.fire(&run(), at(5)).await.unwrap();
    assert_eq!(store.schedule_since("nightly", "30 1 * * *", at(9)).await.unwrap(), at(5));
    assert_eq!(store.schedule_since("nightly", "30 2 * * *", at(9)).await.unwrap(), at(9));
    assert_eq!(store.schedule_since("hourly", "7 * * * *", at(1)).await.unwrap(), at(1), "each for itself");
}

/// What it works by stays with it, and goes with its tasks to the workers.
pub async fn a_run_names_what_it_works_by(store: Store) {
    let pinned = Pinned { order: Digest::of(b"order"), bundle: Digest::of(b"bundle") };
    let new = NewRun { pinned: Some(pinned.clone()), ..run() };
    let scene = Scene { run: store.create_run(&new).await.unwrap().run, store, now: start() };
    assert_eq!(scene.store.run(scene.run).await.unwrap().pinned.as_ref(), Some(&pinned));
    scene.add("app:1", &["app:1"]).await;
    assert_eq!(scene.publish_one().await.bundle, Some(pinned.bundle));
}

/// What it is bound by stays with it, and who ended it.
pub async fn a_run_tells_its_bounds_and_who_cancelled_it(store: Store) {
    let deadline = start().checked_add(Duration::from_secs(3_600)).unwrap();
    let bound = NewRun { max_concurrency: Some(7), deadline: Some(deadline), ..run() };
    let scene = Scene { run: store.create_run(&bound).await.unwrap().run, store, now: start() };
    let kept = scene.store.run(scene.run).await.unwrap();
    assert_eq!((kept.max_concurrency, kept.deadline, kept.has_tasks), (Some(7), Some(deadline), true));
    assert_eq!(kept.ended_by, None);
    assert!(scene.store.cancel_run(scene.run, "ann", scene.now).await.unwrap());
    assert!(!scene.store.cancel_run(scene.run, "bob", scene.now).await.unwrap());
    assert_eq!(scene.store.run(scene.run).await.unwrap().ended_by.as_deref(), Some("ann"));
    assert!(!scene.store.cancel_run(RunId::new(), "bob", scene.now).await.unwrap());
}
