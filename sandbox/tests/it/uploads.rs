//! Blobs get in by every way that the distribution-spec has, and only whole.

use reqwest::Method;
use sandbox::{Registry, content};

use crate::help::{Fixture, codes, digest, header};

#[tokio::test]
async fn an_image_pushed_in_every_way_reads_back_byte_for_byte() {
    let f = Fixture::plain().await;
    let image = content::image(1).oddly_formatted().build();
    let (_, config) = &image.blobs[0];
    let path = format!("a/blobs/uploads/?digest={}", digest(config));
    assert_eq!(f.ask(Method::POST, &path).body(config.clone()).send().await.unwrap().status(), 201);
    for (_, layer) in &image.blobs[1..] {
        let location = header(&f.post("a/blobs/uploads/").await, "location").to_owned();
        let (first, second) = layer.split_at(layer.len() / 2);
        let chunk = f.ask(Method::PATCH, &location).header("content-range", format!("0-{}", first.len() - 1));
        let taken = chunk.body(first.to_vec()).send().await.unwrap();
        assert_eq!((taken.status().as_u16(), header(&taken, "range")), (202, &*format!("0-{}", first.len() - 1)));
        let end = format!("{}&digest={}", header(&taken, "location"), digest(layer));
        assert_eq!(f.ask(Method::PUT, &end).body(second.to_vec()).send().await.unwrap().status(), 201);
    }
    let put = f.put_manifest("a/manifests/1", &image).await;
    assert_eq!((put.status().as_u16(), header(&put, "docker-content-digest")), (201, image.digest().as_str()));
    let got = f.get("a/manifests/1").await;
    assert_eq!(header(&got, "content-type"), image.media_type);
    assert_eq!(got.bytes().await.unwrap(), image.raw);
    assert_eq!(f.registry.open_uploads(), 0);
}

#[tokio::test]
async fn content_with_a_wrong_digest_is_refused_and_not_kept() {
    let f = Fixture::plain().await;
    let path = format!("a/blobs/uploads/?digest={}", digest(b"other"));
    let refused = f.ask(Method::POST, &path).body("this").send().await.unwrap();
    assert_eq!((refused.status().as_u16(), codes(refused).await), (400, vec!["DIGEST_INVALID".to_owned()]));
    assert!(!f.registry.store().has_blob("a", &digest(b"other")));
}

#[tokio::test]
async fn a_blob_is_mounted_or_the_answer_is_an_open_upload() {
    let f = Fixture::plain().await;
    let path = f.blob("source", 10);
    let digest = path.rsplit('/').next().unwrap();
    let mount = |repository: &str, from: &str| format!("{repository}/blobs/uploads/?mount={digest}{from}");
    assert_eq!(f.post(&mount("b", "&from=source")).await.status(), 201);
    assert_eq!(f.head(&format!("b/blobs/{digest}")).await.status(), 200);
    let open = f.post(&mount("c", "")).await;
    assert_eq!(open.status(), 202);
    assert!(header(&open, "location").starts_with("/v2/c/blobs/uploads/"));
    f.registry.features(|features| (features.mount, features.mount_without_from) = (false, true));
    assert_eq!(f.post(&mount("d", "&from=source")).await.status(), 202);
    assert_eq!(f.post(&mount("d", "")).await.status(), 201);
}

#[tokio::test]
async fn without_single_post_the_blob_is_absent_and_the_upload_open() {
    let f = Fixture::of(Registry::builder().features(|features| features.single_post = false)).await;
    let path = format!("a/blobs/uploads/?digest={}", digest(b"x"));
    assert_eq!(f.ask(Method::POST, &path).body("x").send().await.unwrap().status(), 202);
    assert!(!f.registry.store().has_blob("a", &digest(b"x")));
    assert_eq!(f.registry.open_uploads(), 1);
}

#[tokio::test]
async fn chunks_out_of_order_or_too_short_are_refused() {
    let f = Fixture::of(Registry::builder().features(|features| features.chunk_min = Some(4))).await;
    let open = f.post("a/blobs/uploads/").await;
    assert_eq!(header(&open, "oci-chunk-min-length"), "4");
    let location = header(&open, "location").to_owned();
    let patch = async |range: &str, body: &'static str| {
        f.ask(Method::PATCH, &location).header("content-range", range).body(body).send().await.unwrap().status()
    };
    assert_eq!(patch("1-4", "late").await, 416);
    assert_eq!(patch("0-2", "two").await, 202);
    assert_eq!(f.get(&location).await.headers()["range"], "0-2");
    assert_eq!(patch("3-6", "more").await, 400);
}

#[tokio::test]
async fn a_registry_for_chunks_only_or_for_one_put_only_says_so() {
    let f = Fixture::of(Registry::builder().features(|features| features.put_body_max = Some(0))).await;
    let location = header(&f.post("a/blobs/uploads/").await, "location").to_owned();
    let end = format!("{location}&digest={}", digest(b"x"));
    assert_eq!(f.ask(Method::PUT, &end).body("x").send().await.unwrap().status(), 413);
    assert_eq!(f.ask(Method::PATCH, &location).body("x").send().await.unwrap().status(), 202);
    assert_eq!(f.ask(Method::PUT, &end).header("content-length", 0).send().await.unwrap().status(), 201);
    f.registry.features(|features| features.chunked = false);
    let location = header(&f.post("a/blobs/uploads/").await, "location").to_owned();
    assert_eq!(f.ask(Method::PATCH, &location).body("x").send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn large_uploads_are_checked_and_counted_but_not_kept() {
    let f = Fixture::of(Registry::builder().keep_blob_bytes(10)).await;
    let large = vec![7; 1_000_000];
    let path = format!("a/blobs/uploads/?digest={}", digest(&large));
    assert_eq!(f.ask(Method::POST, &path).body(large.clone()).send().await.unwrap().status(), 201);
    let head = f.head(&format!("a/blobs/{}", digest(&large))).await;
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, "1000000"));
    assert_eq!(f.registry.store().blob("a", &digest(&large)), None);
    assert_eq!(f.registry.log().bytes_in("POST", "/uploads/"), 1_000_000);
    let wrong = format!("a/blobs/uploads/?digest={}", digest(b"other"));
    assert_eq!(f.ask(Method::POST, &wrong).body(large).send().await.unwrap().status(), 400);
}
