//! Images that are seen as they were placed, and need no task.

use std::time::Duration;

use proto::failure::Class;
use proto::outcome::End;
use proto::{Digest, Location, Outcome, RunId};

use super::{Scene, add_task, failed, new_run, new_task, placed, result, results};
use crate::Store;
use crate::store::{Counts, NewTask, Origin, RunReport, StoreError, Unchanged};

/// What expand makes of an image whose listings show what was placed.
async fn unchanged(store: &Store, source: &str, destinations: &[&str]) -> Unchanged {
    let mut task = new_task(source, destinations);
    task.listed = Some(Digest::of(b"source"));
    let locations: Vec<Location> = task.destinations.iter().map(|to| to.location.clone()).collect();
    let known = store.placements(&locations).await.unwrap();
    Unchanged { placed: locations.iter().map(|location| known[location].placed.clone()).collect(), task }
}

/// Runs a night to its report, in which each of these images is placed at one or two destinations.
async fn placed_at(scene: &Scene, images: &[(&str, &[&str])]) {
    for (source, destinations) in images {
        scene.add(source, destinations).await;
    }
    for task in scene.publish().await {
        scene.record(result(&task, placed("one"))).await;
    }
    report(scene).await;
}

async fn report(scene: &Scene) {
    scene.store.set_expanded(scene.run, scene.now).await.unwrap();
    assert!(scene.store.finish_run(scene.run, scene.now).await.unwrap());
    let report = RunReport { digest: Digest::of(b"report"), path: "report.json".to_owned() };
    assert!(scene.store.set_report(scene.run, &report).await.unwrap());
}

/// A run of the job a day later.
async fn next_night(scene: &mut Scene) {
    scene.pass(Duration::from_secs(86_400));
    scene.run = new_run(&scene.store, "nightly", false, scene.now).await;
}

async fn mark(scene: &Scene, images: &[Unchanged]) -> Vec<NewTask> {
    let refused = scene.store.mark_unchanged(scene.run, images, scene.now).await.unwrap();
    assert_eq!(scene.store.books().await.unwrap().faults, Vec::<String>::new());
    refused
}

/// It is counted as up to date and stands among the rows, in their order and on their pages.
pub async fn an_image_that_is_seen_unchanged_is_a_row_of_the_report_and_no_task(store: Store) {
    let mut scene = Scene::new(store).await;
    let (a, b, c, d): (&[&str], &[&str], &[&str], &[&str]) = (&["z:a", "a:a"], &["b:1"], &["c:1"], &["d:1"]);
    placed_at(&scene, &[("a:1", a), ("b:1", b), ("c:1", c), ("d:1", d)]).await;
    next_night(&mut scene).await;
    let mut images = vec![unchanged(&scene.store, "a:1", a).await, unchanged(&scene.store, "c:1", c).await];
    images[0].task.destinations[1].origin = Origin { owner: Some("payments".into()), ..Origin::default() };
    assert_eq!(mark(&scene, &images).await, []);
    scene.add("b:1", b).await;
    scene.add("d:1", d).await;
    assert_eq!(scene.store.closable_runs().await.unwrap().len(), 0, "tasks are open");
    for task in scene.publish().await {
        scene.record(result(&task, placed("two"))).await;
    }
    let counts = Counts { tasks: 4, up_to_date: 2, pushed: 2, ..Counts::default() };
    assert_eq!((scene.progress().await.counts, scene.store.run(scene.run).await.unwrap().counts), (counts, counts));

    let rows = scene.rows().await;
    let told: Vec<_> = rows.iter().map(|row| (row.source.rsplit('/').next().unwrap(), row.outcome)).collect();
    let (kept, pushed) = (Outcome::UpToDate, Outcome::Pushed);
    assert_eq!(told, [("a:1", kept), ("b:1", pushed), ("c:1", kept), ("d:1", pushed)]);
    assert_eq!((rows[0].attempts, rows[0].started_at, rows[0].ended_at), (0, None, scene.now));
    assert_eq!(rows[0].source_digest, Some(Digest::of(b"source")));
    let [first, second] = &rows[0].destinations[..] else { panic!("two destinations") };
    assert_eq!(first.location.to_string(), "mirror.example.com/z:a", "in the file's order");
    assert_eq!((&first.digest, first.outcome), (&Some(Digest::of(b"one")), kept));
    assert_eq!(second.origin.owner.as_deref(), Some("payments"));
    for limit in 1..=4 {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = scene.store.report_rows(scene.run, after.as_deref(), limit).await.unwrap();
            let Some(last) = page.last() else { break };
            assert!(page.len() <= limit);
            after = Some(last.source.clone());
            paged.extend(page);
        }
        assert_eq!(paged, rows, "pages of {limit}");
    }
    assert_eq!(scene.store.undone_rows(scene.run, None, 10).await.unwrap(), []);
    report(&scene).await;
}

