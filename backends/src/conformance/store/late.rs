//! Results that come twice, late, or not as they should.

use std::time::Duration;

use proto::failure::{Class, Code};
use proto::outcome::End;
use proto::{Attempt, Digest, Outcome, RunId, TaskId};

use super::{Scene, add_task, destinations, failed, new_run, placed, result};
use crate::Store;
use crate::store::{Recorded, RunEnd};

/// Whoever records, however many at once.
pub async fn of_eight_recorders_of_one_result_exactly_one_is_first(store: Store) {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    let answer = result(&scene.publish_one().await, placed("one"));
    let recorders: Vec<_> = (0..8)
        .map(|_| {
            let (store, answer, now) = (scene.store.clone(), answer.clone(), scene.now);
            tokio::spawn(async move { store.record(&[answer], now).await.unwrap()[0] })
        })
        .collect();
    let mut recorded = Vec::new();
    for recorder in recorders {
        recorded.push(recorder.await.unwrap());
    }
    assert_eq!(recorded.iter().filter(|each| **each == Recorded::First).count(), 1);
    assert_eq!(recorded.iter().filter(|each| **each == Recorded::Duplicate).count(), 7);
    assert_eq!(scene.progress().await.counts.pushed, 1);
    // Within one transaction as well.
    let twice = scene.store.record(&[answer.clone(), answer], scene.now).await.unwrap();
    assert_eq!(twice, [Recorded::Duplicate, Recorded::Duplicate]);
}

/// Only the present attempt of an open task moves it.
pub async fn a_result_of_a_closed_task_or_another_attempt_is_stale(store: Store) {
    let scene = Scene::new(store).await;
    let id = scene.add("app:1", &["app:1"]).await;
    let first = scene.publish_one().await;
    assert_eq!(scene.store.dead_letter(id, Attempt::FIRST, scene.now).await.unwrap(), Recorded::First);
    assert_eq!(scene.record(result(&first, failed(Class::Reject))).await, Recorded::Stale, "an attempt ago");
    let second = scene.publish_one().await;
    let mut early = result(&second, failed(Class::Reject));
    early.attempt = second.attempt.next();
    assert_eq!(scene.record(early).await, Recorded::Stale, "an attempt to come");
    assert_eq!(scene.progress().await.published, 1);

    scene.store.cancel_run(scene.run, "suite", scene.now).await.unwrap();
    assert_eq!(scene.record(result(&second, failed(Class::Reject))).await, Recorded::Stale, "closed");
    let mut unknown = result(&second, failed(Class::Reject));
    unknown.task = TaskId::new();
    assert_eq!(scene.record(unknown).await, Recorded::Stale, "never heard of");
    assert_eq!(scene.store.dead_letter(id, second.attempt, scene.now).await.unwrap(), Recorded::Stale);
    assert_eq!((scene.progress().await.counts.cancelled, scene.progress().await.counts.failed), (1, 0));
}

/// The tag did move, so the placement says so; the account of the run stays as it was closed.
pub async fn a_late_result_updates_placements_and_moves_no_ended_run(store: Store) {
    let mut scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    let task = scene.publish_one().await;
    assert!(scene.store.interrupt_run(scene.run, scene.now).await.unwrap());
    let (run, rows) = (scene.store.run(scene.run).await.unwrap(), scene.rows().await);

    scene.pass(Duration::from_secs(60));
    assert_eq!(scene.record(result(&task, placed("one"))).await, Recorded::Stale);
    assert_eq!((scene.store.run(scene.run).await.unwrap(), scene.rows().await), (run.clone(), rows));
    assert_eq!(run.ended.map(|(end, _)| end), Some(RunEnd::Interrupted));
    let target = destinations(&task)[0].location.clone();
    let placement = scene.store.placements(std::slice::from_ref(&target)).await.unwrap().remove(&target).unwrap();
    assert_eq!((placement.placed.digest, placement.seen_at), (Digest::of(b"one"), scene.now));
    assert!(scene.store.warnings(scene.run).await.unwrap().is_empty(), "nothing was on record before");
}

/// What an older run says again is doubted, noted, and not believed.
pub async fn an_old_result_that_comes_again_never_puts_a_placement_back(store: Store) {
    let mut scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    let old = result(&scene.publish_one().await, placed("old"));
    assert_eq!(scene.record(old.clone()).await, Recorded::First);
    scene.pass(Duration::from_secs(86_400));
    let next = new_run(&scene.store, "nightly", false, scene.now).await;
    add_task(&scene.store, next, "app:1", &["app:1"], scene.now).await;
    let new = scene.publish_one().await;
    assert_eq!(scene.record(result(&new, placed("new"))).await, Recorded::First);

    assert_eq!(scene.record(old.clone()).await, Recorded::Duplicate);
    assert_eq!(scene.record(old.clone()).await, Recorded::Duplicate);
    let target = destinations(&new)[0].location.clone();
    let placement = scene.store.placements(std::slice::from_ref(&target)).await.unwrap().remove(&target).unwrap();
    assert_eq!((placement.placed.digest, placement.run), (Digest::of(b"new"), next));
    scene.store.add_warning(scene.run, "what else there is").await.unwrap();
    let (recorded, named) = (Digest::of(b"new"), Digest::of(b"old"));
    let doubt = format!("`{target}` was recorded as {recorded}, and a late result named {named}: look at it");
    assert_eq!(scene.store.warnings(scene.run).await.unwrap(), ["what else there is", &doubt], "once");
    assert!(scene.store.warnings(next).await.unwrap().is_empty(), "it was the older run's result");
}

