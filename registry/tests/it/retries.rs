//! Which failures are tried again within a request, for how long, and what is said at the end.

use std::time::Duration;

use proto::Class;
use registry::{Client, Error, Kind, Options};
use sandbox::{Effect, Fault, PullLimit, Registry, RetryAfter, content};

use crate::setup::{client, client_with, options, repository, tag};

async fn registry() -> Registry {
    let registry = Registry::builder().start().await.unwrap();
    registry.store().put_image("a", Some("1"), &content::image(1).build());
    registry
}

async fn get(client: &Client, registry: &Registry) -> Result<(), Error> {
    client.manifest(&repository(registry, "a"), &tag("1")).await.map(drop)
}

#[tokio::test]
async fn what_may_pass_is_tried_again_until_it_does() {
    let effects = [
        Effect::status(500),
        Effect::status(503),
        Effect::status(408),
        Effect::Close,
        Effect::CutBody { after: 10 },
        Effect::StallBody { after: 10 },
        Effect::too_many_requests(RetryAfter::Unsaid),
        Effect::too_many_requests(RetryAfter::Seconds(0)),
        Effect::too_many_requests(RetryAfter::Seconds(1)),
        Effect::too_many_requests(RetryAfter::Date(Duration::from_secs(1))),
    ];
    // At once, since some of them make us wait.
    let all = effects.map(async |effect| {
        let registry = registry().await;
        let fault = registry.fault(Fault::on("GET", "/manifests/", effect.clone()).times(2));
        get(&client(), &registry).await.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        assert_eq!(fault.hits(), 2, "{effect:?}");
    });
    futures_util::future::join_all(all).await;
}

#[tokio::test]
async fn what_does_not_pass_ends_after_bounded_tries() {
    for (status, kind, class, tries) in [
        (500, Kind::Unavailable, Class::Retry, 4),
        (429, Kind::RateLimited, Class::Retry, 4),
        (501, Kind::Refused, Class::Reject, 1),
        (403, Kind::Forbidden, Class::Reject, 1),
        (404, Kind::NotFound, Class::Reject, 1),
        (400, Kind::Refused, Class::Reject, 1),
    ] {
        let registry = registry().await;
        registry.fault(Fault::on("GET", "/manifests/", Effect::status(status)));
        let error = get(&client(), &registry).await.unwrap_err();
        assert_eq!((error.kind(), error.class(), error.status()), (kind, class, Some(status)));
        assert_eq!(registry.log().count("GET", "/manifests/"), tries, "{status}");
    }
}

#[tokio::test]
async fn a_wait_longer_than_a_request_bears_is_handed_up_at_once() {
    let registry = registry().await;
    registry.fault(Fault::on("GET", "/manifests/", Effect::too_many_requests(RetryAfter::Seconds(3600))));
    let error = get(&client(), &registry).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::RateLimited, Class::Defer));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(registry.log().count("GET", "/manifests/"), 1);

    let patient = client_with(&Default::default(), Options { retry_after_max: Duration::from_secs(4000), ..options() });
    registry.clear_faults();
    get(&patient, &registry).await.unwrap();
}

#[tokio::test]
async fn a_used_up_pull_limit_is_a_rate_limit_with_the_registrys_words() {
    let registry = registry().await;
    registry.set_pull_limit(Some(PullLimit { limit: 100, remaining: 0, window: 21600 }));
    let error = get(&client(), &registry).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::RateLimited, Some("TOOMANYREQUESTS")));
    assert!(error.to_string().contains("pull rate limit"), "{error}");
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_stalled() {
    let registry = registry().await;
    registry.fault(Fault::on("GET", "/manifests/", Effect::Latency(Duration::from_secs(60))));
    let quick = Options { answer_timeout: Duration::from_millis(100), retries: 1, ..options() };
    let error = get(&client_with(&Default::default(), quick), &registry).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Stalled, Class::Retry));
    assert_eq!(registry.log().count("GET", "/manifests/"), 2);
}

#[tokio::test]
async fn who_needs_a_registry_that_is_down_shares_the_tries_of_another() {
    let registry = registry().await;
    registry.fault(Fault::on("GET", "/v2/", Effect::status(503)));
    let client = client_with(&Default::default(), Options { retries: 2, ..options() });
    let (one, other) = tokio::join!(get(&client, &registry), get(&client, &registry));
    assert_eq!(one.unwrap_err().to_string(), other.unwrap_err().to_string());
    assert_eq!(registry.log().count("GET", "/v2/"), 3);
}
