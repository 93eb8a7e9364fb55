//! Referrers: by the API, by the fallback tag, and the tag kept up to date without losing an entry.

use proto::content::{ReferrerKind, Referrers};
use proto::task::Sidecars;
use proto::{Descriptor, Digest, Manifest, Reference};
use registry::{Client, Error, Kind, cosign_tags, fallback_tag};
use sandbox::{Effect, Fault, Features, Registry, content};
use serde_json::json;

use crate::script::{Script, answer};
use crate::setup::{capabilities, client, repository};

fn without_api(features: &mut Features) {
    features.referrers = false;
    features.subject_header = false;
}

/// Puts artifacts that refer to `subject`; their blobs are there.
async fn put_referrers(client: &Client, registry: &Registry, subject: &content::Image, names: &[&str]) -> Vec<Digest> {
    let repository = repository(registry, "a");
    let puts = names.iter().map(|name| {
        let artifact = content::referrer(subject, "application/x-test", name.as_bytes());
        registry.store().put_image("a", None, &artifact);
        registry.store().delete_manifest("a", &artifact.digest());
        let manifest = Manifest::parse(artifact.raw, None).unwrap();
        let (client, repository) = (client.clone(), repository.clone());
        async move {
            let reference = Reference::Digest(manifest.digest.clone());
            client.put_manifest(&repository, &reference, &manifest).await.unwrap();
            manifest.digest
        }
    });
    let mut digests = futures_util::future::join_all(puts).await;
    digests.sort();
    digests
}

async fn listed(client: &Client, registry: &Registry, subject: &Digest) -> Vec<Digest> {
    let referrers = client.referrers(&repository(registry, "a"), subject).await.unwrap();
    assert!(referrers.iter().all(|entry| entry.artifact_type.as_deref() == Some("application/x-test")));
    let mut digests: Vec<_> = referrers.into_iter().map(|entry| entry.digest).collect();
    digests.sort();
    digests
}

#[tokio::test]
async fn with_the_api_nothing_else_is_written() {
    let registry = Registry::builder().start().await.unwrap();
    let (client, image) = (client(), content::image(1).build());
    registry.store().put_image("a", None, &image);
    let put = put_referrers(&client, &registry, &image, &["x", "y"]).await;
    assert_eq!(listed(&client, &registry, &image.digest()).await, put);
    assert_eq!(registry.store().tag_names("a").unwrap(), [""; 0]);
    assert_eq!(capabilities(&client, &repository(&registry, "a")).await.referrers, Some(true));
    assert!(listed(&client, &registry, &Digest::of(b"unknown")).await.is_empty());
}

#[tokio::test]
async fn an_api_without_word_of_the_subject_is_enough() {
    let registry = Registry::builder().features(|features| features.subject_header = false).start().await.unwrap();
    let (client, image) = (client(), content::image(1).build());
    registry.store().put_image("a", None, &image);
    put_referrers(&client, &registry, &image, &["x"]).await;
    assert_eq!(registry.store().tag_names("a").unwrap(), [""; 0]);
}

#[tokio::test]
async fn one_answer_as_if_there_were_no_api_does_not_turn_it_off_where_it_answered_before() {
    let registry = Registry::builder().start().await.unwrap();
    let (client, image) = (client(), content::image(1).build());
    registry.store().put_image("a", None, &image);
    let put = put_referrers(&client, &registry, &image, &["x"]).await;
    assert_eq!(listed(&client, &registry, &image.digest()).await, put);
    registry.fault(Fault::on("GET", "/referrers/", Effect::refusal(404, "UNSUPPORTED")).times(1));
    assert!(listed(&client, &registry, &image.digest()).await.is_empty());
    assert_eq!(listed(&client, &registry, &image.digest()).await, put);
}

