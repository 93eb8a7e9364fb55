//! Docker Hub's interface, on a host of its own.

use registry::{Kind, Listing};
use sandbox::{Effect, Fault, RetryAfter, Vendor};

use super::{assert_complete, assert_names_only, builder, fill, repository, through, through_with, tokens};
use crate::setup::{capabilities, with_user};

const TAGS: &str = "/v2/repositories/library/alpine/tags";

#[tokio::test]
async fn all_tags_come_with_digests_and_times_and_no_password_goes_there() {
    let registry = builder(Vendor::Hub).auth(tokens(true)).start().await.unwrap();
    fill(registry.store(), "library/alpine", 250);
    let client = through_with(&registry, with_user("docker.io", "me"));
    let listed = client.tags(&repository("alpine")).await.unwrap();
    assert_complete(&listed, registry.store(), "library/alpine", true);
    let requests = registry.requests();
    let asked: Vec<_> = requests.iter().map(|request| (request.host.as_str(), request.path.as_str())).collect();
    let page = ("hub.docker.com", TAGS);
    assert_eq!(asked, [("registry-1.docker.io", "/v2/"), page, page, page]);
    assert!(requests.iter().all(|request| !request.authorized));
    assert_eq!(registry.token_log().count("", ""), 0);
    assert_eq!(capabilities(&client, &repository("alpine")).await.listing, Some(Listing::Hub));
}

#[tokio::test]
async fn what_is_private_is_listed_by_the_registry_and_the_rest_as_before() {
    let registry = builder(Vendor::Hub).auth(tokens(false)).start().await.unwrap();
    fill(registry.store(), "me/app", 3);
    let client = through_with(&registry, with_user("docker.io", "me"));
    for _ in 0..2 {
        assert_names_only(&client.tags(&repository("me/app")).await.unwrap(), 3);
    }
    assert_eq!(registry.log().count("GET", "/v2/repositories/me/app/"), 1);
    fill(registry.store(), "me/other", 1);
    assert_names_only(&client.tags(&repository("me/other")).await.unwrap(), 1);
    assert_eq!(registry.log().count("GET", "/v2/repositories/me/other/"), 1);
}

#[tokio::test]
async fn a_repository_that_is_nowhere_is_not_found_and_is_asked_for_again() {
    let registry = builder(Vendor::Hub).start().await.unwrap();
    let client = through(&registry, "docker.io");
    for times in 1..=2 {
        let error = client.tags(&repository("me/nothing")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(registry.log().count("GET", "/v2/repositories/me/nothing/"), times);
    }
}

#[tokio::test]
async fn its_own_limit_is_waited_for_and_where_that_is_long_the_registry_lists() {
    let registry = builder(Vendor::Hub).start().await.unwrap();
    fill(registry.store(), "library/alpine", 150);
    let limited = |wait| Fault::on("GET", TAGS, Effect::too_many_requests(RetryAfter::Seconds(wait))).after(1);
    let short = registry.fault(limited(0).times(1));
    let client = through(&registry, "docker.io");
    assert_complete(&client.tags(&repository("alpine")).await.unwrap(), registry.store(), "library/alpine", true);
    assert_eq!((short.hits(), registry.log().count("GET", "/tags/list")), (1, 0));
    registry.clear_faults();
    let long = registry.fault(limited(3_600));
    assert_names_only(&client.tags(&repository("alpine")).await.unwrap(), 150);
    assert_eq!(long.hits(), 1, "it is not asked again");
    registry.clear_faults();
    assert_complete(&client.tags(&repository("alpine")).await.unwrap(), registry.store(), "library/alpine", true);
}

#[tokio::test]
async fn where_only_the_registry_is_reached_it_lists() {
    let registry = builder(Vendor::Hub).start().await.unwrap();
    fill(registry.store(), "library/alpine", 3);
    let closed = registry.fault(Fault::on("GET", "/v2/repositories/", Effect::Close));
    let client = through(&registry, "docker.io");
    for _ in 0..2 {
        assert_names_only(&client.tags(&repository("alpine")).await.unwrap(), 3);
    }
    // All tries of the first listing, and none of the second.
    assert_eq!(closed.hits(), 4);
}

#[tokio::test]
async fn an_error_that_passes_is_no_reason_to_know_less() {
    let registry = builder(Vendor::Hub).start().await.unwrap();
    fill(registry.store(), "library/alpine", 3);
    let fault = registry.fault(Fault::on("GET", "/v2/repositories/", Effect::status(503)));
    let client = through(&registry, "docker.io");
    let error = client.tags(&repository("alpine")).await.unwrap_err();
    assert_eq!((error.kind(), fault.hits()), (Kind::Unavailable, 4));
    registry.clear_faults();
    assert_complete(&client.tags(&repository("alpine")).await.unwrap(), registry.store(), "library/alpine", true);
}

#[tokio::test]
async fn a_tag_that_moves_while_pages_are_read_is_not_missed() {
    let registry = builder(Vendor::Hub).start().await.unwrap();
    fill(registry.store(), "library/alpine", 150);
    let newest = registry.store().tag("library/alpine", "t0149").unwrap();
    // The oldest, on the last page, becomes the newest, on the first one, when that was read.
    let moved = newest.clone();
    let act = Effect::act(move |store| store.put_tag("library/alpine", "t0000", &moved));
    registry.fault(Fault::on("GET", TAGS, act).after(1).times(1));
    let listed = through(&registry, "docker.io").tags(&repository("alpine")).await.unwrap();
    assert_eq!((listed.tags.len(), registry.log().count("GET", "/tags/list")), (150, 1));
    assert_eq!(listed.digests.get(&"t0000".parse().unwrap()), None);
    assert_eq!(listed.digests.len(), 149);
}

#[tokio::test]
async fn a_tag_that_goes_while_pages_are_read_takes_no_other_with_it() {
    let registry = builder(Vendor::Hub).start().await.unwrap();
    fill(registry.store(), "library/alpine", 150);
    let act = Effect::act(|store| assert!(store.delete_tag("library/alpine", "t0149")));
    registry.fault(Fault::on("GET", TAGS, act).after(1).times(1));
    let listed = through(&registry, "docker.io").tags(&repository("alpine")).await.unwrap();
    assert_eq!(listed.tags.len(), 149);
}
