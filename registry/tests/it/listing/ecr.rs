//! ECR's `ListImages`.

use proto::settings::{Auth, RegistrySettings};
use registry::{Client, Kind, Listing};
use sandbox::{Effect, Fault, Registry, RetryAfter, Vendor};

use super::{assert_complete, assert_names_only, builder, fill, repository, through_with};
use crate::setup::{capabilities, settings};

const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

/// A client with an identity of AWS's, for which `registry` stands for ECR.
fn with_identity(registry: &Registry) -> Client {
    through_with(registry, RegistrySettings { auth: Auth::Aws, ..settings(HOST) })
}

#[tokio::test]
async fn all_tags_come_with_digests_and_the_names_of_several_pages_from_the_registry() {
    let registry = builder(Vendor::Ecr).start().await.unwrap();
    fill(registry.store(), "team/app", 250);
    registry.features(|features| features.page_max = Some(100));
    let (client, repository) = (with_identity(&registry), repository(&format!("{HOST}/team/app")));
    let listed = client.tags(&repository).await.unwrap();
    assert_complete(&listed, registry.store(), "team/app", false);
    assert_eq!((registry.log().count("POST", "/"), registry.log().count("GET", "/tags/list")), (3, 3));
    assert_eq!(capabilities(&client, &repository).await.listing, Some(Listing::Ecr));
}

#[tokio::test]
async fn one_page_is_all_there_is() {
    let registry = builder(Vendor::Ecr).start().await.unwrap();
    fill(registry.store(), "team/app", 25);
    let listed = with_identity(&registry).tags(&repository(&format!("{HOST}/team/app"))).await.unwrap();
    assert_complete(&listed, registry.store(), "team/app", false);
    assert_eq!((registry.log().count("POST", "/"), registry.log().count("GET", "")), (1, 0));
}

#[tokio::test]
async fn a_tag_that_moves_while_pages_are_read_is_not_missed() {
    let registry = builder(Vendor::Ecr).start().await.unwrap();
    fill(registry.store(), "team/app", 150);
    registry.features(|features| features.page_max = Some(100));
    // Not on the second page any more, and the first one was read.
    let digest = registry.store().tag("team/app", "t0149").unwrap();
    registry
        .fault(Fault::on("POST", "/", Effect::act(|store| assert!(store.delete_tag("team/app", "t0149")))).after(1));
    registry.fault(Fault::on(
        "GET",
        "/tags/list",
        Effect::act(move |store| {
            store.put_tag("team/app", "t0149", &digest);
        }),
    ));
    let listed = with_identity(&registry).tags(&repository(&format!("{HOST}/team/app"))).await.unwrap();
    assert_eq!((listed.tags.len(), listed.digests.len()), (150, 149));
}

#[tokio::test]
async fn an_identity_without_the_right_lists_plainly_from_then_on() {
    let registry = builder(Vendor::Ecr).start().await.unwrap();
    fill(registry.store(), "team/app", 3);
    registry.fault(Fault::on("POST", "/", Effect::refusal(400, "AccessDeniedException")));
    let client = with_identity(&registry);
    for _ in 0..2 {
        assert_names_only(&client.tags(&repository(&format!("{HOST}/team/app"))).await.unwrap(), 3);
    }
    assert_eq!(registry.log().count("POST", "/"), 1);
}

#[tokio::test]
async fn a_limit_is_handed_up() {
    let registry = builder(Vendor::Ecr).start().await.unwrap();
    fill(registry.store(), "team/app", 3);
    registry.fault(Fault::on("POST", "/", Effect::too_many_requests(RetryAfter::Seconds(3_600))));
    let error = with_identity(&registry).tags(&repository(&format!("{HOST}/team/app"))).await.unwrap_err();
    assert_eq!(error.kind(), Kind::RateLimited);
}
