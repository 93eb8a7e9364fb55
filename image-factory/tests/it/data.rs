//! The data folder: one run at a time, and what happens when it cannot be written.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sandbox::{Hold, Registry, content};

use crate::support::{RUN, Workshop, totals, within};

/// A source with three images, a destination, and a folder with a job from one to the other.
async fn set_up() -> (Registry, Registry, Workshop) {
    let source = Registry::builder().start().await.unwrap();
    for seed in 1..=3 {
        source.store().put_image("team/app", Some(&format!("1.{seed}")), &content::image(seed).build());
    }
    // As most are: a blob comes after the request that opens its upload.
    let destination = Registry::builder().features(|can| can.single_post = false).start().await.unwrap();
    let workshop = Workshop::new();
    let (from, to) = (source.host(), destination.host());
    workshop.job(&format!("version: 1\nto: {to}/{{path}}\nimages:\n  {from}/team/app: \"*\"\n"));
    (source, destination, workshop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_on_one_data_folder_is_refused_and_the_first_is_unharmed() {
    let (_source, destination, workshop) = set_up().await;
    let hold = Hold::on(&destination, "PUT", "/blobs/uploads/", 0);
    let first = workshop.start(&RUN);
    within(hold.reached()).await;

    let asked = destination.log().requests().len();
    let second = workshop.run().await.expect(3);
    assert!(second.stderr.contains(&format!("process {}", first.id().unwrap())), "{}", second.stderr);
    assert!(second.stderr.contains("in use by another run"), "{}", second.stderr);
    let runs = workshop.program(&["runs"]).await.expect(0).stdout;
    assert!(runs.lines().count() == 1 && runs.contains("running"), "{runs}");
    let report = workshop.program(&["report"]).await.expect(2);
    assert!(report.stderr.contains("has no report yet"), "{}", report.stderr);
    assert!(destination.log().requests().len() >= asked);

    drop(hold);
    workshop.watch(first).end().await.expect(0);
    assert_eq!(totals(&workshop.report().await), "3 pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_leaves_a_lock_that_hinders_nobody() {
    let (_source, destination, workshop) = set_up().await;
    let hold = Hold::losing(&destination, "PUT", "/blobs/uploads/", 0);
    let mut first = workshop.start(&RUN);
    within(hold.reached()).await;
    first.kill().await.unwrap();
    assert!(workshop.path().join("data/lock").exists());
    drop(hold);
    workshop.run().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn past_reports_are_read_while_a_run_goes_on() {
    let (source, destination, workshop) = set_up().await;
    workshop.run().await.expect(0);
    source.store().put_image("team/app", Some("1.4"), &content::image(4).build());
    let hold = Hold::on(&destination, "PUT", "/blobs/uploads/", 0);
    let second = workshop.start(&RUN);
    within(hold.reached()).await;

    let runs = workshop.program(&["runs"]).await.expect(0).stdout;
    let first = runs.lines().nth(1).unwrap().split_whitespace().next().unwrap();
    let report = workshop.program(&["report", first]).await.expect(0).stdout;
    assert!(report.contains("3 pushed"), "{report}");

    drop(hold);
    workshop.watch(second).end().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_cannot_be_is_named_and_nothing_is_run() {
    let (source, _destination, workshop) = set_up().await;
    let file = workshop.write("file", "");
    let folder = file.join("data");
    let ended = workshop.program(&["run", "job.yaml", "--data", folder.to_str().unwrap()]).await.expect(3);
    assert!(ended.stderr.contains(folder.to_str().unwrap()), "{}", ended.stderr);
    assert_eq!(source.requests(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_at_the_start_is_said_and_nothing_is_run() {
    let (source, _destination, workshop) = set_up().await;
    let run = workshop.start_with_room_for(0, &RUN);
    let ended = workshop.watch(run).end().await.expect(3);
    assert!(ended.stderr.contains("write lock"), "{}", ended.stderr);
    assert_eq!(source.requests(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_does_not_fit_the_disk_is_said_and_nothing_is_run() {
    let (source, _destination, workshop) = set_up().await;
    let run = workshop.start_with_room_for(1_000, &RUN);
    let ended = workshop.watch(run).end().await.expect(3);
    assert!(ended.stderr.contains("store"), "{}", ended.stderr);
    assert_eq!(source.requests(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_gets_full_ends_the_run_and_the_next_one_goes_on() {
    let (source, destination, workshop) = set_up().await;
    let hold = Hold::on(&destination, "PUT", "/manifests/1.", 1);
    let run = workshop.start_with_room_for(1_000_000_000, &RUN);
    within(hold.reached()).await;
    workshop.leave_no_room(&run);
    drop(hold);
    let ended = workshop.watch(run).end().await.expect(3);
    assert!(ended.stderr.contains("store"), "{}", ended.stderr);
    workshop.run().await.expect(0);
    assert_eq!(destination.store().tags(), source.store().tags());
    let runs = workshop.program(&["runs"]).await.expect(0).stdout;
    assert!(runs.lines().nth(1).unwrap().contains("interrupted"), "{runs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_and_its_copy_are_readable_for_whom_the_umask_allows() {
    let (_source, _destination, workshop) = set_up().await;
    let ended = workshop.program(&["run", "job.yaml", "--report-dir", "new/reports"]).await.expect(0);
    assert!(ended.stdout.contains("new/reports/report.html"), "{}", ended.stdout);
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode();
    let usual = mode(workshop.write("usual", ""));
    let run = std::fs::read_dir(workshop.path().join("data/reports")).unwrap().next().unwrap().unwrap();
    for name in ["report.html", "report.csv", "report.json"] {
        assert_eq!(mode(run.path().join(name)), usual);
        assert_eq!(mode(workshop.path().join("new/reports").join(name)), usual);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_folder_that_cannot_be_is_said_before_anything_is_run() {
    let (source, _destination, workshop) = set_up().await;
    workshop.write("file", "");
    let ended = workshop.program(&["run", "job.yaml", "--report-dir", "file/reports"]).await.expect(3);
    assert!(ended.stderr.contains("report folder `file/reports`"), "{}", ended.stderr);
    assert_eq!(source.requests(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_report_is_said_before_anything_is_run_that_would_replace_it() {
    let (source, _destination, workshop) = set_up().await;
    std::fs::create_dir(workshop.path().join("reports")).unwrap();
    workshop.write("reports/report.json", "{}");
    let ended = workshop.program(&["run", "job.yaml", "--report-dir", "reports"]).await.expect(3);
    assert!(ended.stderr.contains("`reports/report.json`: it is no report of ours"), "{}", ended.stderr);
    assert_eq!(source.requests(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_folder_has_the_newest_report_and_those_before_by_their_run() {
    let (_source, _destination, workshop) = set_up().await;
    for _ in 0..2 {
        workshop.program(&["run", "job.yaml", "--report-dir", "reports"]).await.expect(0);
    }
    let read = |path: PathBuf| serde_json::from_slice::<serde_json::Value>(&std::fs::read(path).unwrap()).unwrap();
    let reports = workshop.path().join("reports");
    let folders = std::fs::read_dir(&reports).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let documents = [reports.clone()].into_iter().chain(folders).map(|folder| read(folder.join("report.json")));
    let totals: Vec<String> = documents.map(|document| totals(&document)).collect();
    assert_eq!(totals, ["3 up_to_date", "3 pushed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_is_printed_though_the_report_cannot_be_copied() {
    let (_source, _destination, workshop) = set_up().await;
    std::fs::create_dir_all(workshop.path().join("reports/report.html")).unwrap();
    let ended = workshop.program(&["run", "job.yaml", "--report-dir", "reports"]).await.expect(3);
    assert!(ended.stdout.contains("3 pushed"), "{}", ended.stdout);
    assert!(ended.stderr.contains("write report `reports/report.html`"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_run_is_one_though_nobody_reads_its_summary() {
    let (source, destination, workshop) = set_up().await;
    let mut run = workshop.start(&RUN);
    drop(run.stdout.take());
    assert_eq!(within(run.wait()).await.unwrap().code(), Some(0));
    assert_eq!(destination.store().tags(), source.store().tags());
}
