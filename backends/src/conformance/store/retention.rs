//! What is kept no longer, and what is kept for ever.

use std::time::Duration;

use jiff::Timestamp;
use proto::{Digest, RunId};

use super::{Scene, location, new_run, new_task, placed, result, run_to_be};
use crate::Store;
use crate::store::{CleanedUp, RunReport, StoreError, Unchanged};

/// Finishes a run, and writes its report if it is to have one.
async fn end(scene: &Scene, with_report: bool) {
    scene.store.set_expanded(scene.run, scene.now).await.unwrap();
    assert!(scene.store.finish_run(scene.run, scene.now).await.unwrap());
    let report = RunReport { digest: Digest::of(b"report"), path: "report.json".to_owned() };
    assert!(!with_report || scene.store.set_report(scene.run, &report).await.unwrap());
}

/// A night that pushes so many images.
async fn night(scene: &mut Scene, images: usize) -> RunId {
    scene.pass(Duration::from_secs(86_400));
    scene.run = new_run(&scene.store, "nightly", false, scene.now).await;
    for n in 0..images {
        scene.add(&format!("app:{n}"), &[&format!("a:{n}"), &format!("b:{n}")]).await;
    }
    for task in scene.publish().await {
        scene.record(result(&task, placed("one"))).await;
    }
    scene.store.add_warning(scene.run, "a word").await.unwrap();
    scene.run
}

/// Cleans up in small steps until nothing is left to do; the books are whole after each.
async fn clean_up(scene: &Scene, tasks_before: Timestamp, runs_before: Timestamp) -> CleanedUp {
    let mut sum = CleanedUp::default();
    loop {
        let step = scene.store.clean_up(tasks_before, runs_before, 2).await.unwrap();
        assert_eq!(scene.store.books().await.unwrap().faults, Vec::<String>::new());
        assert!(step.tasks <= 2 && step.unchanged <= 2 && step.runs <= 2, "{step:?}");
        if step == CleanedUp::default() {
            return sum;
        }
        sum.tasks += step.tasks;
        sum.destinations += step.destinations;
        sum.attempts += step.attempts;
        sum.unchanged += step.unchanged;
        sum.runs += step.runs;
    }
}

/// Its counters and its report stay, and so does everything of other runs.
pub async fn the_tasks_of_old_runs_are_deleted_and_what_they_placed_stays(store: Store) {
    let mut scene = Scene::new(store).await;
    let open = scene.run;
    let old = night(&mut scene, 5).await;
    end(&scene, true).await;
    let counts = scene.progress().await.counts;
    let unreported = night(&mut scene, 1).await;
    end(&scene, false).await;
    scene.pass(Duration::from_secs(1));
    let before = scene.now;
    let new = night(&mut scene, 3).await;
    end(&scene, true).await;

    let never = Timestamp::UNIX_EPOCH;
    assert_eq!(clean_up(&scene, never, never).await, CleanedUp::default());
    let cleaned = clean_up(&scene, before, never).await;
    assert_eq!(cleaned, CleanedUp { tasks: 5, destinations: 10, attempts: 5, ..CleanedUp::default() });
    let run = scene.store.run(old).await.unwrap();
    assert_eq!((run.counts, run.has_tasks, run.report.is_some()), (counts, false, true));
    assert!(scene.store.report_rows(old, None, 10).await.unwrap().is_empty());
    assert_eq!(scene.store.warnings(old).await.unwrap(), ["a word"]);
    for (run, rows) in [(open, 0), (unreported, 1), (new, 3)] {
        assert_eq!(scene.store.report_rows(run, None, 10).await.unwrap().len(), rows);
        assert!(scene.store.run(run).await.unwrap().has_tasks);
    }
    let targets: Vec<_> = (0..5).map(|n| location(&format!("mirror.example.com/a:{n}"))).collect();
    assert_eq!(scene.store.placements(&targets).await.unwrap().len(), 5);
    assert_eq!(scene.store.kept("nightly", None, 100).await.unwrap().len(), 10);
}

/// A placement names the run that made it, however long ago.
pub async fn old_runs_are_deleted_but_for_those_that_placed_what_is_there(store: Store) {
    let mut scene = Scene::new(store).await;
    let placing = night(&mut scene, 4).await;
    end(&scene, true).await;
    scene.pass(Duration::from_secs(86_400));
    let due = scene.now;
    scene.run = scene.store.fire(&run_to_be("nightly", false, due), due).await.unwrap().run;
    let seeing = scene.run;
    see_all_unchanged(&scene).await;
    scene.store.add_warning(seeing, "a word").await.unwrap();
    end(&scene, true).await;
    let last = night(&mut scene, 1).await;
    end(&scene, true).await;
    let after = scene.now.checked_add(Duration::from_secs(1)).unwrap();

    assert_eq!(clean_up(&scene, Timestamp::UNIX_EPOCH, after).await, CleanedUp::default(), "they have their tasks");
    let cleaned = clean_up(&scene, last_second(&scene), after).await;
    assert_eq!(cleaned, CleanedUp { tasks: 4, destinations: 8, attempts: 4, unchanged: 8, runs: 1 });
    assert!(matches!(scene.store.run(seeing).await, Err(StoreError::NoSuchRun(_))));
    assert_eq!(scene.store.warnings(seeing).await.unwrap(), Vec::<String>::new());
    assert_eq!(scene.store.last_firing("nightly").await.unwrap(), None);
    for run in [placing, last] {
        assert_eq!(scene.store.run(run).await.unwrap().job, "nightly");
    }
    assert_eq!(scene.store.kept("nightly", None, 100).await.unwrap().len(), 8);
}

/// The second before the last run ended.
fn last_second(scene: &Scene) -> Timestamp {
    scene.now.checked_sub(Duration::from_secs(1)).unwrap()
}

async fn see_all_unchanged(scene: &Scene) {
    let tasks = (0..4).map(|n| new_task(&format!("app:{n}"), &[&format!("a:{n}"), &format!("b:{n}")]));
    let mut images = Vec::new();
    for task in tasks {
        let locations: Vec<_> = task.destinations.iter().map(|to| to.location.clone()).collect();
        let known = scene.store.placements(&locations).await.unwrap();
        images.push(Unchanged { placed: locations.iter().map(|at| known[at].placed.clone()).collect(), task });
    }
    assert_eq!(scene.store.mark_unchanged(scene.run, &images, scene.now).await.unwrap(), []);
}
