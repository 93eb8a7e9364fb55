//! What a person looks at: what went wrong, what waits, what is known of an image.

use std::time::Duration;

use proto::failure::Class;
use proto::{Digest, Outcome};

use super::{Scene, add_task, deferred, failed, failure, location, new_run, placed, result, results};
use crate::Store;
use crate::store::{NewDestination, NewTask, Origin};

/// Rows that went right are left out, and those that are open; page by page like all rows.
pub async fn what_was_not_done_right_is_read_from_an_open_run(store: Store) {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["a:1"]).await;
    scene.add("app:2", &["b:1", "c:1"]).await;
    scene.add("app:3", &["d:1"]).await;
    scene.add("app:4", &["e:1"]).await;
    let tasks = scene.publish().await;
    scene.record(result(&tasks[0], placed("one"))).await;
    scene.record(results(&tasks[1], &[placed("two"), failed(Class::Reject)])).await;
    scene.record(result(&tasks[3], failed(Class::Reject))).await;
    scene.store.add_failed_line(scene.run, "source.example.com/none", &failure(Class::Retry), scene.now).await.unwrap();

    assert_eq!(scene.store.unlisted(scene.run).await.unwrap(), 1);
    let undone = |after: Option<&'static str>, limit| {
        let store = scene.store.clone();
        let run = scene.run;
        async move {
            let rows = store.undone_rows(run, after, limit).await.unwrap();
            rows.into_iter().map(|row| (row.source, row.destinations.len())).collect::<Vec<_>>()
        }
    };
    let row = |source: &str, destinations| (format!("source.example.com/{source}"), destinations);
    assert_eq!(undone(None, 2).await, [row("app:2", 2), row("app:4", 1)]);
    assert_eq!(undone(Some("source.example.com/app:4"), 2).await, [row("none", 0)]);
}

/// What is with the workers again waits no longer; what was never tried does not wait either.
pub async fn what_waits_is_told_with_its_time_and_its_reason(store: Store) {
    let mut scene = Scene::new(store.with_retry_after([Duration::from_secs(5); 2])).await;
    scene.add("app:1", &["a:1", "b:1"]).await;
    scene.add("app:2", &["c:1"]).await;
    let tasks = scene.publish().await;
    scene.add("app:3", &["d:1"]).await;
    scene.record(results(&tasks[0], &[placed("one"), failed(Class::Retry)])).await;
    scene.record(result(&tasks[1], deferred(Duration::from_secs(600)))).await;

    let waiting = scene.store.waiting(scene.run).await.unwrap();
    let told: Vec<_> = waiting.iter().map(|w| (w.location.to_string(), w.tries, w.is_deferred)).collect();
    assert_eq!(told, [("mirror.example.com/b:1".into(), 1, false), ("mirror.example.com/c:1".into(), 0, true)]);
    assert_eq!(waiting[0].failure, failure(Class::Retry));
    assert!(waiting[0].not_before > scene.now);
    assert_eq!(waiting[1].not_before, scene.now.checked_add(Duration::from_secs(600)).unwrap());

    scene.pass(Duration::from_secs(10));
    assert_eq!(scene.publish().await.len(), 2, "the second try of the first, the first of the third");
    assert_eq!(scene.store.waiting(scene.run).await.unwrap().len(), 1);
}

/// By its source, pinned or not, and by its destination; of each job its newest run that has it, with what lies there.
pub async fn what_is_known_of_an_image_is_found_by_source_and_by_destination(store: Store) {
    let mut scene = Scene::new(store).await;
    scene.add("app:1", &["a:1"]).await;
    let old = scene.publish_one().await;
    scene.record(result(&old, placed("one"))).await;

    scene.pass(Duration::from_secs(60));
    let run = new_run(&scene.store, "nightly", false, scene.now).await;
    let origin = Origin { rule: ">=1".to_owned(), place: "nightly.yaml:4:3".to_owned(), ..Origin::default() };
    let digest = Digest::of(b"pinned");
    let task = NewTask {
        id: proto::TaskId::new(),
        source: location(&format!("source.example.com/app:1@{digest}")),
        listed: None,
        sidecars: Default::default(),
        destinations: vec![NewDestination { origin: origin.clone(), ..location("mirror.example.com/a:1").into() }],
    };
    scene.store.add_tasks(run, &[task], scene.now).await.unwrap();
    let other = new_run(&scene.store, "other", false, scene.now).await;
    add_task(&scene.store, other, "app:1", &["z:1"], scene.now).await;

    for name in ["source.example.com/app:1", "mirror.example.com/a:1"] {
        let stories = scene.store.stories(name).await.unwrap();
        let story = stories.iter().find(|story| story.run == run).unwrap();
        assert_eq!((story.job.as_str(), story.outcome, story.run_started_at), ("nightly", None, scene.now));
        let destination = &story.destinations[0];
        assert_eq!((&destination.origin, destination.outcome), (&origin, None));
        let placement = destination.placement.as_ref().unwrap();
        assert_eq!((placement.run, &placement.placed.digest), (scene.run, &Digest::of(b"one")));
        let jobs: Vec<_> = stories.iter().map(|story| story.job.as_str()).collect();
        assert_eq!(jobs, if name.starts_with("source") { vec!["other", "nightly"] } else { vec!["nightly"] });
    }
    let found = scene.publish().await;
    let of_the_first = found.iter().find(|task| task.run == run).unwrap();
    scene.record(result(of_the_first, failed(Class::Reject))).await;
    let stories = scene.store.stories("mirror.example.com/a:1").await.unwrap();
    let destination = &stories[0].destinations[0];
    assert_eq!((destination.outcome, &destination.failure), (Some(Outcome::Failed), &Some(failure(Class::Reject))));
    assert_eq!(scene.store.stories("source.example.com/app").await.unwrap(), []);

    let names = scene.store.names_with("/a", 10).await.unwrap();
    let expected =
        ["mirror.example.com/a:1", "source.example.com/app:1", &format!("source.example.com/app:1@{digest}")];
    assert_eq!(names, expected);
    assert_eq!(scene.store.names_with("_", 10).await.unwrap(), Vec::<String>::new(), "no pattern");
}
