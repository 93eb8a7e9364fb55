//! zot's search.

use registry::{Kind, Listing};
use sandbox::{Effect, Fault, Vendor, content};

use super::{assert_complete, assert_names_only, builder, fill, me, named, tokens};
use crate::setup::{self, capabilities, client};

#[tokio::test]
async fn names_come_from_the_registry_and_digests_from_the_search() {
    let registry = builder(Vendor::Zot).start().await.unwrap();
    fill(registry.store(), "a/b", 250);
    let (client, repository) = (client(), setup::repository(&registry, "a/b"));
    for asked in [4, 6] {
        assert_complete(&client.tags(&repository).await.unwrap(), registry.store(), "a/b", false);
        // The first greets, and asks once whether there is a search.
        assert_eq!(registry.requests().len(), asked);
    }
    assert_eq!(capabilities(&client, &repository).await.listing, Some(Listing::Zot));
}

#[tokio::test]
async fn the_search_is_read_to_its_end() {
    let registry = builder(Vendor::Zot).auth(tokens(false)).start().await.unwrap();
    fill(registry.store(), "a/b", 250);
    registry.features(|features| features.page_max = Some(100));
    let listed = me(&registry).tags(&setup::repository(&registry, "a/b")).await.unwrap();
    assert_complete(&listed, registry.store(), "a/b", false);
    assert_eq!(registry.log().count("GET", "/v2/_zot/ext/search"), 3);
}

#[tokio::test]
async fn what_the_search_leaves_out_is_listed_without_digest() {
    let registry = builder(Vendor::Zot).start().await.unwrap();
    fill(registry.store(), "a", 2);
    let digest = registry.store().tag("a", "t0001").unwrap();
    let signature = format!("sha256-{}.sig", digest.hex());
    registry.store().put_tag("a", &signature, &digest);
    registry.store().put_image("a", Some("docker"), &content::image(9).docker().build());
    let listed = client().tags(&setup::repository(&registry, "a")).await.unwrap();
    assert_eq!((listed.tags.len(), listed.digests.len(), listed.hides_sidecars), (4, 2, false));
    assert!(listed.tags.contains(&named(&signature)) && listed.tags.contains(&named("docker")));
}

#[tokio::test]
async fn an_old_zot_that_does_not_know_the_question_is_listed_plainly_from_then_on() {
    let registry = builder(Vendor::Zot).start().await.unwrap();
    fill(registry.store(), "a", 2);
    let refused = registry.fault(Fault::on("GET", "/v2/_zot/", Effect::status(422)));
    let (client, repository) = (client(), setup::repository(&registry, "a"));
    for _ in 0..2 {
        assert_names_only(&client.tags(&repository).await.unwrap(), 2);
    }
    assert_eq!(refused.hits(), 1);
    assert_eq!(capabilities(&client, &repository).await.listing, Some(Listing::Plain));
}

#[tokio::test]
async fn a_search_that_is_down_is_an_error_that_may_pass() {
    let registry = builder(Vendor::Zot).start().await.unwrap();
    fill(registry.store(), "a", 2);
    registry.fault(Fault::on("GET", "/v2/_zot/", Effect::status(503)));
    let (client, repository) = (client(), setup::repository(&registry, "a"));
    assert_eq!(client.tags(&repository).await.unwrap_err().kind(), Kind::Unavailable);
    registry.clear_faults();
    assert_complete(&client.tags(&repository).await.unwrap(), registry.store(), "a", false);
}
