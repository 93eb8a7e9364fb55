//! How much of a run is under way at once, and for how long.

use std::time::Duration;

use proto::Outcome;
use proto::failure::{Class, Code};

use super::{Scene, add_task, deferred, failed, placed, result, run_to_be};
use crate::Store;
use crate::store::{Counts, NewRun, Recorded};

/// Others go on meanwhile.
pub async fn no_more_of_a_run_is_with_the_workers_than_it_allows(store: Store) {
    let scene = Scene::new(store).await;
    let narrow = NewRun { max_concurrency: Some(2), ..run_to_be("narrow", false, scene.now) };
    scene.store.create_run(&narrow).await.unwrap();
    for n in 0..5 {
        let name = format!("narrow:{n}");
        add_task(&scene.store, narrow.id, &name, &[&name], scene.now).await;
        scene.add(&format!("app:{n}"), &[&format!("app:{n}")]).await;
    }
    let of_narrow = |tasks: &[proto::Task]| tasks.iter().filter(|task| task.run == narrow.id).count();
    let taken = scene.store.take_ready(100, scene.now).await.unwrap();
    assert_eq!((of_narrow(&taken), taken.len()), (2, 7));
    assert_eq!(scene.store.take_ready(100, scene.now).await.unwrap(), taken, "nobody marked them yet");
    scene.store.mark_published(&taken).await.unwrap();
    assert_eq!(scene.publish().await, []);

    let mut held: Vec<_> = taken.into_iter().filter(|task| task.run == narrow.id).collect();
    for left in [2, 1, 0] {
        assert_eq!(scene.record(result(&held.remove(0), placed("one"))).await, Recorded::First);
        held.extend(scene.publish().await);
        assert_eq!(held.len(), 2, "one for one, {left} left");
    }
    scene.record(result(&held.remove(0), placed("one"))).await;
    assert_eq!(scene.publish().await, []);
}

/// What is with the workers may come to its end; nothing is begun any more, and the report says why.
pub async fn what_is_not_begun_when_the_time_of_a_run_is_over_is_postponed(store: Store) {
    let mut scene = Scene::new(store).await;
    let deadline = scene.now.checked_add(Duration::from_secs(3_600)).unwrap();
    let short = NewRun { deadline: Some(deadline), ..run_to_be("short", false, scene.now) };
    let other = scene.run;
    scene.run = scene.store.create_run(&short).await.unwrap().run;
    for n in 1..=3 {
        scene.add(&format!("app:{n}"), &[&format!("app:{n}")]).await;
    }
    let tasks = scene.store.take_ready(3, scene.now).await.unwrap();
    scene.store.mark_published(&tasks).await.unwrap();
    scene.record(result(&tasks[2], deferred(Duration::from_secs(7_200)))).await;
    scene.add("app:4", &["app:4"]).await;
    assert_eq!(scene.store.postpone_overdue(scene.now).await.unwrap(), 0, "there is time yet");

    scene.now = deadline;
    assert_eq!(scene.publish().await, []);
    assert_eq!(scene.store.postpone_overdue(scene.now).await.unwrap(), 2);
    assert_eq!(scene.store.postpone_overdue(scene.now).await.unwrap(), 0, "the others are with the workers");
    assert_eq!(scene.record(result(&tasks[0], placed("one"))).await, Recorded::First);
    assert_eq!(scene.record(result(&tasks[1], failed(Class::Retry))).await, Recorded::First);
    scene.add("app:5", &["app:5"]).await;
    assert_eq!(scene.store.postpone_overdue(scene.now).await.unwrap(), 2, "what came back, and what came late");
    assert_eq!(scene.store.books().await.unwrap().faults, Vec::<String>::new());

    scene.store.set_expanded(scene.run, scene.now).await.unwrap();
    assert!(scene.store.finish_run(scene.run, scene.now).await.unwrap());
    let counts = Counts { tasks: 5, pushed: 1, postponed: 4, ..Counts::default() };
    assert_eq!(scene.progress().await.counts, counts);
    let rows = scene.rows().await;
    let why: Vec<_> = rows.iter().map(|row| row.destinations[0].failure.as_ref().map(|failure| failure.code)).collect();
    let [tried, deferred, late] = [Code::SourceUnavailable, Code::SourceUnavailable, Code::TimeOver].map(Some);
    assert_eq!(why, [None, tried, deferred, late, late]);
    assert_eq!(rows[4].outcome, Outcome::Postponed);

    add_task(&scene.store, other, "app:4", &["app:4"], scene.now).await;
    let next = Scene { run: other, ..scene };
    assert_eq!(next.publish().await.len(), 1, "its tags are free, and a run without an end goes on");
}

/// A run whose time is over does not end before it has all its tasks.
pub async fn a_run_whose_time_was_over_from_the_start_closes_with_a_report(store: Store) {
    let scene = Scene::new(store).await;
    let late = NewRun { deadline: Some(scene.now), ..run_to_be("late", false, scene.now) };
    let scene = Scene { run: scene.store.create_run(&late).await.unwrap().run, ..scene };
    scene.add("app:1", &["a:1", "b:1"]).await;
    assert_eq!(scene.publish().await, []);
    assert_eq!(scene.store.postpone_overdue(scene.now).await.unwrap(), 1);
    assert!(!scene.store.finish_run(scene.run, scene.now).await.unwrap(), "more may come");
    scene.store.set_expanded(scene.run, scene.now).await.unwrap();
    assert_eq!(scene.store.closable_runs().await.unwrap()[0].id, scene.run);
    assert!(scene.store.finish_run(scene.run, scene.now).await.unwrap());
    assert_eq!(scene.rows().await[0].attempts, 0);
}
