//! A task's and a run's way when nothing goes wrong but the process.

use std::time::Duration;

use proto::failure::Class;
use proto::{Attempt, Digest, Outcome, RunId, limits};

use super::{Scene, failure, location, new_task, placed, result};
use crate::Store;
use crate::store::{Counts, Progress, Recorded, RunEnd, RunReport, StoreError};

/// The whole way, and what can be asked on it.
pub async fn a_task_goes_from_ready_to_done_and_its_run_is_closed(store: Store) {
    let mut scene = Scene::new(store).await;
    let id = scene.add("app:1", &["app:1"]).await;
    assert_eq!((scene.progress().await.ready, scene.progress().await.counts.tasks), (1, 1));

    let task = scene.publish_one().await;
    assert_eq!((task.id, task.run, task.attempt, task.solo), (id, scene.run, Attempt::FIRST, false));
    assert_eq!(task.deadline, limits::ATTEMPT_DEADLINE);
    assert_eq!(scene.progress().await.published, 1);
    assert!(scene.publish().await.is_empty());

    scene.store.set_expanded(scene.run, scene.now).await.unwrap();
    assert!(scene.store.closable_runs().await.unwrap().is_empty());
    assert!(!scene.store.finish_run(scene.run, scene.now).await.unwrap());
    let started = scene.now;
    scene.pass(Duration::from_secs(9));
    assert_eq!(scene.record(result(&task, placed("one"))).await, Recorded::First);
    let counts = Counts { tasks: 1, pushed: 1, ..Counts::default() };
    assert_eq!(scene.progress().await, Progress { counts, ..Progress::default() });

    let row = scene.rows().await.remove(0);
    assert_eq!((row.outcome, row.attempts, row.spent.bytes_read, row.stages[0].ms), (Outcome::Pushed, 1, 7, 3));
    assert_eq!((row.started_at, row.ended_at), (Some(started), scene.now));
    assert_eq!((row.source_digest, &row.failure), (Some(Digest::of(b"source")), &None));
    assert_eq!(row.destinations[0].digest, Some(Digest::of(b"one")));
    close(&scene).await;
}

async fn close(scene: &Scene) {
    let report = RunReport { digest: Digest::of(b"report"), path: "report.json".to_owned() };
    assert_eq!(scene.store.closable_runs().await.unwrap()[0].id, scene.run);
    assert!(!scene.store.set_report(scene.run, &report).await.unwrap(), "the run is open");
    assert!(scene.store.finish_run(scene.run, scene.now).await.unwrap());
    assert!(!scene.store.finish_run(scene.run, scene.now).await.unwrap(), "it has ended before");
    assert!(scene.store.open_runs().await.unwrap().is_empty());
    assert_eq!(scene.store.closable_runs().await.unwrap().len(), 1, "it waits for its report");
    assert!(scene.store.set_report(scene.run, &report).await.unwrap());
    assert!(scene.store.closable_runs().await.unwrap().is_empty());
    let run = scene.store.run(scene.run).await.unwrap();
    assert_eq!((run.ended, run.report), (Some((RunEnd::Finished, scene.now)), Some(report)));
}

/// Dispatch publishes before it marks, so a worker may answer in between.
pub async fn a_result_may_be_faster_than_the_mark(store: Store) {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    let tasks = scene.store.take_ready(10, scene.now).await.unwrap();
    assert_eq!(scene.record(result(&tasks[0], placed("one"))).await, Recorded::First);
    assert_eq!(scene.store.mark_published(&tasks).await.unwrap(), 0);
    assert_eq!(scene.progress().await.counts.pushed, 1);
}

/// A crash between taking and marking: the same attempt is published again.
pub async fn a_task_that_was_taken_and_not_marked_is_taken_again(store: Store) {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    let before = scene.store.take_ready(10, scene.now).await.unwrap();
    let after = scene.store.take_ready(10, scene.now).await.unwrap();
    assert_eq!((before.len(), &before), (1, &after));
    assert_eq!(scene.store.mark_published(&after).await.unwrap(), 1);
    assert_eq!(scene.store.mark_published(&after).await.unwrap(), 0);
    assert!(scene.publish().await.is_empty());
}

/// A batch of `expand` may be written twice; what has ended stays as it is.
pub async fn tasks_are_added_once_and_never_to_an_ended_run(store: Store) {
    let scene = Scene::new(store).await;
    let batch: Vec<_> = (0..20).map(|n| new_task(&format!("app:{n}"), &[&format!("app:{n}")])).collect();
    assert_eq!(scene.store.add_tasks(scene.run, &batch, scene.now).await.unwrap(), 20);
    let again: Vec<_> = (10..30).map(|n| new_task(&format!("app:{n}"), &[&format!("app:{n}")])).collect();
    assert_eq!(scene.store.add_tasks(scene.run, &again, scene.now).await.unwrap(), 10);
    assert_eq!(scene.progress().await.counts.tasks, 30);
    assert_eq!(scene.publish().await.len(), 30);

    scene.store.cancel_run(scene.run, "suite", scene.now).await.unwrap();
    let refused = scene.store.add_tasks(scene.run, &again, scene.now).await;
    assert!(matches!(refused, Err(StoreError::RunEnded(run)) if run == scene.run));
    let unknown = scene.store.set_expanded(RunId::new(), scene.now).await;
    assert!(matches!(unknown, Err(StoreError::NoSuchRun(_))));
}

/// It counts and stands in the report, and stops nothing else.
pub async fn a_repository_that_cannot_be_listed_is_one_failed_line(store: Store) {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    for _ in 0..2 {
        let failure = failure(Class::Reject);
        scene.store.add_failed_line(scene.run, "source.example.com/gone", &failure, scene.now).await.unwrap();
    }
    let task = scene.publish_one().await;
    assert_eq!(scene.record(result(&task, placed("one"))).await, Recorded::First);
    let counts = Counts { tasks: 2, pushed: 1, failed: 1, ..Counts::default() };
    assert_eq!(scene.progress().await.counts, counts);
    let rows = scene.rows().await;
    assert_eq!((rows[1].source.as_str(), rows[1].outcome), ("source.example.com/gone", Outcome::Failed));
    assert_eq!((&rows[1].failure, rows[1].attempts), (&Some(failure(Class::Reject)), 0));
    assert!(rows[1].destinations.is_empty());
}

/// A fold over pages sees every row once, whatever the size of a page.
pub async fn a_report_has_all_rows_by_source_page_by_page(store: Store) {
    let scene = Scene::new(store).await;
    for n in [5, 3, 9, 1, 7] {
        scene.add(&format!("app:{n}"), &[&format!("z:{n}"), &format!("a:{n}")]).await;
    }
    for task in scene.publish().await {
        scene.record(result(&task, placed("one"))).await;
    }
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = scene.store.report_rows(scene.run, after.as_deref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.source.clone());
        paged.extend(page);
    }
    assert_eq!(paged, scene.rows().await);
    assert_eq!(paged.len(), 5);
    assert!(paged.is_sorted_by_key(|row| row.source.clone()));
    let order: Vec<_> = paged[0].destinations.iter().map(|destination| destination.location.clone()).collect();
    assert_eq!(order, [location("mirror.example.com/z:1"), location("mirror.example.com/a:1")]);
}
