//! Manifests: byte for byte in both directions, and never anything else than was asked for.

use std::time::Duration;

use proto::{Digest, Manifest, Reference};
use registry::{Kind, Options, Reread};
use sandbox::{Effect, Fault, Missing, Registry, content};

use crate::script::{Script, answer};
use crate::setup::{client, client_with, options, repository, tag};

#[tokio::test]
async fn a_manifest_is_copied_byte_for_byte_however_it_is_formatted() {
    let registry = Registry::builder().start().await.unwrap();
    let image = content::image(1).oddly_formatted().build();
    let index = content::docker_list(&[content::image(2).docker().build()]);
    for (name, image) in [("odd", &image), ("list", &index)] {
        registry.store().put_image("from", Some(name), image);
        registry.store().put_image("to", None, image);
        let (client, from, to) = (client(), repository(&registry, "from"), repository(&registry, "to"));
        let manifest = client.manifest(&from, &tag(name)).await.unwrap();
        assert_eq!((&manifest.raw, &manifest.digest), (&image.raw, &image.digest()));
        let put = client.put_manifest(&to, &tag(name), &manifest).await.unwrap();
        assert_eq!(put.digest.as_ref(), Some(&manifest.digest));
        let stored = registry.store().manifest("to", &manifest.digest).unwrap();
        assert_eq!((stored.raw, stored.media_type), (image.raw.clone(), image.media_type.clone()));
        assert_eq!(registry.store().tag("to", name), Some(manifest.digest));
    }
}

#[tokio::test]
async fn a_head_names_the_digest_and_reads_only_where_it_must() {
    let registry = Registry::builder().start().await.unwrap();
    let image = content::image(1).build();
    registry.store().put_image("a", Some("1"), &image);
    let (client, repository) = (client(), repository(&registry, "a"));
    let head = client.head_manifest(&repository, &tag("1")).await.unwrap().unwrap();
    assert_eq!((head.digest, head.size), (image.digest(), Some(image.raw.len() as u64)));
    assert_eq!(head.media_type.as_deref(), Some(image.media_type.as_str()));
    assert_eq!(client.head_manifest(&repository, &tag("2")).await.unwrap(), None);
    assert_eq!(registry.log().count("GET", "/manifests/"), 0);

    registry.features(|features| features.head_digest = false);
    let head = client.head_manifest(&repository, &tag("1")).await.unwrap().unwrap();
    assert_eq!(head.digest, image.digest());
    assert_eq!(registry.log().count("GET", "/manifests/"), 1);
    let by_digest = Reference::Digest(image.digest());
    assert_eq!(client.head_manifest(&repository, &by_digest).await.unwrap().unwrap().digest, image.digest());
    assert_eq!(registry.log().count("GET", "/manifests/"), 1);
}

#[tokio::test]
async fn a_head_that_must_read_has_enough_of_one_slot() {
    let registry = Registry::builder().start().await.unwrap();
    registry.store().put_image("a", Some("1"), &content::image(1).build());
    registry.features(|features| features.head_digest = false);
    let client = client_with(&Default::default(), Options { concurrency: 1, ..options() });
    let (repository, tag) = (repository(&registry, "a"), tag("1"));
    let heads = futures_util::future::join_all((0..3).map(|_| client.head_manifest(&repository, &tag)));
    let heads = tokio::time::timeout(Duration::from_secs(20), heads).await.expect("they wait for their own slots");
    assert!(heads.into_iter().all(|head| head.unwrap().is_some()));
}

#[tokio::test]
async fn a_manifest_that_is_not_there_is_not_found() {
    let registry = Registry::builder().start().await.unwrap();
    let error = client().manifest(&repository(&registry, "a"), &tag("1")).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (Kind::NotFound, Some(404)));
    assert!(error.to_string().starts_with(&format!("GET {}/v2/a/manifests/1: 404", registry.url())), "{error}");
}

