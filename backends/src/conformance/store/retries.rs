//! Attempts that do not end their task.

use std::time::Duration;

use proto::failure::{Class, Code};
use proto::outcome::End;
use proto::{Attempt, Outcome, limits};

use super::{Scene, deferred, failed, failure, names, placed, result, results};
use crate::Store;
use crate::store::Recorded;

/// A fifth more than the delay is the most that the spread adds.
fn at_most(delay: Duration) -> Duration {
    delay * 6 / 5
}

/// The ladder: each delay is kept, spread by a fifth, and the last failure stands.
pub async fn three_tries_with_growing_delays_then_failed(store: Store) {
    let mut scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    for (attempt, delay) in [(1, limits::SECOND_TRY_AFTER), (2, limits::THIRD_TRY_AFTER)] {
        let task = scene.publish_one().await;
        assert_eq!(task.attempt, Attempt(attempt));
        assert_eq!(scene.record(result(&task, failed(Class::Retry))).await, Recorded::First);
        let least = delay * 4 / 5 - Duration::from_millis(1);
        scene.pass(least);
        assert!(scene.publish().await.is_empty(), "it is not due yet");
        scene.pass(at_most(delay) - least);
    }
    let last = scene.publish_one().await;
    assert_eq!(scene.record(result(&last, failed(Class::Retry))).await, Recorded::First);
    let row = scene.rows().await.remove(0);
    assert_eq!((row.outcome, row.attempts, row.spent.bytes_read, row.stages[0].ms), (Outcome::Failed, 3, 21, 9));
    assert_eq!(row.destinations[0].failure, Some(failure(Class::Retry)));
}

/// The same again would end the same.
pub async fn a_rejected_task_is_closed_at_once(store: Store) {
    let scene = Scene::new(store).await;
    for (n, class) in [Class::Reject, Class::Bug].into_iter().enumerate() {
        scene.add(&format!("app:{n}"), &[&format!("app:{n}")]).await;
        let task = scene.publish_one().await;
        assert_eq!(scene.record(result(&task, failed(class))).await, Recorded::First);
    }
    assert_eq!(scene.progress().await.counts.failed, 2);
    assert_eq!(scene.progress().await.ready, 0);
}

/// However often the other side says "later", all tries are left.
pub async fn a_deferred_task_counts_no_try(store: Store) {
    let mut scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    let wait = Duration::from_secs(600);
    for _ in 0..2 * limits::TRIES_MAX {
        let task = scene.publish_one().await;
        scene.record(result(&task, deferred(wait))).await;
        assert_eq!((scene.progress().await.deferred, scene.progress().await.ready), (1, 0));
        scene.pass(wait - Duration::from_millis(1));
        assert!(scene.publish().await.is_empty(), "it is not due yet");
        scene.pass(Duration::from_millis(1));
    }
    for _ in 0..limits::TRIES_MAX {
        let task = scene.publish_one().await;
        assert_eq!(scene.record(result(&task, failed(Class::Retry))).await, Recorded::First);
        scene.pass(at_most(limits::THIRD_TRY_AFTER));
    }
    assert_eq!(scene.progress().await.counts.failed, 1);
}

