//! Registries without an interface of a vendor's.

use registry::Listing;
use sandbox::{Vendor, content};

use super::{assert_names_only, builder, fill, me, tokens, without_tricks};
use crate::setup::{self, capabilities, client};

#[tokio::test]
async fn one_question_finds_out_and_is_not_asked_again() {
    for auth in [sandbox::Auth::None, tokens(false)] {
        let registry = builder(Vendor::Plain).auth(auth).start().await.unwrap();
        fill(registry.store(), "a", 3);
        fill(registry.store(), "b", 2);
        let client = me(&registry);
        let (a, b) = (setup::repository(&registry, "a"), setup::repository(&registry, "b"));
        let (first, second) = tokio::join!(client.tags(&a), client.tags(&b));
        assert_names_only(&first.unwrap(), 3);
        assert_names_only(&second.unwrap(), 2);
        assert_names_only(&client.tags(&a).await.unwrap(), 3);
        assert_eq!(registry.log().count("GET", "/ext/"), 1);
        assert_eq!(
            registry.log().count("GET", "/tags/list")
                - registry
                    .requests()
                    .iter()
                    .filter(|request| request.status == 401 && request.path.contains("/tags/"))
                    .count(),
            3
        );
        assert_eq!(capabilities(&client, &a).await.listing, Some(Listing::Plain));
    }
}

#[tokio::test]
async fn nothing_is_asked_for_the_digests_of_no_tags() {
    let registry = builder(Vendor::Plain).start().await.unwrap();
    registry.store().put_image("a", None, &content::image(1).build());
    assert_names_only(&client().tags(&setup::repository(&registry, "a")).await.unwrap(), 0);
    assert_eq!(registry.requests().len(), 2);
}

#[tokio::test]
async fn where_it_is_switched_off_no_vendor_is_asked() {
    for vendor in [Vendor::Harbor, Vendor::Quay, Vendor::Zot] {
        let registry = builder(vendor).auth(tokens(true)).start().await.unwrap();
        fill(registry.store(), "a/b", 3);
        let (client, repository) = (without_tricks(&registry), setup::repository(&registry, "a/b"));
        assert_names_only(&client.tags(&repository).await.unwrap(), 3);
        let beside = registry
            .requests()
            .into_iter()
            .filter(|request| !request.path.contains("/tags/") && request.path != "/v2/");
        assert_eq!(beside.count(), 0, "{vendor:?}");
        assert_eq!(capabilities(&client, &repository).await.listing, Some(Listing::Plain));
    }
}
