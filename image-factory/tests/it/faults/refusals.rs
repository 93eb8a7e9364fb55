//! A registry says no: wrong passwords, missing rights, missing content, too many requests, errors of its own.

use std::time::Duration;

use sandbox::{Account, Auth, Effect, Fault, Missing, Registry, RetryAfter, Tls, Tokens, content};

use super::{Row, TAG};

/// A row whose source and destination know user `robot`, whose password is `good`, with these rights there.
async fn guarded(source: Auth, destination: Auth) -> Row {
    let start = async |auth| Registry::builder().auth(auth).tls(Tls::SignedByAuthority).start().await.unwrap();
    let (source, destination) = (start(source).await, start(destination).await);
    let mut row = Row::between(source, destination, content::image(1).build());
    for host in [row.source.host(), row.destination.host()] {
        let registry = if host == row.source.host() { &row.source } else { &row.destination };
        let settings = format!("{}, {}", row.robot("good"), row.trust(registry));
        row.setting(host, settings);
    }
    row
}

fn robot() -> Account {
    Account::new("robot", "good")
}

fn basic(account: Account) -> Auth {
    Auth::Basic(vec![account])
}

fn tokens(account: Account) -> Auth {
    Auth::Tokens(Tokens::new([account]))
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_right_password_both_images_arrive_by_basic_and_by_token() {
    guarded(basic(robot()), tokens(robot())).await.arrives().await;
    guarded(tokens(robot()), basic(robot())).await.arrives().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_at_the_source_fails() {
    for auth in [basic(robot()), tokens(robot())] {
        let mut row = guarded(auth, basic(robot())).await;
        let settings = format!("{}, {}", row.robot("wrong"), row.trust(&row.source));
        row.setting(format!("{}/app", row.source.host()), settings);
        row.fails("source_unauthorized").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_at_the_destination_fails() {
    for auth in [basic(robot()), tokens(robot())] {
        let mut row = guarded(basic(robot()), auth).await;
        let settings = format!("{}, {}", row.robot("wrong"), row.trust(&row.destination));
        row.setting(format!("{}/mirror/app", row.destination.host()), settings);
        row.fails("destination_unauthorized").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_at_the_source_fails() {
    for auth in [basic, tokens] {
        guarded(auth(robot().may("tool", "pull")), basic(robot())).await.fails("source_forbidden").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_at_the_destination_fails() {
    for auth in [basic, tokens] {
        let reader = robot().may("mirror/tool", "pull,push").may("mirror/app", "pull");
        guarded(basic(robot()), auth(reader)).await.fails("destination_forbidden").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_not_at_the_source_fails() {
    let row = Row::new().await;
    row.source.fault(Fault::on("", "/v2/app/", Effect::status(404)));
    row.fails("source_not_found").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_not_at_the_source_fails() {
    let row = Row::new().await;
    row.source.store().delete_tag("app", TAG);
    row.fails("source_not_found").await;
    assert_eq!(row.source.log().count("", "/v2/app/"), 1, "the same again would end the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_is_not_at_the_source_fails() {
    let row = Row::new().await;
    row.source.store().delete_blob("app", &row.layer());
    row.fails("source_not_found").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_429_the_next_request_comes_no_earlier_than_asked() {
    let row = Row::new().await;
    let limited = Effect::too_many_requests(RetryAfter::Seconds(2));
    row.source.fault(Fault::on("GET", "/v2/app/manifests/", limited).times(1));
    let too_early = row.source.fault(Fault::on("GET", "/v2/app/manifests/", Effect::status(403)).after(1));
    let time_passes = async {
        let asked = row.source.log().wait_for("GET", "/v2/app/manifests/", 1);
        tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap();
        // More than a retry without `Retry-After` would wait, less than what was asked for.
        tokio::time::sleep(Duration::from_secs(1)).await;
        too_early.remove();
    };
    tokio::join!(row.arrives(), time_passes);
    assert_eq!(too_early.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_429_without_retry_after_the_request_is_repeated() {
    let row = Row::new().await;
    let limited = || Effect::too_many_requests(RetryAfter::Unsaid);
    let read = row.source.fault(Fault::on("GET", "/v2/app/manifests/", limited()).times(2));
    let written = row.destination.fault(Fault::on("POST", "/v2/mirror/app/blobs/uploads/", limited()).times(1));
    row.arrives().await;
    assert_eq!((read.hits(), written.hits()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_of_more_than_a_minute_postpones_and_the_run_does_not_wait() {
    for asked in [RetryAfter::Seconds(3_600), RetryAfter::Date(Duration::from_secs(3_600))] {
        let row = Row::new().await;
        row.source.fault(Fault::on("GET", "/v2/app/manifests/", Effect::too_many_requests(asked)));
        row.postpones("source_rate_limited").await;
        assert_eq!(row.source.log().count("", "/v2/app/"), 1, "a limit is not probed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_before_the_body_of_a_put_was_read_is_repeated() {
    let row = Row::with_layer(8_000_000).await.with_uploads();
    let limited = Effect::too_many_requests(RetryAfter::Unsaid).before_body();
    let limited = row.destination.fault(Fault::on("PUT", "/v2/mirror/app/blobs/uploads/", limited).times(2));
    row.arrives().await;
    assert_eq!(limited.hits(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_500_now_and_then_is_overcome() {
    let row = Row::new().await.with_uploads();
    // Of each blob it must be asked whether it is there: what is missing is not told.
    row.destination.features(|can| can.missing = Missing::Unnamed);
    let source = [("HEAD", "/app/manifests/"), ("GET", "/app/manifests/"), ("GET", "/app/blobs/")];
    let destination =
        [("HEAD", "/app/blobs/"), ("POST", "/app/blobs/"), ("PUT", "/app/blobs/"), ("PUT", "/app/manifests/1.0")];
    let once = |(method, path)| Fault::on(method, path, Effect::status(500)).times(1);
    let mut faults = source.map(|on| row.source.fault(once(on))).to_vec();
    faults.extend(destination.map(|on| row.destination.fault(once(on))));
    row.arrives().await;
    assert!(faults.iter().all(|fault| fault.hits() == 1), "{faults:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_refuses_the_manifest_fails() {
    let row = Row::new().await;
    row.destination.fault(Fault::on("PUT", "/v2/mirror/app/manifests/", Effect::manifest_invalid()));
    let report = row.fails("destination_refused").await;
    assert!(report.to_string().contains("MANIFEST_INVALID"), "the registry's own word is passed on");
    assert_eq!(
        row.destination.log().count("PUT", "/v2/mirror/app/manifests/1.0"),
        1,
        "the same again would end the same"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_without_the_repository_is_told_with_its_mend() {
    let start = async || Registry::builder().start().await.unwrap();
    let row = Row::between(start().await, start().await, content::image(1).build());
    row.destination.fault(Fault::on("POST", "/app/blobs/uploads/", Effect::status(404)));
    row.fails("destination_not_found").await;
    let report = row.workshop.report().await.to_string();
    assert!(report.contains("create the repository, or its project, at the destination first"), "{report}");
}