/// A crash may come after any batch: what is written again counts once, and an image is a task or seen, never both.
pub async fn what_is_marked_again_counts_once(store: Store) {
    let mut scene = Scene::new(store).await;
    placed_at(&scene, &[("a:1", &["a:1", "b:1"]), ("c:1", &["c:1"])]).await;
    next_night(&mut scene).await;
    let images =
        [unchanged(&scene.store, "a:1", &["a:1", "b:1"]).await, unchanged(&scene.store, "c:1", &["c:1"]).await];
    assert_eq!(mark(&scene, &images[..1]).await, []);
    assert_eq!(mark(&scene, &images).await, []);
    assert_eq!(mark(&scene, &images).await, []);
    let counts = Counts { tasks: 2, up_to_date: 2, ..Counts::default() };
    assert_eq!(scene.progress().await.counts, counts);

    assert_eq!(scene.store.add_tasks(scene.run, &[images[0].task.clone()], scene.now).await.unwrap(), 0, "it was seen");
    next_night(&mut scene).await;
    scene.add("c:1", &["c:1"]).await;
    assert_eq!(mark(&scene, &images[1..]).await, [], "it is a task, and passed over");
    assert_eq!(scene.progress().await.counts, Counts { tasks: 1, ..Counts::default() });
}

/// A batch whose verb is dropped at any of its awaits was noted and counted, or neither.
pub async fn marking_that_is_dropped_midway_is_whole_or_nothing(store: Store) {
    let mut scene = Scene::new(store).await;
    placed_at(&scene, &[("a:1", &["a:1", "b:1"]), ("c:1", &["c:1"])]).await;
    next_night(&mut scene).await;
    let images =
        [unchanged(&scene.store, "a:1", &["a:1", "b:1"]).await, unchanged(&scene.store, "c:1", &["c:1"]).await];
    for turns in 0..100 {
        let wait = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            _ = scene.store.mark_unchanged(scene.run, &images, scene.now) => {}
            () = wait => {}
        }
        assert_eq!(scene.store.books().await.unwrap().faults, Vec::<String>::new());
        let counts = scene.progress().await.counts;
        assert!(counts.tasks == 0 || counts.tasks == 2, "{counts:?}");
    }
    assert_eq!(mark(&scene, &images).await, []);
    assert_eq!(scene.progress().await.counts.up_to_date, 2);
}

/// What expand read may be another by now; then the image is a task, whole.
pub async fn what_is_not_as_it_was_placed_is_not_marked(store: Store) {
    let mut scene = Scene::new(store).await;
    placed_at(&scene, &[("a:1", &["a:1", "b:1"]), ("c:1", &["c:1"])]).await;
    next_night(&mut scene).await;
    let (ab, c) =
        (unchanged(&scene.store, "a:1", &["a:1", "b:1"]).await, unchanged(&scene.store, "c:1", &["c:1"]).await);

    let foreign = new_run(&scene.store, "other", true, scene.now).await;
    let refused = scene.store.mark_unchanged(foreign, std::slice::from_ref(&c), scene.now).await.unwrap();
    assert_eq!(refused, std::slice::from_ref(&c.task), "another job's");

    let between = new_run(&scene.store, "nightly", false, scene.now).await;
    add_task(&scene.store, between, "b:9", &["b:1"], scene.now).await;
    let old = scene.publish_one().await;
    scene.record(result(&old, placed("two"))).await;
    assert_eq!(mark(&scene, &[ab.clone(), c.clone()]).await, [ab.task], "one of its two tags has moved");
    assert_eq!(scene.progress().await.counts.tasks, 1);

    let later = Scene { run: new_run(&scene.store, "nightly", false, scene.now).await, ..scene };
    assert_eq!(
        mark(&later, std::slice::from_ref(&c)).await,
        std::slice::from_ref(&c.task),
        "a report is to come that tells of it"
    );
    let none = Unchanged { task: new_task("n:1", &["never:1"]), placed: c.placed.clone() };
    assert_eq!(mark(&later, std::slice::from_ref(&none)).await, [none.task], "nothing was placed");

    later.store.cancel_run(later.run, "suite", later.now).await.unwrap();
    let ended = later.store.mark_unchanged(later.run, &[c], later.now).await;
    assert!(matches!(ended, Err(StoreError::RunEnded(run)) if run == later.run));
    let unknown = later.store.mark_unchanged(RunId::new(), &[], later.now).await;
    assert!(matches!(unknown, Err(StoreError::NoSuchRun(_))));
}