/// An attempt that was lost may have moved the tag: that was this task, whatever was learned meanwhile.
pub async fn pushed_or_up_to_date_follows_from_the_digest_at_the_first_attempt(store: Store) {
    let scene = Scene::new(store).await;
    let id = scene.add("app:1", &["app:1"]).await;
    let lost = scene.publish_one().await;
    assert_eq!(destinations(&lost)[0].placed, None);
    scene.store.dead_letter(id, lost.attempt, scene.now).await.unwrap();
    assert_eq!(scene.record(result(&lost, placed("one"))).await, Recorded::Stale);
    let again = scene.publish_one().await;
    let known = destinations(&again)[0].placed.clone().unwrap();
    assert_eq!(known.digest, Digest::of(b"one"), "the worker is told what lies there now");
    assert_eq!(scene.record(result(&again, placed("one"))).await, Recorded::First);
    assert_eq!(scene.rows().await[0].outcome, Outcome::Pushed);

    let next = new_run(&scene.store, "nightly", false, scene.now).await;
    add_task(&scene.store, next, "app:1", &["app:1"], scene.now).await;
    scene.record(result(&scene.publish_one().await, placed("one"))).await;
    assert_eq!(scene.store.progress(next).await.unwrap().counts.up_to_date, 1);
}

/// Nothing is news to the record, and yet the tag was moved: somebody else had moved or removed it.
pub async fn a_tag_that_was_moved_back_is_pushed_and_not_up_to_date(store: Store) {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    scene.record(result(&scene.publish_one().await, placed("one"))).await;
    let next = Scene { run: new_run(&scene.store, "nightly", false, scene.now).await, ..scene };
    next.add("app:1", &["app:1"]).await;
    let mut end = placed("one");
    if let End::Placed { moved, .. } = &mut end {
        *moved = true;
    }
    next.record(result(&next.publish_one().await, end)).await;
    assert_eq!(next.rows().await[0].outcome, Outcome::Pushed);
}

/// A result that no Store took would come again for ever.
pub async fn a_result_is_of_the_run_of_its_task_whatever_run_it_names(store: Store) {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    let task = scene.publish_one().await;
    let mut answer = result(&task, placed("one"));
    answer.run = RunId::new();
    assert_eq!(scene.record(answer.clone()).await, Recorded::First);
    assert_eq!(scene.record(answer).await, Recorded::Duplicate);
    let target = destinations(&task)[0].location.clone();
    assert_eq!(scene.store.placements(std::slice::from_ref(&target)).await.unwrap()[&target].run, scene.run);
}

/// Else it would be tried for ever.
pub async fn a_destination_that_a_result_leaves_out_has_failed(store: Store) {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["a:1", "b:1"]).await;
    let mut answer = result(&scene.publish_one().await, placed("one"));
    answer.destinations.remove(1);
    assert_eq!(scene.record(answer).await, Recorded::First);
    let row = scene.rows().await.remove(0);
    assert_eq!((row.outcome, row.destinations[0].outcome), (Outcome::Failed, Outcome::Pushed));
    assert_eq!(row.destinations[1].failure.as_ref().unwrap().code, Code::Internal);
}

/// A verb whose future is dropped at any of its awaits has either happened or not.
pub async fn a_verb_that_is_dropped_midway_is_whole_or_nothing(store: Store) {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["a:1", "b:1"]).await;
    let answer = result(&scene.publish_one().await, placed("one"));
    for turns in 0..100 {
        let wait = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        let recorded = tokio::select! {
            biased;
            recorded = scene.store.record(std::slice::from_ref(&answer), scene.now) => recorded.is_ok(),
            () = wait => false,
        };
        // What was dropped while it committed may become true between two looks.
        let before = scene.rows().await.len() as u64;
        let progress = scene.progress().await;
        let after = scene.rows().await.len() as u64;
        assert_eq!(progress.published + progress.counts.pushed, 1);
        assert!((before..=after).contains(&progress.counts.done()));
        assert!(!recorded || progress.counts.pushed == 1);
    }
    let last = scene.record(answer).await;
    assert!(matches!(last, Recorded::First | Recorded::Duplicate));
    assert_eq!(scene.progress().await.counts.pushed, 1);
}
