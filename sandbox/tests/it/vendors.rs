//! The interfaces of vendors, as any client sees them, and the registry as a proxy.

use bytes::Bytes;
use proto::manifest::media_type;
use reqwest::{Proxy, StatusCode};
use sandbox::{Account, Auth, Registry, Tokens, Vendor};
use serde_json::Value;

use crate::help::{client_builder, header};

async fn registry(vendor: Vendor, auth: Auth) -> Registry {
    let registry = Registry::builder().features(|features| features.vendor = vendor).auth(auth).start().await.unwrap();
    for number in 0..3 {
        let raw = Bytes::from(format!("{{\"number\":{number}}}"));
        let digest = registry.store().put_manifest("a/b", media_type::OCI_MANIFEST, raw);
        registry.store().put_tag("a/b", &format!("t{number}"), &digest);
    }
    registry
}

#[tokio::test]
async fn as_a_proxy_it_stands_for_any_host_and_notes_which_was_meant() {
    let registry = registry(Vendor::Hub, Auth::None).await;
    let client = client_builder().proxy(Proxy::http(registry.url()).unwrap()).build().unwrap();
    let url = "http://hub.docker.com/v2/repositories/a/b/tags?page_size=2";
    let page: Value = client.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(page["count"], 3);
    assert_eq!(page["results"][0]["name"], "t2");
    assert!(page["next"].as_str().unwrap().ends_with("page=2"));
    let names = client.get("http://docker.io/v2/a/b/tags/list").send().await.unwrap();
    assert_eq!(names.status(), StatusCode::OK);
    let hosts: Vec<_> = registry.requests().into_iter().map(|request| request.host).collect();
    assert_eq!(hosts, ["hub.docker.com", "docker.io"]);
}

#[tokio::test]
async fn tags_are_set_one_after_the_other_or_when_a_test_says() {
    let registry = registry(Vendor::Quay, Auth::None).await;
    let store = registry.store();
    let time = |tag| store.tag_time("a/b", tag).unwrap();
    assert!(time("t0") < time("t1") && time("t1") < time("t2"));
    store.set_tag_time("a/b", "t0", "2030-01-01T00:00:00Z".parse().unwrap());
    let url = format!("{}/api/v1/repository/a/b/tag/", registry.url());
    let page: Value = client_builder().build().unwrap().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(page["tags"][0]["name"], "t0");
    assert_eq!(page["tags"][0]["start_ts"], 1_893_456_000);
}

#[tokio::test]
async fn harbor_takes_passwords_and_no_tokens_beside_the_registry_and_knows_who_may_what() {
    let accounts = [Account::new("robot", "pw").may("a/*", "pull"), Account::new("other", "pw").may("c/*", "pull")];
    let registry = registry(Vendor::Harbor, Auth::Tokens(Tokens::new(accounts))).await;
    let client = client_builder().build().unwrap();
    let ask = || client.get(format!("{}/api/v2.0/projects/a/repositories/b/artifacts?page_size=2", registry.url()));
    let answer = ask().basic_auth("robot", Some("pw")).send().await.unwrap();
    assert_eq!((answer.status(), header(&answer, "x-total-count")), (StatusCode::OK, "3"));
    assert!(header(&answer, "link").contains("rel=\"next\""));
    for (request, expected) in [
        (ask(), StatusCode::UNAUTHORIZED),
        (ask().bearer_auth("token"), StatusCode::UNAUTHORIZED),
        (ask().basic_auth("other", Some("pw")), StatusCode::FORBIDDEN),
    ] {
        assert_eq!(request.send().await.unwrap().status(), expected);
    }
    let greeting = client.get(format!("{}/v2/", registry.url())).send().await.unwrap();
    assert!(header(&greeting, "www-authenticate").contains("service=\"harbor-registry\""));
}
