//! Who may have a destination tag.

use proto::failure::{Class, Code};
use proto::{Outcome, RunId};

use super::{Scene, add_task, destinations, failed, names, new_run, new_task, placed, result};
use crate::Store;
use crate::store::Recorded;

/// The second task waits until the first one's attempt has ended, within a run and across runs.
pub async fn a_target_has_one_open_task_at_a_time(store: Store) {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["app:1", "other:1"]).await;
    scene.add("app:2", &["app:1"]).await;
    let night = new_run(&scene.store, "nightly", false, scene.now).await;
    add_task(&scene.store, night, "app:1", &["other:1"], scene.now).await;

    let first = scene.publish_one().await;
    assert_eq!(names(&first), ["app:1", "other:1"]);
    scene.record(result(&first, placed("one"))).await;
    let rest = scene.publish().await;
    assert_eq!(rest.len(), 2, "both tags are free again");
    assert!(rest.iter().all(|task| destinations(task)[0].placed.is_some()));
}

async fn placed_by_nightly(store: Store) -> Scene {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    scene.record(result(&scene.publish_one().await, placed("one"))).await;
    scene
}

async fn owner(scene: &Scene) -> String {
    let target = super::location("mirror.example.com/app:1");
    scene.store.placements(std::slice::from_ref(&target)).await.unwrap()[&target].job.clone()
}

/// Two jobs that fight for a tag would move it each night.
pub async fn a_target_of_another_job_is_refused(store: Store) {
    let scene = placed_by_nightly(store).await;
    let other = new_run(&scene.store, "other", false, scene.now).await;
    add_task(&scene.store, other, "app:1", &["app:1"], scene.now).await;
    assert!(scene.publish().await.is_empty());
    let row = scene.store.report_rows(other, None, 10).await.unwrap().remove(0);
    let failure = row.destinations[0].failure.as_ref().unwrap();
    assert_eq!((row.outcome, failure.code, failure.class), (Outcome::Failed, Code::TargetOwned, Class::Reject));
    assert!(failure.message.contains("`nightly`"), "{}", failure.message);
    assert_eq!(scene.store.progress(other).await.unwrap().counts.failed, 1);
    assert_eq!(owner(&scene).await, "nightly");
}

/// A person said so; from then on the other job is the one that is refused.
pub async fn a_run_may_take_over_a_target_of_another_job(store: Store) {
    let scene = placed_by_nightly(store).await;
    let other = new_run(&scene.store, "other", true, scene.now).await;
    add_task(&scene.store, other, "app:1", &["app:1"], scene.now).await;
    let task = scene.publish_one().await;
    assert_eq!(scene.record(result(&task, placed("two"))).await, Recorded::First);
    assert_eq!(owner(&scene).await, "other");
    scene.add("app:2", &["app:1"]).await;
    assert!(scene.publish().await.is_empty());
    assert_eq!(scene.progress().await.counts.failed, 1);
}

/// One bad destination never stops the others, and a failed one is never owned.
pub async fn a_task_that_is_refused_at_one_target_goes_to_the_others(store: Store) {
    let scene = placed_by_nightly(store).await;
    let other = new_run(&scene.store, "other", false, scene.now).await;
    add_task(&scene.store, other, "app:1", &["app:1", "b:1", "c:1"], scene.now).await;
    let task = scene.publish_one().await;
    assert_eq!(names(&task), ["b:1", "c:1"]);
    scene.record(super::results(&task, &[placed("one"), failed(Class::Reject)])).await;
    let row = scene.store.report_rows(other, None, 10).await.unwrap().remove(0);
    let outcomes: Vec<_> = row.destinations.iter().map(|destination| destination.outcome).collect();
    assert_eq!(outcomes, [Outcome::Failed, Outcome::Pushed, Outcome::Failed]);
    scene.add("c:1", &["c:1"]).await;
    assert_eq!(scene.publish().await.len(), 1, "nobody placed anything there");
}

/// One large run starves no other.
pub async fn runs_are_served_in_turn(store: Store) {
    let scene = Scene::new(store).await;
    for n in 0..20 {
        scene.add(&format!("app:{n}"), &[&format!("app:{n}")]).await;
    }
    let small = new_run(&scene.store, "small", false, scene.now).await;
    for n in 0..2 {
        add_task(&scene.store, small, &format!("app:{n}"), &[&format!("small:{n}")], scene.now).await;
    }
    let taken = scene.store.take_ready(6, scene.now).await.unwrap();
    let runs: Vec<RunId> = taken.iter().map(|task| task.run).collect();
    assert_eq!(runs, [scene.run, small, scene.run, small, scene.run, scene.run]);
}

/// Harbor slows down where many push into one repository at once (goharbor/harbor#14108); others may lock as well.
pub async fn harbor_slows_down_where_many_push_into_one_repository_so_repositories_take_turns(store: Store) {
    let scene = Scene::new(store).await;
    for name in ["a", "b", "c"] {
        let tags = ["1", "2", "3"].map(|tag| format!("{name}:{tag}"));
        let tasks: Vec<_> = tags.iter().map(|image| new_task(image, &[image])).collect();
        scene.store.add_tasks(scene.run, &tasks, scene.now).await.unwrap();
    }
    let taken = scene.store.take_ready(9, scene.now).await.unwrap();
    let names: Vec<String> = taken.iter().flat_map(names).collect();
    assert_eq!(names, ["a:1", "b:1", "c:1", "a:2", "b:2", "c:2", "a:3", "b:3", "c:3"]);
}
