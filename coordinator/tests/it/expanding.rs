//! From a file and the tags of its sources to tasks.

use coordinator::expand::{Only, expand};
use proto::Tag;
use registry::Tags;
use sandbox::{Effect, Fault, Registry, content};

use crate::office::{Office, file};

#[test]
fn rules_turn_a_listing_into_tasks() {
    let file = file("  source.test/app: [\">=1.2\", \"edge\", \"9.*\", \"!*-rc*\"]\n");
    let tags: Vec<Tag> = ["1.1", "1.2", "1.3", "1.3-rc1", "2.0", "edge", "latest"].map(|t| t.parse().unwrap()).into();
    let listed = Tags { tags, ..Tags::default() };
    let lines = || {
        let expansion = expand(&file.jobs[0].sources[0], &listed, &Only::All);
        let tasks = expansion.tasks.iter().map(|task| {
            let to: Vec<_> = task.destinations.iter().map(|to| to.location.to_string()).collect();
            format!("{} → {}", task.source, to.join(", "))
        });
        tasks.chain(expansion.warnings.iter().map(|warning| format!("warning: {warning}"))).collect::<Vec<_>>()
    };
    insta::assert_snapshot!(lines().join("\n"), @"
    source.test/app:2.0 → mirror.test/app:2.0
    source.test/app:1.3 → mirror.test/app:1.3
    source.test/app:1.2 → mirror.test/app:1.2
    source.test/app:edge → mirror.test/app:edge
    warning: source.test/app: no tag matches `9.*`
    ");
    assert_eq!(lines(), lines(), "the same listing gives the same tasks in the same order");
}

/// A run over a source that answers listings with `status` this often; how it was asked, and the totals.
async fn listing_fails(status: u16, times: u64) -> (usize, serde_json::Value) {
    let source = Registry::builder().start().await.unwrap();
    source.store().put_image("app", Some("1.0"), &content::image(1).build());
    source.fault(Fault::on("GET", "/tags/list", Effect::status(status)).times(times));
    let office = Office::new().await;
    let run = office.submit(&file(&format!("  {}/app: \"*\"\n", source.host()))).await;
    let report = office.run_to_report(run, usize::from(times < 3 && status != 403)).await;
    (source.log().count("GET", "/tags/list"), report)
}

#[tokio::test]
async fn a_listing_that_fails_twice_is_tried_again() {
    let (asked, report) = listing_fails(503, 2).await;
    assert_eq!((asked, &report["totals"]["pushed"]), (3, &1.into()));
    assert_eq!(report["unlisted"], serde_json::json!([]));
}

#[tokio::test]
async fn a_listing_that_fails_three_times_is_a_failed_line_and_no_image() {
    let (asked, report) = listing_fails(503, 3).await;
    assert_eq!((asked, &report["totals"]["images"], &report["totals"]["unlisted"]), (3, &0.into(), &1.into()));
    assert_eq!(report["unlisted"][0]["failure"]["code"], "source_unavailable");
}

#[tokio::test]
async fn a_listing_that_is_refused_is_not_asked_for_again() {
    let (asked, report) = listing_fails(403, 1).await;
    assert_eq!((asked, &report["totals"]["unlisted"]), (1, &1.into()));
}
