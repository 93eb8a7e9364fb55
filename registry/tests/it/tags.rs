//! Lists of tags: all of them, page by page, and no circle.

use std::collections::BTreeSet;

use registry::Kind;
use sandbox::{Registry, TagPaging, content};

use crate::script::{Script, answer};
use crate::setup::{client, repository};

async fn registry_with_tags(count: usize, paging: TagPaging, page_max: Option<usize>) -> Registry {
    let features = |features: &mut sandbox::Features| {
        features.tag_paging = paging;
        features.page_max = page_max;
    };
    let registry = Registry::builder().features(features).start().await.unwrap();
    let image = content::image(1).build();
    registry.store().put_image("a", None, &image);
    for number in 0..count {
        registry.store().put_tag("a", &format!("t{number:05}"), &image.digest());
    }
    registry
}

#[tokio::test]
async fn all_tags_are_listed_each_once_however_the_registry_pages() {
    for (count, paging, page_max, requests) in [
        (2_500, TagPaging::Links, None, 3),
        (2_500, TagPaging::Links, Some(100), 25),
        (2_500, TagPaging::Silent, None, 3),
        (2_500, TagPaging::AtOnce, None, 1),
        // Exactly a page: without a link, only asking on shows that it was all.
        (1_000, TagPaging::AtOnce, None, 2),
        (1_000, TagPaging::Silent, None, 2),
        (0, TagPaging::Links, None, 1),
    ] {
        let registry = registry_with_tags(count, paging, page_max).await;
        let mut seen = BTreeSet::new();
        for tag in client().tags(&repository(&registry, "a")).await.unwrap().tags {
            assert!(seen.insert(tag.to_string()), "{tag} twice, {paging:?}");
        }
        assert_eq!(seen.len(), count, "{paging:?} {page_max:?}");
        assert_eq!(registry.log().count("GET", "/tags/list"), requests, "{count} {paging:?} {page_max:?}");
    }
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_not_found() {
    let registry = Registry::builder().start().await.unwrap();
    let error = client().tags(&repository(&registry, "nothing")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_listing_without_tags_is_borne_and_names_that_are_no_tags_are_counted() {
    for (body, count, invalid) in [(r#"{"name":"a","tags":null}"#, 0, 0), (r#"{"tags":["ok","no tag","../x"]}"#, 1, 2)]
    {
        let script = Script::start(move |_| answer(200, "", body)).await;
        let repository = format!("{}/a", script.host()).parse().unwrap();
        let listed = client().tags(&repository).await.unwrap();
        assert_eq!((listed.tags.len(), listed.invalid), (count, invalid));
    }
}

#[tokio::test]
async fn a_listing_that_leads_in_a_circle_or_elsewhere_is_refused() {
    for (link, requests) in [
        ("<?n=1&page=1>; rel=\"next\"", 2),
        ("<http://registry.example/v2/a/tags/list>; rel=next", 1),
        ("<https://{}/v2/a/tags/list>; rel=next", 1),
    ] {
        let header = format!("Link: {link}\r\n");
        let script = Script::start(move |head| {
            answer(200, if head.contains("/tags/") { &header } else { "" }, r#"{"tags":["x"]}"#)
        })
        .await;
        let repository = format!("{}/a", script.host()).parse().unwrap();
        let error = client().tags(&repository).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Refused, "{link}");
        assert_eq!(script.count("GET /v2/a/tags/"), requests, "{link}");
    }
}