#[tokio::test]
async fn a_manifest_that_is_not_the_one_asked_for_is_corrupt() {
    let registry = Registry::builder().start().await.unwrap();
    let image = content::image(1).build();
    registry.store().put_image("a", Some("1"), &image);
    registry.fault(Fault::on("GET", "/manifests/", Effect::CorruptBody { at: 3 }));
    for reference in [tag("1"), Reference::Digest(image.digest())] {
        let error = client().manifest(&repository(&registry, "a"), &reference).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    }
}

#[tokio::test]
async fn a_digest_that_the_registry_names_wrongly_is_noticed() {
    let image = content::image(1).build();
    let (raw, other) = (String::from_utf8(image.raw.to_vec()).unwrap(), Digest::of(b"other"));
    let header = format!("Docker-Content-Digest: {other}\r\nContent-Type: {}\r\n", image.media_type);
    let script = Script::start(move |head| match head {
        _ if head.starts_with("GET /v2/a/manifests/") => answer(200, &header, &raw),
        _ if head.starts_with("HEAD") || head.starts_with("PUT") => answer(200, &header, ""),
        _ => answer(200, "", ""),
    })
    .await;
    let repository = format!("{}/a", script.host()).parse().unwrap();
    let client = client();
    let by_digest = Reference::Digest(image.digest());
    let errors = [
        client.manifest(&repository, &tag("1")).await.unwrap_err(),
        client.head_manifest(&repository, &by_digest).await.unwrap_err(),
        {
            let manifest = Manifest::parse(image.raw.clone(), None).unwrap();
            client.put_manifest(&repository, &tag("1"), &manifest).await.unwrap_err()
        },
    ];
    for error in errors {
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    }
}

#[tokio::test]
async fn manifests_of_other_forms_and_too_large_ones_are_unsupported() {
    let huge = format!("{{\"config\":\"{}\"}}", " ".repeat(5_000_000));
    for body in [r#"{"schemaVersion":1,"fsLayers":[]}"#, r#"{"manifests":[],"config":{}}"#, &huge] {
        let body = body.to_owned();
        let script = Script::start(move |head| match head.contains("/manifests/") {
            true => answer(200, "", &body),
            false => answer(200, "", ""),
        })
        .await;
        let repository = format!("{}/a", script.host()).parse().unwrap();
        let error = client().manifest(&repository, &tag("1")).await.unwrap_err();
        assert!(matches!(error.kind(), Kind::Unsupported | Kind::Corrupt), "{error}");
    }
}

#[tokio::test]
async fn a_right_digest_that_is_called_wrong_is_put_again() {
    let registry = Registry::builder().start().await.unwrap();
    let image = content::image(1).build();
    registry.store().put_image("a", None, &image);
    let fault = registry.fault(Fault::on("PUT", "/manifests/", Effect::refusal(400, "DIGEST_INVALID")).times(2));
    let manifest = Manifest::parse(image.raw.clone(), None).unwrap();
    client().put_manifest(&repository(&registry, "a"), &tag("1"), &manifest).await.unwrap();
    assert_eq!((fault.hits(), registry.store().tag("a", "1")), (2, Some(image.digest())));
}

#[tokio::test]
async fn a_manifest_that_the_registry_refuses_is_refused_with_its_own_code() {
    let registry = Registry::builder().start().await.unwrap();
    let manifest = Manifest::parse(content::image(1).build().raw, None).unwrap();
    let error = client().put_manifest(&repository(&registry, "a"), &tag("1"), &manifest).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Refused, Some("MANIFEST_BLOB_UNKNOWN")), "{error}");
    assert_eq!(registry.log().count("PUT", "/manifests/"), 1);
    assert_eq!(registry.store().tag("a", "1"), None);
}

