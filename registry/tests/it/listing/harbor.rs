//! Harbor's interface.

use registry::{Kind, Listing};
use sandbox::{Effect, Fault, Vendor};

use super::{assert_complete, assert_names_only, builder, fill, me, named, tokens};
use crate::setup::{self, capabilities, client};

#[tokio::test]
async fn all_tags_come_with_digests_and_times_for_the_password_and_no_token() {
    let registry = builder(Vendor::Harbor).auth(tokens(false)).start().await.unwrap();
    fill(registry.store(), "team/tools/app", 250);
    // Two tags of one artifact.
    let digest = registry.store().tag("team/tools/app", "t0007").unwrap();
    registry.store().put_tag("team/tools/app", "latest", &digest);
    let (client, repository) = (me(&registry), setup::repository(&registry, "team/tools/app"));
    for asked in [5, 8] {
        let listed = client.tags(&repository).await.unwrap();
        assert_complete(&listed, registry.store(), "team/tools/app", true);
        // The first greets and asks once what project it is.
        assert_eq!(registry.requests().len(), asked);
    }
    let artifacts = "/api/v2.0/projects/team/repositories/tools%252Fapp/artifacts";
    assert_eq!(registry.log().count("GET", artifacts), 6);
    assert_eq!(registry.token_log().count("", ""), 0);
    assert_eq!(capabilities(&client, &repository).await.listing, Some(Listing::Harbor));
}

#[tokio::test]
async fn it_says_that_signatures_are_not_among_them() {
    let registry = builder(Vendor::Harbor).auth(tokens(true)).start().await.unwrap();
    fill(registry.store(), "team/app", 2);
    let digest = registry.store().tag("team/app", "t0001").unwrap();
    registry.store().put_tag("team/app", &format!("sha256-{}.sig", digest.hex()), &digest);
    let listed = client().tags(&setup::repository(&registry, "team/app")).await.unwrap();
    assert!(listed.hides_sidecars);
    assert_eq!((listed.tags.len(), listed.digests.len()), (2, 2));
}

#[tokio::test]
async fn a_robot_without_the_right_lists_plainly_from_then_on() {
    for status in [401, 403] {
        let registry = builder(Vendor::Harbor).auth(tokens(false)).start().await.unwrap();
        fill(registry.store(), "team/app", 3);
        fill(registry.store(), "team/other", 2);
        registry.fault(Fault::on("GET", "/api/v2.0/", Effect::refusal(status, "FORBIDDEN")));
        let client = me(&registry);
        assert_names_only(&client.tags(&setup::repository(&registry, "team/app")).await.unwrap(), 3);
        let listed = client.tags(&setup::repository(&registry, "team/other")).await.unwrap();
        assert_names_only(&listed, 2);
        assert!(!listed.hides_sidecars);
        assert_eq!(registry.log().count("GET", "/api/v2.0/"), 1, "{status}");
    }
}

#[tokio::test]
async fn a_project_that_is_a_cache_lists_what_it_is_a_cache_of() {
    let registry = builder(Vendor::Harbor)
        .auth(tokens(true))
        .features(|features| features.harbor_cache = true)
        .start()
        .await
        .unwrap();
    fill(registry.store(), "cache/app", 3);
    let (client, repository) = (client(), setup::repository(&registry, "cache/app"));
    for _ in 0..2 {
        assert_names_only(&client.tags(&repository).await.unwrap(), 3);
    }
    assert_eq!(registry.log().count("GET", "/api/v2.0/projects/cache"), 1);
}

#[tokio::test]
async fn a_wrong_password_is_told_by_the_registry() {
    let registry = builder(Vendor::Harbor).auth(tokens(false)).start().await.unwrap();
    fill(registry.store(), "team/app", 3);
    let client = setup::client_of(&registry.host(), "me", "wrong");
    let error = client.tags(&setup::repository(&registry, "team/app")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthorized);
    assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
}

#[tokio::test]
async fn a_tag_that_moves_while_pages_are_read_is_not_missed() {
    let registry = builder(Vendor::Harbor).auth(tokens(true)).start().await.unwrap();
    fill(registry.store(), "team/app", 150);
    let moved = registry.store().tag("team/app", "t0149").unwrap();
    let act = Effect::act(move |store| store.put_tag("team/app", "t0000", &moved));
    registry.fault(Fault::on("GET", "/artifacts", act).after(1).times(1));
    let listed = client().tags(&setup::repository(&registry, "team/app")).await.unwrap();
    assert_eq!(listed.tags.len(), 150);
    assert!(listed.tags.contains(&named("t0000")) && !listed.digests.contains_key(&named("t0000")));
    assert!(!listed.hides_sidecars);
}
