//! In which order rows come, whatever the language of the database.

use proto::outcome::End;
use proto::{Location, RunId};

use super::{Scene, location, new_run, placed, result};
use crate::Store;

/// Tags, and the parts of names before them, that people would put into another order than their bytes have.
const NAMES: [&str; 9] = ["a:1", "a:1-0", "a:1.0", "a:10", "a:B", "a:_1", "a:a", "a-b:1", "a.b:1"];

/// A page begins behind the last row of the one before, and Rust folds what the database has sorted.
pub async fn rows_come_in_the_order_of_their_bytes(store: Store) {
    let scene = Scene::new(store).await;
    for name in NAMES {
        scene.add(name, &[name]).await;
        scene.store.add_warning(scene.run, name).await.unwrap();
        scene.store.pause_schedule(name, "suite", scene.now).await.unwrap();
    }
    for task in scene.publish().await {
        scene.record(result(&task, placed("one"))).await;
    }
    let mut sorted = NAMES.map(|name| format!("source.example.com/{name}"));
    sorted.sort();
    let (mut told, mut after) = (Vec::new(), None);
    while let [row] = &scene.store.report_rows(scene.run, after.as_deref(), 1).await.unwrap()[..] {
        told.push(row.source.clone());
        after = Some(row.source.clone());
    }
    assert_eq!(told, sorted);

    let mut plain = NAMES;
    plain.sort_unstable();
    assert_eq!(scene.store.warnings(scene.run).await.unwrap(), plain);
    let paused = scene.store.paused_schedules().await.unwrap();
    assert_eq!(paused.into_iter().map(|pause| pause.job).collect::<Vec<_>>(), plain);

    let (mut kept, mut after) = (Vec::new(), None);
    while let [one] = &scene.store.kept("nightly", after.as_ref(), 1).await.unwrap()[..] {
        kept.push(one.at.0.clone());
        after = Some(one.at.clone());
    }
    assert!(kept.is_sorted() && kept.len() == NAMES.len(), "{kept:?}");
    let names = scene.store.names_with("/a", 100).await.unwrap();
    assert!(names.is_sorted() && names.len() == 2 * NAMES.len(), "{names:?}");
}

/// A name that a person's language would count as another one is another one, and so is one that only looks alike.
pub async fn names_that_differ_in_a_byte_are_two(store: Store) {
    let scene = Scene::new(store).await;
    for tag in ["v1", "V1"] {
        scene.add(&format!("app:{tag}"), &[&format!("app:{tag}")]).await;
    }
    let tasks = scene.publish().await;
    assert_eq!(tasks.len(), 2);
    scene.record(result(&tasks[0], placed("one"))).await;
    let targets: Vec<Location> = ["v1", "V1"].map(|tag| location(&format!("mirror.example.com/app:{tag}"))).into();
    assert_eq!(scene.store.placements(&targets).await.unwrap().len(), 1);
}

/// What a registry said may hold any character, and a result that no Store took would come again for ever.
pub async fn a_warning_may_hold_any_character(store: Store) {
    let scene = Scene::new(store).await;
    scene.add("app:1", &["app:1"]).await;
    let mut answer = result(&scene.publish_one().await, End::INTERRUPTED);
    answer.warnings = vec!["said `\u{0}\u{1}\u{ffff}`".to_owned()];
    scene.record(answer).await;
    let warnings = scene.store.warnings(scene.run).await.unwrap();
    assert!(warnings[0].starts_with("said `") && warnings[0].ends_with("\u{1}\u{ffff}`"), "{warnings:?}");
    let other: RunId = new_run(&scene.store, "other", false, scene.now).await;
    assert!(scene.store.warnings(other).await.unwrap().is_empty());
}
