//! Referrers: by the API, by the fallback tag, and the tag kept up to date without losing an entry.

use proto::{Digest, Manifest, Reference};
use registry::{Client, cosign_tags, fallback_tag};
use sandbox::{Features, Registry, content};
use serde_json::json;

use crate::script::{Script, answer};
use crate::setup::{client, repository};

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
    assert_eq!(client.capabilities(&repository(&registry, "a")).await.unwrap().referrers, Some(true));
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
    assert_eq!(client.capabilities(&repository(&registry, "a")).await.unwrap().referrers, Some(false));
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
async fn pages_of_the_api_are_followed() {
    let page = |seed: u8| {
        let digest = Digest::of(&[seed]);
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1,
        }] })
        .to_string()
    };
    let kind = "Content-Type: application/vnd.oci.image.index.v1+json\r\n";
    let script = Script::start(move |head| match head {
        _ if head.contains("/referrers/") && head.contains("page=2") => answer(200, kind, &page(2)),
        _ if head.contains("/referrers/") => answer(200, &format!("{kind}Link: <?page=2>; rel=\"next\"\r\n"), &page(1)),
        _ => answer(200, "", ""),
    })
    .await;
    let repository = format!("{}/a", script.host()).parse().unwrap();
    assert_eq!(client().referrers(&repository, &Digest::of(b"")).await.unwrap().len(), 2);
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
    let tags: Vec<_> = cosign_tags(&digest).iter().map(ToString::to_string).collect();
    assert_eq!(tags, ["sig", "att", "sbom"].map(|kind| format!("sha256-{hex}.{kind}")));
    let long: Digest = format!("sha512:{}", "a".repeat(128)).parse().unwrap();
    assert_eq!(fallback_tag(&long).unwrap().as_str(), format!("sha512-{}", "a".repeat(64)));
}