#[tokio::test]
async fn what_a_refused_manifest_lacks_is_read_back() {
    let registry = Registry::builder().start().await.unwrap();
    let (client, repository) = (client(), repository(&registry, "a"));
    let put = async |image: &sandbox::Image| {
        let manifest = Manifest::parse(image.raw.clone(), None).unwrap();
        client.put_manifest(&repository, &Reference::Digest(manifest.digest.clone()), &manifest).await.unwrap_err()
    };
    let image = content::image(1).layer(&sandbox::Layer::new(1, 100)).build();
    let mut lacking: Vec<Digest> = image.blob_digests();
    let there = registry.store().put_blob("a", image.blobs[0].1.clone());
    lacking.retain(|digest| *digest != there);
    assert_eq!(put(&image).await.missing(), lacking);
    let index = content::multi_platform(1, &["linux/amd64", "linux/arm64"]);
    assert_eq!(put(&index).await.missing().len(), 2, "children count as much as blobs");
    registry.features(|can| can.missing = Missing::Unnamed);
    assert!(put(&image).await.missing().is_empty());
}

#[tokio::test]
async fn a_manifest_that_is_known_is_read_only_if_another_one_is_there() {
    let registry = Registry::builder().start().await.unwrap();
    let [known, other] = [1, 2].map(|seed| content::image(seed).build());
    let (client, repository) = (client(), repository(&registry, "a"));
    let reread = async || client.manifest_unless(&repository, &tag("1"), &known.digest()).await.unwrap();
    registry.store().put_image("a", Some("1"), &known);
    assert_eq!(reread().await, Reread::Same);
    assert_eq!(registry.log().bytes_out("GET", "/manifests/"), 0);
    assert_eq!(client.capabilities(&repository).await.unwrap().conditional, Some(true));

    registry.store().put_image("a", Some("1"), &other);
    assert_eq!(reread().await, Reread::Other(Box::new(Manifest::parse(other.raw.clone(), None).unwrap())));
    registry.store().delete_tag("a", "1");
    assert_eq!(reread().await, Reread::Gone);
    assert_eq!((registry.log().count("GET", "/manifests/"), registry.log().count("HEAD", "")), (3, 0), "one each");
}

#[tokio::test]
async fn a_registry_that_sends_what_is_known_all_the_same_is_found_out() {
    let registry = Registry::builder().features(|can| can.conditional = false).start().await.unwrap();
    let image = content::image(1).build();
    registry.store().put_image("a", Some("1"), &image);
    let (client, repository) = (client(), repository(&registry, "a"));
    client.head_manifest(&repository, &tag("1")).await.unwrap();
    assert_eq!(client.capabilities(&repository).await.unwrap().conditional, None);
    let reread = client.manifest_unless(&repository, &tag("1"), &image.digest()).await.unwrap();
    assert_eq!(reread, Reread::Same);
    assert_eq!(client.capabilities(&repository).await.unwrap().conditional, Some(false));
}

#[tokio::test]
async fn a_head_tells_whether_a_registry_can_say_that_a_manifest_is_the_same() {
    let registry = Registry::builder().start().await.unwrap();
    registry.store().put_image("a", Some("1"), &content::image(1).build());
    let (client, repository) = (client(), repository(&registry, "a"));
    client.head_manifest(&repository, &tag("1")).await.unwrap();
    assert_eq!(client.capabilities(&repository).await.unwrap().conditional, Some(true));
}

#[tokio::test]
async fn a_registry_that_says_it_is_the_same_and_names_another_one_is_not_believed() {
    let other = format!("Docker-Content-Digest: {}\r\n", Digest::of(b"other"));
    let script = Script::start(move |head| match head.contains("/manifests/") {
        true => answer(304, &other, ""),
        false => answer(200, "", ""),
    })
    .await;
    let repository = format!("{}/a", script.host()).parse().unwrap();
    let error = client().manifest_unless(&repository, &tag("1"), &Digest::of(b"known")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_corrupt_manifest_in_place_of_a_known_one_is_neither_the_same_nor_another() {
    let registry = Registry::builder().start().await.unwrap();
    registry.store().put_image("a", Some("1"), &content::image(1).build());
    registry.fault(Fault::on("GET", "/manifests/", Effect::CorruptBody { at: 3 }));
    let known = Digest::of(b"known");
    let error = client().manifest_unless(&repository(&registry, "a"), &tag("1"), &known).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
}
