//! The map of manifests of GCR and Artifact Registry.

use bytes::Bytes;
use proto::manifest::media_type;
use registry::Listing;
use sandbox::Vendor;

use super::{assert_complete, assert_names_only, builder, fill, repository, through, without_tricks};
use crate::setup::{self, capabilities, client};

#[tokio::test]
async fn one_request_lists_all_digests_of_a_host_that_is_known() {
    let registry = builder(Vendor::Gcr).start().await.unwrap();
    fill(registry.store(), "project/app", 1_200);
    for host in ["gcr.io", "europe-docker.pkg.dev"] {
        registry.log().clear();
        let listed = through(&registry, host).tags(&repository(&format!("{host}/project/app"))).await.unwrap();
        assert_complete(&listed, registry.store(), "project/app", true);
        let asked: Vec<_> =
            registry.requests().iter().map(|request| format!("{}?{}", request.path, request.query)).collect();
        assert_eq!(asked, ["/v2/?", "/v2/project/app/tags/list?"]);
    }
}

#[tokio::test]
async fn the_answer_itself_tells_and_nothing_else_is_asked() {
    let registry = builder(Vendor::Gcr).start().await.unwrap();
    fill(registry.store(), "a", 1_200);
    let (client, repository) = (client(), setup::repository(&registry, "a"));
    for asked in [2, 3] {
        let listed = client.tags(&repository).await.unwrap();
        assert_complete(&listed, registry.store(), "a", true);
        // In pages at first, and all at once when it is known to be one of these.
        assert_eq!(registry.log().count("GET", "/tags/list"), asked);
    }
    assert_eq!(registry.log().count("GET", "/ext/"), 0);
    assert_eq!(capabilities(&client, &repository).await.listing, Some(Listing::Gcr));
}

#[tokio::test]
async fn a_listing_of_ten_thousand_manifests_is_partial() {
    let registry = builder(Vendor::Gcr).start().await.unwrap();
    let store = registry.store();
    for number in 0..9_999 {
        store.put_manifest("a", media_type::OCI_MANIFEST, Bytes::from(format!("{{\"n\":{number}}}")));
    }
    let (client, repository) = (client(), setup::repository(&registry, "a"));
    assert!(!client.tags(&repository).await.unwrap().is_partial);
    let last = store.put_manifest("a", media_type::OCI_MANIFEST, Bytes::from_static(b"{}"));
    store.put_tag("a", "1", &last);
    let listed = client.tags(&repository).await.unwrap();
    assert!(listed.is_partial && listed.tags.len() == 1);
    // Names alone are as partial.
    assert!(without_tricks(&registry).tags(&repository).await.unwrap().is_partial);
}

#[tokio::test]
async fn where_it_is_switched_off_names_are_all_that_is_told() {
    let registry = builder(Vendor::Gcr).start().await.unwrap();
    fill(registry.store(), "a", 3);
    let listed = without_tricks(&registry).tags(&setup::repository(&registry, "a")).await.unwrap();
    assert_names_only(&listed, 3);
}
