//! Quay's interface.

use registry::Listing;
use sandbox::{Effect, Fault, Vendor};

use super::{assert_complete, assert_names_only, builder, fill, me, repository, through, through_with, tokens};
use crate::setup::{self, capabilities, with_user};

#[tokio::test]
async fn all_tags_come_with_digests_and_times() {
    let registry = builder(Vendor::Quay).start().await.unwrap();
    for (path, count, pages, names) in [("a/small", 100, 1, 0), ("a/large", 250, 3, 1)] {
        fill(registry.store(), path, count);
        let listed = through(&registry, "quay.io").tags(&repository(&format!("quay.io/{path}"))).await.unwrap();
        assert_complete(&listed, registry.store(), path, true);
        assert_eq!(registry.log().count("GET", &format!("/api/v1/repository/{path}/tag/")), pages);
        // It does not count them, so what is on several pages may have gaps.
        assert_eq!(registry.log().count("GET", &format!("/v2/{path}/tags/list")), names);
    }
    assert_eq!(registry.log().count("GET", "/discovery"), 0);
}

#[tokio::test]
async fn a_quay_of_ones_own_is_recognised_by_its_token_service_and_asked_once() {
    let registry = builder(Vendor::Quay).auth(tokens(true)).start().await.unwrap();
    fill(registry.store(), "a/b", 3);
    let (client, repository) = (me(&registry), setup::repository(&registry, "a/b"));
    for _ in 0..2 {
        assert_complete(&client.tags(&repository).await.unwrap(), registry.store(), "a/b", true);
    }
    let asked: Vec<_> = registry.requests().into_iter().map(|request| (request.path, request.authorized)).collect();
    let tags = ("/api/v1/repository/a/b/tag/".to_owned(), false);
    assert_eq!(asked, [("/v2/".into(), false), ("/api/v1/discovery".into(), false), tags.clone(), tags]);
    assert_eq!(capabilities(&client, &repository).await.listing, Some(Listing::Quay));
}

#[tokio::test]
async fn what_only_looks_like_quay_is_listed_plainly_after_one_question() {
    let registry = builder(Vendor::Quay).auth(tokens(true)).start().await.unwrap();
    fill(registry.store(), "a/b", 3);
    registry.features(|features| features.vendor = Vendor::Plain);
    let (client, repository) = (me(&registry), setup::repository(&registry, "a/b"));
    for _ in 0..2 {
        assert_names_only(&client.tags(&repository).await.unwrap(), 3);
    }
    assert_eq!(registry.log().count("GET", "/api/v1/discovery"), 1);
    assert_eq!(registry.log().count("GET", "/ext/discover"), 0);
    assert_eq!(capabilities(&client, &repository).await.listing, Some(Listing::Plain));
}

#[tokio::test]
async fn what_is_private_is_listed_by_the_registry_with_its_token() {
    let registry = builder(Vendor::Quay).auth(tokens(false)).start().await.unwrap();
    fill(registry.store(), "me/app", 3);
    let client = through_with(&registry, with_user("quay.io", "me"));
    for _ in 0..2 {
        assert_names_only(&client.tags(&repository("quay.io/me/app")).await.unwrap(), 3);
    }
    assert_eq!(registry.log().count("GET", "/api/v1/repository/"), 1);
}

#[tokio::test]
async fn a_tag_that_goes_while_pages_are_read_takes_no_other_with_it() {
    let registry = builder(Vendor::Quay).start().await.unwrap();
    fill(registry.store(), "a/b", 150);
    let act = Effect::act(|store| assert!(store.delete_tag("a/b", "t0149")));
    registry.fault(Fault::on("GET", "/api/v1/repository/", act).after(1).times(1));
    let listed = through(&registry, "quay.io").tags(&repository("quay.io/a/b")).await.unwrap();
    assert_eq!((listed.tags.len(), listed.digests.len()), (149, 148));
}