/// While anything else may still happen, deferred tasks wait; then nobody waits for them.
pub async fn deferred_tasks_are_postponed_once_nothing_else_is_left(store: Store) {
    let mut scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    scene.add("app:2", &["app:2", "app:3"]).await;
    let wait = Duration::from_secs(3_600);
    let tasks = scene.publish().await;
    scene.record(result(&tasks[0], deferred(wait))).await;
    assert_eq!(scene.store.postpone_deferred(scene.run, scene.now).await.unwrap(), 0, "not expanded");
    scene.store.set_expanded(scene.run, scene.now).await.unwrap();
    assert_eq!(scene.store.postpone_deferred(scene.run, scene.now).await.unwrap(), 0, "one is published");
    scene.record(results(&tasks[1], &[failed(Class::Retry), deferred(wait)])).await;
    assert_eq!(scene.store.postpone_deferred(scene.run, scene.now).await.unwrap(), 0, "one waits for its next try");
    scene.pass(at_most(limits::SECOND_TRY_AFTER));
    scene.record(result(&scene.publish_one().await, placed("one"))).await;
    let due = scene.now.checked_add(wait).unwrap();
    assert_eq!(scene.store.postpone_deferred(scene.run, due).await.unwrap(), 0, "one is due");
    assert_eq!(scene.store.postpone_deferred(scene.run, scene.now).await.unwrap(), 2);

    assert_eq!(scene.progress().await.counts.postponed, 2);
    assert!(scene.store.finish_run(scene.run, scene.now).await.unwrap());
    let rows = scene.rows().await;
    assert_eq!(rows[0].destinations[0].failure, Some(failure(Class::Defer)), "the report says for what");
    let outcomes: Vec<_> = rows[1].destinations.iter().map(|destination| destination.outcome).collect();
    assert_eq!(outcomes, [Outcome::Pushed, Outcome::Postponed]);
}

/// A worker that drains costs nothing but the time.
pub async fn an_interrupted_attempt_is_ready_at_once_and_counts_no_try(store: Store) {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    for attempt in 1..=2 * limits::TRIES_MAX {
        let task = scene.publish_one().await;
        assert_eq!(task.attempt, Attempt(attempt));
        assert_eq!(scene.record(result(&task, End::INTERRUPTED)).await, Recorded::First);
        assert_eq!(scene.progress().await.ready, 1);
    }
}

/// Each destination waits for its own time; none is asked for what it has.
pub async fn the_next_attempt_holds_only_what_is_unfinished_and_due(store: Store) {
    let mut scene = Scene::new(store).await;
    scene.add("app:1", &["a:1", "b:1", "c:1", "d:1"]).await;
    let wait = Duration::from_secs(3_600);
    let ends = [placed("one"), failed(Class::Retry), deferred(wait), failed(Class::Reject)];
    scene.record(results(&scene.publish_one().await, &ends)).await;
    scene.pass(at_most(limits::SECOND_TRY_AFTER));
    let second = scene.publish_one().await;
    assert_eq!((names(&second), second.attempt), (vec!["b:1".to_owned()], Attempt(2)));
    scene.record(result(&second, placed("one"))).await;
    assert_eq!(scene.progress().await.deferred, 1);
    scene.pass(wait);
    let third = scene.publish_one().await;
    assert_eq!((names(&third), third.attempt), (vec!["c:1".to_owned()], Attempt(3)));
    scene.record(result(&third, placed("one"))).await;

    let row = scene.rows().await.remove(0);
    let outcomes: Vec<_> = row.destinations.iter().map(|destination| destination.outcome).collect();
    assert_eq!(outcomes, [Outcome::Pushed, Outcome::Pushed, Outcome::Pushed, Outcome::Failed]);
    assert_eq!((row.outcome, row.destinations[1].failure.clone()), (Outcome::Failed, None));
    assert_eq!(scene.progress().await.counts.failed, 1);
}

/// A dead letter is not a failure; a task that was alone and came back is one.
pub async fn a_dead_letter_runs_alone_and_a_second_one_fails(store: Store) {
    let scene = Scene::new(store).await;
    let id = scene.add("app:1", &["app:1"]).await;
    let first = scene.publish_one().await;
    assert_eq!(scene.store.dead_letter(id, first.attempt, scene.now).await.unwrap(), Recorded::First);
    assert_eq!(scene.store.dead_letter(id, first.attempt, scene.now).await.unwrap(), Recorded::Stale);
    let second = scene.publish_one().await;
    assert_eq!((second.solo, second.attempt), (true, Attempt(2)));
    assert_eq!(scene.store.dead_letter(id, second.attempt, scene.now).await.unwrap(), Recorded::First);
    let row = scene.rows().await.remove(0);
    let failure = row.destinations[0].failure.as_ref().unwrap();
    assert_eq!((row.outcome, failure.code), (Outcome::Failed, Code::WorkerLost));
    assert!(failure.message.contains("10 times in 2 attempts"), "{}", failure.message);
}
