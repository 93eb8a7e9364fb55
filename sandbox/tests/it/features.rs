//! Each feature works, and is gone when it is switched off.

use proto::Digest;
use reqwest::Method;
use sandbox::{Missing, PullLimit, Registry, TagPaging, content};
use serde_json::Value;

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
async fn a_manifest_under_a_sha512_digest_is_kept_under_it() {
    let f = Fixture::plain().await;
    let image = content::image(1).build();
    f.registry.store().put_image("a", None, &image);
    let mut hasher = format!("sha512:{}", "0".repeat(128)).parse::<Digest>().unwrap().hasher();
    hasher.update(&image.raw);
    let path = format!("a/manifests/{}", hasher.finish());
    assert_eq!(f.put_manifest(&path, &image).await.status(), 201);
    assert_eq!(f.get(&path).await.bytes().await.unwrap(), image.raw);
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
async fn a_manifest_that_names_missing_content_is_refused_as_told() {
    let f = Fixture::plain().await;
    let image = content::image(1).build();
    let refused: Value = f.put_manifest("a/manifests/1", &image).await.json().await.unwrap();
    let errors = refused["errors"].as_array().unwrap();
    assert!(errors.iter().all(|error| error["code"] == "MANIFEST_BLOB_UNKNOWN"));
    let mut named: Vec<Digest> =
        errors.iter().map(|error| error["detail"]["Digest"].as_str().unwrap().parse().unwrap()).collect();
    named.sort();
    assert_eq!(named, image.blob_digests());
    let index = f.put_manifest("a/manifests/1", &content::index(std::slice::from_ref(&image))).await;
    assert_eq!(codes(index).await, ["MANIFEST_BLOB_UNKNOWN"]);
    f.registry.features(|features| features.missing = Missing::Unnamed);
    assert_eq!(codes(f.put_manifest("a/manifests/1", &image).await).await, ["MANIFEST_INVALID"]);
    assert!(f.registry.store().tags().is_empty());
    f.registry.features(|features| features.missing = Missing::Accepted);
    assert_eq!(f.put_manifest("a/manifests/1", &image).await.status(), 201);
}

#[tokio::test]
async fn docker_types_are_taken_or_refused() {
    let f = Fixture::plain().await;
    let image = content::image(1).docker().build();
    f.registry.store().put_image("a", None, &image);
    assert_eq!(f.put_manifest("a/manifests/1", &image).await.status(), 201);
    f.registry.features(|features| features.docker_types = false);
    assert_eq!(f.put_manifest("a/manifests/1", &image).await.status(), 415);
}

#[tokio::test]
async fn a_known_manifest_is_not_sent_again() {
    let f = Fixture::plain().await;
    f.registry.store().put_image("a", Some("1"), &content::image(1).build());
    let etag = header(&f.get("a/manifests/1").await, "etag").to_owned();
    let again = async || f.ask(Method::GET, "a/manifests/1").header("if-none-match", &etag).send().await.unwrap();
    assert_eq!(again().await.status(), 304);
    f.registry.features(|features| features.conditional = false);
    assert_eq!(again().await.status(), 200);
}

#[tokio::test]
async fn the_digest_of_a_head_can_be_left_out() {
    let f = Fixture::of(Registry::builder().features(|features| features.head_digest = false)).await;
    let image = content::image(1).build();
    f.registry.store().put_image("a", Some("1"), &image);
    let head = f.head("a/manifests/1").await;
    assert_eq!(header(&head, "docker-content-digest"), "");
    assert_eq!(header(&head, "content-length"), image.raw.len().to_string());
    assert_eq!(header(&f.get("a/manifests/1").await, "docker-content-digest"), image.digest().as_str());
}

#[tokio::test]
async fn a_part_of_a_blob_is_sent_where_ranges_are_heeded() {
    let f = Fixture::plain().await;
    let path = f.blob("a", 1_000);
    let part = async |range: &str| f.ask(Method::GET, &path).header("range", range).send().await.unwrap();
    let whole = f.get(&path).await.bytes().await.unwrap();
    let got = part("bytes=990-").await;
    assert_eq!((got.status().as_u16(), header(&got, "content-range")), (206, "bytes 990-999/1000"));
    assert_eq!(got.bytes().await.unwrap(), whole[990..]);
    assert_eq!(part("bytes=-5").await.bytes().await.unwrap(), whole[995..]);
    assert_eq!(part("bytes=1000-").await.status(), 416);
    f.registry.features(|features| features.range = false);
    assert_eq!(part("bytes=990-").await.bytes().await.unwrap(), whole);
}

#[tokio::test]
async fn referrers_are_listed_and_filtered_until_the_api_is_off() {
    let f = Fixture::plain().await;
    let image = content::image(1).build();
    let sbom = content::sbom(&image);
    let other = content::referrer(&image, "application/other", b"other");
    f.registry.store().put_image("a", Some("1"), &image);
    for referrer in [&sbom, &other] {
        for (_, bytes) in &referrer.blobs {
            f.registry.store().put_blob("a", bytes.clone());
        }
        let put = f.put_manifest(&format!("a/manifests/{}", referrer.digest()), referrer).await;
        assert_eq!(header(&put, "oci-subject"), image.digest().as_str());
    }
    let path = format!("a/referrers/{}", image.digest());
    let all: Value = f.get(&path).await.json().await.unwrap();
    assert_eq!(all["manifests"].as_array().unwrap().len(), 2);
    let some = f.get(&format!("{path}?artifactType=application/spdx%2Bjson")).await;
    assert_eq!(header(&some, "oci-filters-applied"), "artifactType");
    let some: Value = some.json().await.unwrap();
    assert_eq!(some["manifests"][0]["digest"], sbom.digest().as_str());
    assert_eq!(some["manifests"].as_array().unwrap().len(), 1);
    f.registry.features(|features| features.referrers = false);
    assert_eq!(f.get(&path).await.status(), 404);
    let put = f.put_manifest(&format!("a/manifests/{}", sbom.digest()), &sbom).await;
    assert_eq!(header(&put, "oci-subject"), "");
}

#[tokio::test]
async fn tags_come_in_pages_as_told() {
    let f = Fixture::plain().await;
    for tag in ["a", "b", "c", "d", "e"] {
        f.registry.store().put_tag("r", tag, &digest(b""));
    }
    let list = async |query: &str| {
        let page = f.get(&format!("r/tags/list{query}")).await;
        let link = header(&page, "link").to_owned();
        let page: Value = page.json().await.unwrap();
        let tags: String = page["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
        (tags, link)
    };
    assert_eq!(list("").await, ("abcde".into(), String::new()));
    assert_eq!(list("?n=2").await, ("ab".into(), "</v2/r/tags/list?n=2&last=b>; rel=\"next\"".into()));
    assert_eq!(list("?n=2&last=d").await, ("e".into(), String::new()));
    f.registry.features(|features| features.page_max = Some(3));
    assert_eq!(list("?n=100").await.0, "abc");
    f.registry.features(|features| features.tag_paging = TagPaging::Silent);
    assert_eq!(list("?n=2").await, ("ab".into(), String::new()));
    f.registry.features(|features| features.tag_paging = TagPaging::AtOnce);
    assert_eq!(list("?n=2").await.0, "abcde");
    assert_eq!(f.get("none/tags/list").await.status(), 404);
}

#[tokio::test]
async fn repositories_are_listed_where_there_is_a_catalog() {
    let f = Fixture::plain().await;
    f.blob("b/c", 1);
    f.blob("a", 1);
    let catalog: Value = f.get("_catalog").await.json().await.unwrap();
    assert_eq!(catalog["repositories"], serde_json::json!(["a", "b/c"]));
    f.registry.features(|features| features.catalog = false);
    assert_eq!(f.get("_catalog").await.status(), 405);
}

#[tokio::test]
async fn a_registry_without_deletion_keeps_all() {
    let f = Fixture::of(Registry::builder().features(|features| features.deletion = false)).await;
    f.registry.store().put_image("a", Some("1"), &content::image(1).build());
    let path = f.blob("a", 5);
    for path in ["a/manifests/1", path.as_str()] {
        assert_eq!(f.ask(Method::DELETE, path).send().await.unwrap().status(), 405);
        assert_eq!(f.head(path).await.status(), 200);
    }
}

#[tokio::test]
async fn redirected_blobs_come_from_the_storage_which_refuses_credentials() {
    let f = Fixture::of(Registry::builder().features(|features| features.redirect_blobs = true)).await;
    let path = f.blob("a", 1_000);
    let redirect = f.get(&path).await;
    assert_eq!(redirect.status(), 307);
    let location = header(&redirect, "location").to_owned();
    assert!(!location.starts_with(&f.registry.url()));
    let got = f.client.get(&location).send().await.unwrap();
    assert_eq!((got.status().as_u16(), got.bytes().await.unwrap().len()), (200, 1_000));
    let leaked = f.client.get(&location).bearer_auth("secret").send().await.unwrap();
    assert_eq!(leaked.status(), 400);
    let seen: Vec<bool> = f.registry.storage_log().requests().iter().map(|request| request.authorized).collect();
    assert_eq!(seen, [false, true]);
    assert!(f.registry.storage_log().requests().iter().all(|request| !request.query.contains("sig")));
    assert_eq!(f.client.get(location.split('?').next().unwrap()).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_pull_is_a_get_of_a_manifest_and_is_counted_as_docker_hub_does() {
    let f = Fixture::plain().await;
    f.registry.store().put_image("a", Some("1"), &content::image(1).build());
    f.registry.set_pull_limit(Some(PullLimit { limit: 100, remaining: 1, window: 21_600 }));
    let head = f.head("a/manifests/1").await;
    assert_eq!(header(&head, "ratelimit-limit"), "100;w=21600");
    assert_eq!(header(&head, "ratelimit-remaining"), "1;w=21600");
    assert_eq!(header(&f.get("a/manifests/1").await, "ratelimit-remaining"), "0;w=21600");
    let refused = f.get("a/manifests/1").await;
    assert_eq!((refused.status().as_u16(), header(&refused, "ratelimit-remaining")), (429, "0;w=21600"));
    assert!(refused.text().await.unwrap().contains("You have reached your pull rate limit"));
    assert_eq!(f.head("a/manifests/1").await.status(), 200);
    f.registry.set_pull_limit(None);
    assert_eq!(header(&f.get("a/manifests/1").await, "ratelimit-limit"), "");
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

#[tokio::test]
async fn a_synthetic_blob_is_served_whole_and_in_parts() {
    let f = Fixture::plain().await;
    let layer = f.registry.store().put_synthetic_blob("a", 3, 300_000);
    let path = format!("a/blobs/{}", layer.digest);
    let whole = f.get(&path).await.bytes().await.unwrap();
    assert!(layer.digest.matches(&whole));
    let part = f.ask(Method::GET, &path).header("range", "bytes=65530-65545").send().await.unwrap();
    assert_eq!(part.bytes().await.unwrap(), whole[65_530..=65_545]);
}

#[tokio::test]
async fn a_registry_is_gone_when_it_is_dropped_and_its_store_can_be_served_again() {
    let f = Fixture::plain().await;
    let path = f.blob("a", 10);
    let (store, address) = (f.registry.store().clone(), f.registry.address());
    drop(f.registry);
    let url = format!("http://{address}/v2/");
    let gone = async {
        // Sockets close a moment after the drop, when the runtime comes to it.
        while f.client.get(&url).send().await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::help::PATIENCE, gone).await.unwrap();
    let f = Fixture::of(Registry::builder().store(store)).await;
    assert_eq!(f.head(&path).await.status(), 200);
}
