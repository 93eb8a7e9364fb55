//! A run that dies before or after any of its effects, and the next one, which makes up for it.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use daemon::crash::{Effect, POINT_VARIABLE};
use futures_util::{StreamExt, stream};
use sandbox::Missing;

use crate::mirror::Mirror;
use crate::support::RUN;

/// Points that are tried at once: each is a program that mostly waits for the disk.
const AT_ONCE: usize = 3;

/// With one slot the second repository finds in the first what it can mount.
const RUN_AND_KEEP: [&str; 7] = [RUN[0], RUN[1], RUN[2], RUN[3], RUN[4], "--slots=1", "--report-dir=kept"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

type Point = (Effect, Moment);

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_before_or_after_any_effect_is_made_up_for_by_the_next() {
    let points = Effect::ALL.iter().flat_map(|effect| [(*effect, Moment::Before), (*effect, Moment::After)]);
    let tried = stream::iter(points).map(async |point| {
        // In a task of its own, so that one that fails leaves the others to be tried too.
        let tried = tokio::spawn(try_point(point)).await;
        tried.err().map(|panic| format!("{}: {panic}", name(point)))
    });
    let failed: Vec<String> = tried.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    assert_eq!(failed, Vec::<String>::new());
}

fn name((effect, moment): Point) -> String {
    let moment = match moment {
        Moment::Before => "before",
        Moment::After => "after",
    };
    format!("{}_{moment}", effect.as_str())
}

async fn try_point(point: Point) {
    let mirror = Mirror::with_all_effects().await;
    if point.0 == Effect::TagReadBack {
        // Nothing that it takes is proof of anything.
        mirror.destination.features(|can| can.missing = Missing::Accepted);
    }
    if point.0 == Effect::RunInterrupt {
        // Comes at the start of the run after one that was cut off.
        kill_at(&mirror, (Effect::ResultsRecord, Moment::Before)).await;
    }
    kill_at(&mirror, point).await;
    mirror.workshop.program(&RUN_AND_KEEP).await.expect(0);

    mirror.expect_all_tags();
    mirror.expect_nothing_sent_twice();
    let reports = mirror.reports().await;
    let ends: Vec<&str> = reports.iter().map(|report| report["run"]["end"].as_str().unwrap()).collect();
    assert_eq!(ends, expected_ends(point), "{}", name(point));
    let images = reports[0]["images"].as_array().unwrap().iter();
    for placed in images.flat_map(|image| image["destinations"].as_array().unwrap()) {
        let (repository, tag) = placed["destination"].as_str().unwrap().rsplit_once(':').unwrap();
        let (_host, repository) = repository.split_once('/').unwrap();
        let shown = mirror.destination.store().tag(repository, tag).unwrap();
        assert_eq!(placed["digest"], shown.as_str(), "the record agrees with the registry");
    }
    expect_no_litter(&mirror, ends.len());
}

/// Runs until the point, where the process must die.
async fn kill_at(mirror: &Mirror, point: Point) {
    let mut command = mirror.workshop.command(&RUN_AND_KEEP);
    let ended = command.env(POINT_VARIABLE, format!("{}:1", name(point))).output().await.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.signal(), Some(9), "{} is never reached: {}, {said}", name(point), ended.status);
}

/// How the runs ended, newest first, once the second one has ended well.
fn expected_ends(point: Point) -> &'static [&'static str] {
    let ended_by = [Effect::ReportRename, Effect::ReportNote, Effect::ReportCopy];
    match point {
        (Effect::RunCreate, Moment::Before) => &["finished"],
        (Effect::RunFinish, Moment::After) => &["finished", "finished"],
        (effect, _) if ended_by.contains(&effect) => &["finished", "finished"],
        _ => &["finished", "interrupted"],
    }
}

/// Each run's folder has the report and nothing else, and so has the folder that the person named.
fn expect_no_litter(mirror: &Mirror, runs: usize) {
    let data = mirror.workshop.path().join("data");
    let mut besides = names(&data);
    // A database has files of its own beside it, which the next process takes up.
    besides.retain(|name| !name.starts_with("store.db") && !name.starts_with("ledger.db"));
    assert_eq!(besides, BTreeSet::from(["lock", "reports", "scratch"].map(String::from)));
    assert_eq!(names(&data.join("scratch")), BTreeSet::new());
    let folders = names(&data.join("reports"));
    assert_eq!(folders.len(), runs);
    let report = BTreeSet::from(["report.csv", "report.html", "report.json"].map(String::from));
    for folder in folders {
        assert_eq!(names(&data.join("reports").join(folder)), report);
    }
    assert_eq!(names(&mirror.workshop.path().join("kept")), report);
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