#[tokio::test]
async fn of_many_who_ask_at_once_one_finds_out_that_there_is_no_api() {
    let registry = Registry::builder().features(without_api).start().await.unwrap();
    let (client, repository) = (client(), repository(&registry, "a"));
    registry.store().put_image("a", None, &content::image(1).build());
    let subjects: Vec<_> = (0..20).map(|n| Digest::of(format!("{n}").as_bytes())).collect();
    let asked = subjects.iter().map(|subject| client.referrers(&repository, subject));
    futures_util::future::join_all(asked).await.into_iter().for_each(|found| assert_eq!(found.unwrap(), []));
    assert_eq!(registry.log().count("GET", "/referrers/"), 1);
}

#[tokio::test]
async fn without_the_api_32_writers_at_once_lose_no_entry_of_the_fallback_tag() {
    let registry = Registry::builder().features(without_api).start().await.unwrap();
    let (client, image) = (client(), content::image(1).build());
    registry.store().put_image("a", None, &image);
    let names: Vec<_> = (0..32).map(|number| number.to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let put = put_referrers(&client, &registry, &image, &names).await;
    assert_eq!(put.len(), 32);
    assert_eq!(listed(&client, &registry, &image.digest()).await, put);
    let tag = fallback_tag(&image.digest()).unwrap();
    assert_eq!(registry.store().tag_names("a").unwrap(), [tag.as_str()]);
    assert_eq!(capabilities(&client, &repository(&registry, "a")).await.referrers, Some(false));
    // That there is no API is asked for once by each of those that did not know yet, and then no more.
    registry.log().clear();
    listed(&client, &registry, &image.digest()).await;
    assert_eq!(registry.log().count("GET", "/referrers/"), 0);
}

#[tokio::test]
async fn the_fallback_tag_keeps_what_others_wrote_and_lists_nothing_twice() {
    let registry = Registry::builder().features(without_api).start().await.unwrap();
    let (client, image) = (client(), content::image(1).build());
    registry.store().put_image("a", None, &image);
    let other = content::artifact("application/x-test", b"other");
    registry.store().put_image("a", None, &other);
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "unknown": [1],
        "manifests": [{
            "mediaType": other.media_type, "digest": other.digest(), "size": other.raw.len(),
            "artifactType": "application/x-test", "x-own": true,
        }],
    });
    let digest =
        registry.store().put_manifest("a", "application/vnd.oci.image.index.v1+json", index.to_string().into());
    let tag = fallback_tag(&image.digest()).unwrap();
    registry.store().put_tag("a", tag.as_str(), &digest);
    put_referrers(&client, &registry, &image, &["x"]).await;
    put_referrers(&client, &registry, &image, &["x"]).await;
    let digest = registry.store().tag("a", tag.as_str()).unwrap();
    let stored = registry.store().manifest("a", &digest).unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&stored.raw).unwrap();
    assert_eq!(stored["manifests"].as_array().unwrap().len(), 2);
    assert_eq!((&stored["manifests"][0], &stored["unknown"]), (&index["manifests"][0], &json!([1])));
}

#[tokio::test]
async fn a_fallback_tag_that_a_complete_listing_does_not_have_is_not_asked_for() {
    let registry = Registry::builder().features(without_api).start().await.unwrap();
    let (client, image) = (client(), content::image(1).build());
    registry.store().put_image("a", None, &image);
    let put = put_referrers(&client, &registry, &image, &["x"]).await;
    let repository = repository(&registry, "a");
    let tag = fallback_tag(&image.digest()).unwrap();
    let listings = [
        (Sidecars { tags: [tag].into(), is_complete: true }, put.len(), 1),
        (Sidecars { tags: [].into(), is_complete: false }, put.len(), 1),
        (Sidecars { tags: [].into(), is_complete: true }, 0, 0),
    ];
    for (sidecars, found, asked) in listings {
        registry.log().clear();
        let referrers = client.referrers_among(&repository, &image.digest(), &sidecars).await.unwrap();
        assert_eq!((referrers.len(), registry.log().count("GET", "/manifests/")), (found, asked), "{sidecars:?}");
    }
}

#[tokio::test]
async fn the_api_is_asked_whatever_tags_are_listed() {
    let registry = Registry::builder().start().await.unwrap();
    let (client, image) = (client(), content::image(1).build());
    registry.store().put_image("a", None, &image);
    put_referrers(&client, &registry, &image, &["x"]).await;
    let none = Sidecars { tags: [].into(), is_complete: true };
    let referrers = client.referrers_among(&repository(&registry, "a"), &image.digest(), &none).await.unwrap();
    assert_eq!(referrers.len(), 1);
}