/// A late result that names something else may be right: listings without digests would not show it.
pub async fn what_a_late_result_puts_in_doubt_is_not_marked_until_it_was_verified(store: Store) {
    let mut scene = Scene::new(store).await;
    scene.add("a:1", &["a:1"]).await;
    let late = scene.publish_one().await;
    scene.store.interrupt_run(scene.run, scene.now).await.unwrap();
    next_night(&mut scene).await;
    scene.add("a:1", &["a:1"]).await;
    scene.record(result(&scene.publish_one().await, placed("one"))).await;
    report(&scene).await;
    next_night(&mut scene).await;
    let image = unchanged(&scene.store, "a:1", &["a:1"]).await;
    assert_eq!(mark(&scene, std::slice::from_ref(&image)).await, []);
    report(&scene).await;

    scene.record(result(&late, placed("late"))).await;
    next_night(&mut scene).await;
    let image = unchanged(&scene.store, "a:1", &["a:1"]).await;
    assert_eq!(image.placed[0].digest, Digest::of(b"one"), "newer runs have spoken");
    assert_eq!(mark(&scene, std::slice::from_ref(&image)).await, [image.task]);
    scene.add("a:1", &["a:1"]).await;
    let mut verified = placed("one");
    if let End::Placed { read_back, .. } = &mut verified {
        *read_back = true;
    }
    scene.record(result(&scene.publish_one().await, verified)).await;
    report(&scene).await;
    next_night(&mut scene).await;
    assert_eq!(mark(&scene, &[unchanged(&scene.store, "a:1", &["a:1"]).await]).await, []);
}

/// Later runs move the placement on; what a report is to quote stays.
pub async fn a_report_tells_what_its_run_saw_whatever_came_later(store: Store) {
    let mut scene = Scene::new(store).await;
    placed_at(&scene, &[("a:1", &["a:1", "b:1"])]).await;
    next_night(&mut scene).await;
    assert_eq!(mark(&scene, &[unchanged(&scene.store, "a:1", &["a:1", "b:1"]).await]).await, []);
    let rows = scene.rows().await;
    let other = new_run(&scene.store, "nightly", false, scene.now).await;
    add_task(&scene.store, other, "z:1", &["a:1"], scene.now).await;
    scene.record(result(&scene.publish_one().await, placed("two"))).await;
    assert_eq!(scene.rows().await, rows);
    assert_eq!(rows[0].destinations[0].digest, Some(Digest::of(b"one")));
    assert_eq!(scene.store.books().await.unwrap().faults, Vec::<String>::new());
}

/// By source and by destination: the newest run has the last word, whether it made a task or needed none.
pub async fn what_is_known_of_an_image_tells_where_it_was_seen_unchanged(store: Store) {
    let mut scene = Scene::new(store).await;
    placed_at(&scene, &[("a:1", &["a:1", "b:1"])]).await;
    let (first, placed_at) = (scene.run, scene.now);
    next_night(&mut scene).await;
    mark(&scene, &[unchanged(&scene.store, "a:1", &["a:1", "b:1"]).await]).await;
    for name in ["source.example.com/a:1", "mirror.example.com/b:1"] {
        let stories = scene.store.stories(name).await.unwrap();
        let [story] = &stories[..] else { panic!("{stories:?}") };
        assert_eq!((story.run, story.outcome, story.attempts), (scene.run, Some(Outcome::UpToDate), 0));
        assert_eq!((story.unchanged_at, story.run_started_at), (Some(scene.now), scene.now));
        assert_eq!(story.destinations.len(), 2);
        let placement = story.destinations[1].placement.as_ref().unwrap();
        assert_eq!((placement.run, placement.verified_at), (first, Some(placed_at)), "who verified it, and when");
    }
    report(&scene).await;
    next_night(&mut scene).await;
    scene.add("a:1", &["a:1", "b:1"]).await;
    let task = scene.publish_one().await;
    scene.record(results(&task, &[placed("one"), failed(Class::Reject)])).await;
    let stories = scene.store.stories("mirror.example.com/b:1").await.unwrap();
    let told: Vec<_> = stories.iter().map(|story| (story.run, story.outcome, story.unchanged_at)).collect();
    assert_eq!(told, [(scene.run, Some(Outcome::Failed), None)]);
}
