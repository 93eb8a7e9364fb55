//! Runs: stopped, found, in order.

use std::time::Duration;

use proto::failure::Class;
use proto::{Outcome, RunId};

use super::{Scene, failed, new_run, placed, result, results};
use crate::Store;
use crate::store::{Counts, RunEnd, StoreError};

/// What is done stays as it is; what is open is closed, its tags are free, and the run waits for its report.
pub async fn stopping_a_run_closes_what_is_open(store: Store) {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["a:1"]).await;
    scene.add("app:2", &["b:1", "c:1"]).await;
    scene.add("app:3", &["d:1"]).await;
    let tasks = scene.publish().await;
    scene.record(result(&tasks[0], placed("one"))).await;
    scene.record(results(&tasks[1], &[failed(Class::Reject), failed(Class::Retry)])).await;
    assert!(scene.store.cancel_run(scene.run, "suite", scene.now).await.unwrap());
    assert!(!scene.store.interrupt_run(scene.run, scene.now).await.unwrap(), "it has ended");

    let counts = Counts { tasks: 3, pushed: 1, cancelled: 1, failed: 1, ..Counts::default() };
    let run = scene.store.run(scene.run).await.unwrap();
    assert_eq!((run.counts, run.ended), (counts, Some((RunEnd::Cancelled, scene.now))));
    let row = scene.rows().await.remove(1);
    let outcomes: Vec<_> = row.destinations.iter().map(|destination| destination.outcome).collect();
    assert_eq!(outcomes, [Outcome::Failed, Outcome::Cancelled]);
    assert_eq!(scene.store.closable_runs().await.unwrap().len(), 1);
    assert!(scene.publish().await.is_empty());

    let next = Scene { run: new_run(&scene.store, "nightly", false, scene.now).await, ..scene };
    next.add("app:3", &["d:1"]).await;
    assert_eq!(next.publish().await.len(), 1);
}

/// A person types the digits that the program showed.
pub async fn a_run_is_found_by_a_part_of_its_id(store: Store) {
    let mut scene = Scene::new(store).await;
    scene.pass(Duration::from_secs(1));
    let second = new_run(&scene.store, "other", false, scene.now).await;
    for id in [scene.run, second] {
        assert_eq!(scene.store.find_run(&id.short()).await.unwrap().id, id);
        assert_eq!(scene.store.find_run(&id.to_string().to_uppercase()).await.unwrap().id, id);
    }
    let year = &second.to_string()[..4];
    let Err(StoreError::AmbiguousRun { matches, .. }) = scene.store.find_run(year).await else {
        panic!("both ids begin with `{year}`")
    };
    assert_eq!(matches, [second, scene.run]);
    for text in ["", "%", "_", &RunId::new().to_string()] {
        assert!(matches!(scene.store.find_run(text).await, Err(StoreError::NoSuchRun(_))), "{text}");
    }
    let newest: Vec<_> = scene.store.runs(1).await.unwrap().into_iter().map(|run| run.job).collect();
    assert_eq!(newest, ["other"]);
    let newest = scene.store.newest_run_of("nightly").await.unwrap().unwrap();
    assert_eq!((newest.id, newest.file_path.as_str()), (scene.run, "/jobs/nightly.yaml"));
    assert_eq!(scene.store.newest_run_of("none").await.unwrap(), None);
}

/// Texts of one length: `…:05Z` would sort behind `…:05.1Z`.
pub async fn times_sort_whatever_their_fractions(store: Store) {
    let mut scene = Scene::new(store).await;
    for tenth in [3, 0, 1, 2] {
        scene.now = "2026-01-02T01:30:05Z".parse().unwrap();
        scene.pass(Duration::from_millis(100 * tenth));
        scene.add(&format!("app:{tenth}"), &[&format!("app:{tenth}")]).await;
    }
    scene.now = "2026-01-02T01:30:05Z".parse().unwrap();
    for _ in 0..4 {
        assert_eq!(scene.publish().await.len(), 1, "at {}", scene.now);
        scene.pass(Duration::from_millis(100));
    }
}