/// A page of the API with these entries.
fn page(entries: &serde_json::Value) -> String {
    let media_type = "application/vnd.oci.image.index.v1+json";
    json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries }).to_string()
}

/// An entry with all that may stand in one.
fn entry(seed: u8, artifact_type: &str) -> serde_json::Value {
    json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": Digest::of(&[seed]), "size": 1,
        "artifactType": artifact_type, "annotations": { "note": "long" }, "urls": ["https://example.com/long"],
    })
}

/// What comes of an API with a first page, and a second that leads to the first if `circle`.
async fn listed_in_pages(first: String, second: String, circle: bool) -> Result<Vec<Descriptor>, Error> {
    let script = Script::start(move |head| {
        let kind = "Content-Type: application/vnd.oci.image.index.v1+json\r\n";
        let to = |number| format!("{kind}Link: <?page={number}>; rel=\"next\"\r\n");
        match head {
            _ if head.contains("/referrers/") && head.contains("page=2") && circle => answer(200, &to(1), &second),
            _ if head.contains("/referrers/") && head.contains("page=2") => answer(200, kind, &second),
            _ if head.contains("/referrers/") => answer(200, &to(2), &first),
            _ => answer(200, "", ""),
        }
    })
    .await;
    let repository = format!("{}/a", script.host()).parse().unwrap();
    client().referrers(&repository, &Digest::of(b"")).await
}

#[tokio::test]
async fn pages_of_the_api_are_followed_and_notes_on_entries_are_not_kept() {
    let [first, second] = [1, 2].map(|seed| page(&json!([entry(seed, "application/x-test")])));
    let expected = [1, 2].map(|seed| {
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let artifact_type = Some("application/x-test".to_owned());
        Descriptor { artifact_type, ..Descriptor::new(media_type, Digest::of(&[seed]), 1) }
    });
    assert_eq!(listed_in_pages(first, second, false).await.unwrap(), expected);
}

#[tokio::test]
async fn a_list_of_referrers_that_has_no_end_or_is_too_large_is_refused() {
    let empty = page(&json!([]));
    let [first, second] = [1, 2].map(|seed| page(&json!([entry(seed, &"x".repeat(3 * 1024 * 1024))])));
    for (first, second, circle) in [(empty.clone(), empty, true), (first, second, false)] {
        let error = listed_in_pages(first, second, circle).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    }
}

#[tokio::test]
async fn a_page_for_people_in_place_of_the_api_is_no_list_of_referrers() {
    let script = Script::start(|head| match head {
        _ if head.contains("/referrers/") => answer(200, "Content-Type: text/html\r\n", "<html>"),
        _ if head.contains("/manifests/") => answer(404, "", ""),
        _ => answer(200, "", ""),
    })
    .await;
    let repository = format!("{}/a", script.host()).parse().unwrap();
    assert!(client().referrers(&repository, &Digest::of(b"")).await.unwrap().is_empty());
}

#[test]
fn tags_of_companions_are_named_as_the_tools_name_them() {
    let digest = Digest::of(b"");
    let hex = digest.hex();
    assert_eq!(fallback_tag(&digest).unwrap().as_str(), format!("sha256-{hex}"));
    let tags = |wanted: &Referrers| cosign_tags(&digest, wanted).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(tags(&Referrers::All), ["sig", "sbom", "att"].map(|kind| format!("sha256-{hex}.{kind}")));
    assert_eq!(tags(&Referrers::Only([ReferrerKind::Sbom].into())), [format!("sha256-{hex}.sbom")]);
    assert_eq!(tags(&Referrers::None), [""; 0]);
    let long: Digest = format!("sha512:{}", "a".repeat(128)).parse().unwrap();
    assert_eq!(fallback_tag(&long).unwrap().as_str(), format!("sha512-{}", "a".repeat(64)));
}
