//! Runs that are killed or stopped, and the next one, which goes on from what is done.

use std::process::Stdio;

use sandbox::{Effect, Fault, Hold, Missing};

use crate::mirror::Mirror;
use crate::support::{RUN, signal, totals, within};

/// Kills a run at the moment in which `hold` holds a request.
async fn kill_at(mirror: &Mirror, hold: Hold) {
    let mut run = mirror.workshop.start(&RUN);
    within(hold.reached()).await;
    run.kill().await.unwrap();
    drop(hold);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_while_it_lists_tags_is_made_up_for_by_the_next() {
    let mirror = Mirror::new().await;
    kill_at(&mirror, Hold::losing(&mirror.source, "GET", "/tags/list", 0)).await;
    mirror.run_again_and_find_all_in_order().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_while_it_sends_a_blob_is_made_up_for_by_the_next() {
    let mirror = Mirror::new().await;
    kill_at(&mirror, Hold::losing(&mirror.destination, "PUT", "/blobs/uploads/", 5)).await;
    mirror.run_again_and_find_all_in_order().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_between_blobs_and_manifests_is_made_up_for_by_the_next() {
    let mirror = Mirror::new().await;
    kill_at(&mirror, Hold::losing(&mirror.destination, "PUT", "/manifests/sha256:", 1)).await;
    mirror.run_again_and_find_all_in_order().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_just_before_it_sets_a_tag_is_made_up_for_by_the_next() {
    let mirror = Mirror::new().await;
    kill_at(&mirror, Hold::losing(&mirror.destination, "PUT", "/manifests/1.5", 0)).await;
    mirror.run_again_and_find_all_in_order().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_killed_after_it_set_a_tag_and_before_that_is_on_record_is_made_up_for_by_the_next() {
    let mirror = Mirror::new().await;
    // What it takes proves nothing: the first question comes just before the PUT, the second reads it back.
    mirror.destination.features(|can| can.missing = Missing::Accepted);
    kill_at(&mirror, Hold::losing(&mirror.destination, "HEAD", "/manifests/1.5", 1)).await;
    let tag = |name| mirror.destination.store().tag("mirror/team/app", name);
    assert_eq!(tag("1.5"), mirror.source.store().tag("team/app", "1.5"));
    mirror.run_again_and_find_all_in_order().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_could_not_write_its_report_gets_it_with_the_next() {
    let mirror = Mirror::new().await;
    std::fs::create_dir(mirror.workshop.path().join("data")).unwrap();
    let reports = mirror.workshop.write("data/reports", "a file where a folder is to be");
    let ended = mirror.workshop.run().await.expect(3);
    assert!(ended.stderr.contains("write report"), "{}", ended.stderr);
    std::fs::remove_file(reports).unwrap();

    mirror.workshop.run().await.expect(0);
    assert_eq!(totals(&mirror.workshop.report().await), "5 up_to_date");
    let before = mirror.report_of_the_run_before().await;
    assert_eq!((totals(&before).as_str(), &before["run"]["end"]), ("5 pushed", &"finished".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stop_left_undone_is_named_with_the_command_that_does_it() {
    let mirror = Mirror::new().await;
    let (from, to) = (mirror.source.host(), mirror.destination.host());
    let group = |name| format!("  {name}: {{ to: \"{to}/{name}/{{path}}\", images: {{ {from}/team/app: \"*\" }} }}\n");
    let jobs = "jobs:\n  one: { groups: [one] }\n  two: { groups: [two] }\n";
    mirror.workshop.job(&format!("version: 1\ngroups:\n{}{}{jobs}", group("one"), group("two")));
    let hold = Hold::on(&mirror.destination, "PUT", "/blobs/uploads/", 2);
    let mut run = mirror.workshop.watch(mirror.workshop.start(&[&RUN[..], &["--slots=1"]].concat()));
    within(hold.reached()).await;
    run.signal("INT");
    run.says("finishing").await;
    drop(hold);

    let ended = run.end().await.expect(5);
    assert!(
        ended.stdout.lines().last().unwrap().starts_with("next     image-factory run job.yaml"),
        "{}",
        ended.stdout
    );
    assert!(ended.stderr.contains("not begun: job two; `image-factory run job.yaml"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("closes this one"), "it has its report: {}", ended.stderr);

    let nothing = mirror.workshop.program(&["retry", "--failed"]).await.expect(5);
    assert!(nothing.stdout.starts_with("nothing to retry: nothing failed in run "), "{}", nothing.stdout);
    assert!(nothing.stdout.contains("; 4 cancelled are left out by `--failed`\nnext     image-factory retry "));

    let failures = mirror.workshop.program(&["failures"]).await.expect(0).stdout;
    assert!(failures.contains("nothing went wrong; 4 images cancelled\nnext     image-factory retry "), "{failures}");

    mirror.workshop.run().await.expect(0);
    assert_eq!(mirror.destination.store().tag("two/team/app", "1.5"), mirror.source.store().tag("team/app", "1.5"));
}

/// Stops a run with `name` while its only slot sends a blob.
async fn stop_once(name: &str) {
    let mirror = Mirror::new().await;
    let hold = Hold::on(&mirror.destination, "PUT", "/blobs/uploads/", 2);
    let run = mirror.workshop.start(&[&RUN[..], &["--slots=1"]].concat());
    within(hold.reached()).await;
    signal(&run, name);
    let mut run = mirror.workshop.watch(run);
    run.says("finishing").await;
    drop(hold);

    run.end().await.expect(5);
    let report = mirror.workshop.report().await;
    assert_eq!((totals(&report).as_str(), &report["run"]["end"]), ("1 pushed, 4 cancelled", &"interrupted".into()));
    assert_eq!(mirror.destination.log().count("PUT", "/manifests/1."), 1, "nothing new was begun");
    mirror.run_again_and_find_all_in_order().await;
    assert_eq!(totals(&mirror.workshop.report().await), "1 up_to_date, 4 pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_lets_running_copies_finish_and_cancels_the_rest() {
    stop_once("INT").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_running_copies_finish_and_cancels_the_rest() {
    stop_once("TERM").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_twice_leaves_at_once_while_an_upload_stalls() {
    let mirror = Mirror::new().await;
    let stall = mirror.destination.fault(Fault::on("PUT", "/blobs/uploads/", Effect::StallUpload { after: 100 }));
    // So patient that the run would hang for as long as the test waits.
    let run = mirror.workshop.start(&["run", "job.yaml", "--stall-timeout=10m"]);
    within(mirror.destination.log().wait_for("PUT", "/blobs/uploads/", 1)).await;
    signal(&run, "INT");
    let mut run = mirror.workshop.watch(run);
    run.says("finishing").await;
    run.signal("INT");
    let ended = run.end().await.expect(5);
    assert!(ended.stderr.contains("the next run"), "{}", ended.stderr);

    stall.remove();
    mirror.run_again_and_find_all_in_order().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_stopped_claims_nothing_about_its_tag() {
    let mirror = Mirror::new().await;
    let hold = Hold::losing(&mirror.destination, "PUT", "/manifests/1.5", 0);
    let (from, to) =
        (format!("{}/team/app:1.5", mirror.source.host()), format!("{}/app:1.5", mirror.destination.host()));
    let copy = mirror.workshop.start(&["copy", &from, &to]);
    within(hold.reached()).await;
    signal(&copy, "INT");
    let ended = mirror.workshop.watch(copy).end().await.expect(5);
    assert!(ended.stdout.contains("run it again to be sure"), "{}", ended.stdout);
    drop(hold);
    mirror.workshop.program(&["copy", &from, &to]).await.expect(0);
    assert_eq!(mirror.destination.store().tag("app", "1.5"), mirror.source.store().tag("team/app", "1.5"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_log_nobody_reads_any_more_comes_to_its_end() {
    let mirror = Mirror::new().await;
    let mut run = mirror.workshop.command(&RUN);
    run.env("IMAGE_FACTORY_LOG", "debug").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut run = run.spawn().unwrap();
    drop(run.stderr.take());
    assert_eq!(within(run.wait()).await.unwrap().code(), Some(0));
    mirror.expect_all_tags();
}
