//! The same attempt, taken again because nobody can say what became of its message.

use std::time::Duration;

use proto::failure::Class;
use proto::{Attempt, Outcome, limits};

use super::{Scene, deferred, failed, names, placed, result, results};
use crate::Store;
use crate::store::Recorded;

/// Whoever took it first may have published it before it died: both messages must mean the same.
pub async fn an_attempt_that_is_taken_again_holds_the_same_destinations(store: Store) {
    let mut scene = Scene::new(store).await;
    scene.add("app:1", &["a:1", "b:1"]).await;
    let wait = Duration::from_secs(3_600);
    scene.record(results(&scene.publish_one().await, &[failed(Class::Retry), deferred(wait)])).await;
    scene.pass(limits::SECOND_TRY_AFTER * 2);
    let taken = scene.store.take_ready(10, scene.now).await.unwrap().remove(0);
    assert_eq!((names(&taken), taken.attempt), (vec!["a:1".to_owned()], Attempt(2)));
    scene.pass(wait);
    assert_eq!(scene.publish_one().await, taken, "though the other destination is due as well by now");

    assert_eq!(scene.record(result(&taken, placed("one"))).await, Recorded::First);
    let third = scene.publish_one().await;
    assert_eq!((names(&third), third.attempt), (vec!["b:1".to_owned()], Attempt(3)));
    assert_eq!(scene.record(result(&third, placed("one"))).await, Recorded::First);
    assert_eq!(scene.rows().await[0].outcome, Outcome::Pushed);
}

/// A Queue that was wiped answers for nothing; one that was only slow answers twice, and the first answer counts.
pub async fn a_task_that_nobody_answers_for_is_taken_back_as_the_same_attempt(store: Store) {
    let mut scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    let task = scene.publish_one().await;
    let published = scene.now;
    assert_eq!(scene.store.take_back_unanswered(published, &[]).await.unwrap(), 0, "it may be answered yet");
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.store.take_back_unanswered(scene.now, &[task.id]).await.unwrap(), 0, "somebody has it");
    assert_eq!(scene.store.take_back_unanswered(scene.now, &[]).await.unwrap(), 1);
    assert_eq!(scene.publish_one().await, task);
    assert_eq!(scene.store.take_back_unanswered(scene.now, &[]).await.unwrap(), 0, "its time begins anew");

    assert_eq!(scene.record(result(&task, placed("one"))).await, Recorded::First);
    assert_eq!(scene.record(result(&task, placed("one"))).await, Recorded::Duplicate);
    assert_eq!(scene.store.take_back_unanswered(scene.now, &[]).await.unwrap(), 0, "it is done");
}
