//! Runs that are killed or stopped, and the next one, which goes on from what is done.

use std::collections::BTreeMap;

use sandbox::{Effect, Fault, Hold, Registry, content};
use serde_json::Value;

use crate::support::{RUN, Workshop, signal, totals, within};

/// Two registries, the first with five images, and a folder with a job that mirrors them to the second.
struct Mirror {
    source: Registry,
    destination: Registry,
    workshop: Workshop,
}

impl Mirror {
    async fn new() -> Self {
        let source = Registry::builder().start().await.unwrap();
        for seed in 1..=4 {
            let image = content::multi_platform(seed, &["linux/amd64", "linux/arm64"]);
            source.store().put_image("team/app", Some(&format!("1.{seed}")), &image);
        }
        let signed = content::image(10).oddly_formatted().build();
        let signed = signed.clone().with_referrer(content::sbom(&signed));
        source.store().put_image("team/app", Some("1.5"), &signed);
        let signature = content::cosign_signature(&signed);
        source.store().put_image("team/app", Some(&content::cosign_tag(&signed.digest(), "sig")), &signature);
        let destination = Registry::builder().start().await.unwrap();
        let workshop = Workshop::new();
        workshop.job(&format!(
            "version: 1\nto: {}/mirror/{{path}}\nimages:\n  {}/team/app: \"*\"\n",
            destination.host(),
            source.host()
        ));
        Self { source, destination, workshop }
    }

    /// Runs again, and nothing is left of the trouble before: all tags are right, nothing was done twice, the run
    /// before has ended as interrupted and has its report.
    async fn run_again_and_find_all_in_order(&self) {
        self.workshop.run().await.expect(0);
        self.expect_all_tags();
        self.expect_nothing_sent_twice();
        let report = self.report_of_the_run_before().await;
        assert_eq!(report["run"]["end"], "interrupted", "{report}");
    }

    fn expect_all_tags(&self) {
        for ((repository, tag), digest) in self.source.store().tags() {
            let copied = self.destination.store().tag(&format!("mirror/{repository}"), &tag);
            assert_eq!(copied, Some(digest), "{repository}:{tag}");
        }
    }

    /// No blob and no manifest that was accepted is sent again.
    fn expect_nothing_sent_twice(&self) {
        let mut accepted: BTreeMap<String, u32> = BTreeMap::new();
        for request in self.destination.requests().into_iter().filter(|request| request.status == 201) {
            let digest =
                request.query.split('&').find(|pair| pair.starts_with("digest=") || pair.starts_with("mount="));
            let what = match digest {
                Some(digest) => digest.rsplit('=').next().unwrap().replace("%3A", ":"),
                None => request.path,
            };
            *accepted.entry(what).or_default() += 1;
        }
        assert!(!accepted.is_empty());
        accepted.retain(|_, times| *times > 1);
        assert_eq!(accepted, BTreeMap::new());
    }

    async fn report_of_the_run_before(&self) -> Value {
        let runs = self.workshop.program(&["runs"]).await.expect(0).stdout;
        let before = runs.lines().nth(1).unwrap_or_else(|| panic!("there is but one run: {runs}"));
        let id = before.split_whitespace().next().unwrap();
        serde_json::from_str(&self.workshop.program(&["report", "--json", id]).await.expect(0).stdout).unwrap()
    }
}

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
    // The first question is for what the tag shows, the second comes just before the PUT, the third reads it back.
    kill_at(&mirror, Hold::losing(&mirror.destination, "HEAD", "/manifests/1.5", 2)).await;
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
