//! Each feature works, and is gone when it is switched off.

use proto::Digest;
use reqwest::Method;
use sandbox::{Missing, PullLimit, RateLimit, Registry, TagPaging, content};
use serde_json::Value;

use crate::help::{Fixture, codes, digest, header};

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
    f.registry.features(|features| features.page_max = Some(1));
    let first = f.get(&path).await;
    let next = header(&first, "link").strip_prefix('<').unwrap().split_once('>').unwrap().0.to_owned();
    let mut paged = vec![first.json::<Value>().await.unwrap()["manifests"][0].clone()];
    let second = f.get(&next).await;
    assert_eq!(header(&second, "link"), "");
    paged.push(second.json::<Value>().await.unwrap()["manifests"][0].clone());
    assert_eq!(&paged, all["manifests"].as_array().unwrap());
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
async fn requests_above_the_limit_are_refused_whatever_they_ask_for() {
    let f = Fixture::plain().await;
    // None comes back meanwhile.
    let limit = RateLimit { per_second: 0, burst: 3, retry_after: Some(7) };
    f.registry.set_rate_limit(Some(limit));
    let got = [f.get("").await, f.head("a/manifests/1").await, f.post("a/blobs/uploads/").await, f.get("").await];
    assert_eq!(got.each_ref().map(|answer| answer.status().as_u16()), [200, 404, 202, 429]);
    assert_eq!(header(&got[3], "retry-after"), "7");
    f.registry.set_rate_limit(Some(RateLimit { retry_after: None, ..limit }));
    let got = [f.get("").await, f.get("").await, f.get("").await, f.get("").await];
    assert_eq!(header(&got[3], "retry-after"), "");
    assert_eq!(got.map(|answer| answer.status().as_u16()), [200, 200, 200, 429]);
    f.registry.set_rate_limit(None);
    assert_eq!(f.get("").await.status(), 200);
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
#[tokio::test]
async fn a_registry_that_heeds_accept_hides_other_types() {
    let f = Fixture::of(Registry::builder().features(|features| features.strict_accept = true)).await;
    let image = content::image(1).docker().build();
    f.registry.store().put_image("a", Some("1"), &image);
    let status = async |accept: &str| {
        f.ask(Method::GET, "a/manifests/1").header("accept", accept).send().await.unwrap().status().as_u16()
    };
    assert_eq!(status("application/vnd.oci.image.manifest.v1+json").await, 404);
    assert_eq!(status(&format!("application/json, {}; q=0.5", image.media_type)).await, 200);
}
