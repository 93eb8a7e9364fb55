//! A registry is not reached, or is not the one it claims to be.

use std::net::TcpListener;

use sandbox::{Effect, Fault, Registry, Tls};
use serde_json::Value;

use super::{Row, TAG, entry};
use crate::support::{failures, totals};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_certificate_is_not_trusted_fails() {
    let mut row = Row::new().await;
    let untrusted = Registry::builder().tls(Tls::SignedByAuthority).start().await.unwrap();
    untrusted.store().put_image("app", Some(TAG), &row.app);
    row.images[0] = entry(&untrusted, "app", TAG);
    let report = row.fails("source_untrusted").await;
    assert!(report["images"].to_string().contains("ca_file"), "{report:#}");
    assert_eq!(untrusted.log().count("", ""), 0);

    let trust = row.trust(&untrusted);
    row.setting(untrusted.host(), trust);
    row.ends(0, "1 up_to_date, 1 pushed", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_name_cannot_be_resolved_fails() {
    let mut row = Row::new().await;
    row.images[0] = format!("  something.invalid/app: \"{TAG}\"");
    let report = row.fails("source_unavailable").await;
    assert!(report["images"].to_string().contains("cannot resolve `something.invalid`"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_destination_that_is_down_does_not_hold_up_the_other() {
    let mut row = Row::new().await;
    // Nobody listens there any more.
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    row.to.push(format!("{down}/mirror/{{path}}"));
    row.run(1).await;

    let report = row.workshop.report().await;
    assert_eq!(totals(&report), "2 failed");
    for image in report["images"].as_array().unwrap() {
        for destination in image["destinations"].as_array().unwrap() {
            let is_down = destination["destination"].as_str().unwrap().starts_with(&down.to_string());
            let expected = if is_down { ("failed", "destination_unavailable") } else { ("pushed", "") };
            let code = destination["failure"]["code"].as_str().unwrap_or_default();
            assert_eq!((destination["outcome"].as_str().unwrap(), code), expected, "{report:#}");
        }
    }
    row.assert_whole("app", &row.app);
    row.assert_whole("tool", &super::tool());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_cannot_be_listed_is_a_failed_line_and_the_others_go_on() {
    let mut row = Row::new().await;
    row.images[0] = entry(&row.source, "app", "*");
    row.source.fault(Fault::on("GET", "/v2/app/tags/list", Effect::status(403)));
    let ended = row.run(1).await;
    let report: Value = row.workshop.report().await;
    assert_eq!(totals(&report), "1 pushed, 1 unlisted");
    assert_eq!(failures(&report), [format!("{}/app → source_forbidden", row.source.host())]);
    assert!(ended.stdout.contains(&format!("{}/app", row.source.host())), "{}", ended.stdout);
    row.assert_whole("tool", &super::tool());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_cannot_be_listed_at_first_is_listed_again() {
    let mut row = Row::new().await;
    row.images[0] = entry(&row.source, "app", "*");
    // More often than one request is repeated.
    let fault = row.source.fault(Fault::on("GET", "/v2/app/tags/list", Effect::status(503)).times(5));
    row.arrives().await;
    assert_eq!(fault.hits(), 5);
}
