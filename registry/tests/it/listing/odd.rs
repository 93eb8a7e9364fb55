//! Answers that no vendor should give: none ends in a panic, in a loop, or in a wrong digest.

use proto::settings::{Access, Network, RegistrySettings};
use registry::{Client, Tags};

use super::repository;
use crate::script::{Script, answer};
use crate::setup::{client, client_with, options, settings};

const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A server that stands for all hosts: `tags/list` is there, and all else is answered by `body`.
async fn stands_for_all(body: String) -> Script {
    Script::start(move |head| match head {
        _ if head.contains("/tags/list") => answer(200, "", r#"{"tags":["x","y"]}"#),
        _ if head.contains("/v2/ HTTP") => answer(200, "", "{}"),
        _ => answer(200, "", &body),
    })
    .await
}

fn through(script: &Script, host: &str) -> Client {
    let network = Network { proxy: Some(format!("http://{}", script.host())), ..Network::default() };
    let registries = vec![RegistrySettings { plain_http: true, ..settings(host) }];
    client_with(&Access { network, registries }, options())
}

async fn listed_by(host: &str, body: &str) -> (Tags, Script) {
    let script = stands_for_all(body.replace('A', A).replace('B', B)).await;
    let listed = through(&script, host).tags(&repository(&format!("{host}/a/b"))).await.unwrap();
    (listed, script)
}

#[tokio::test]
async fn what_is_not_readable_is_listed_plainly() {
    for body in ["", "null", "[]", "{", "<html>", r#"{"results":7}"#, r#"{"tags":[{"name":7}],"has_additional":"x"}"#] {
        for host in ["docker.io", "quay.io"] {
            let (listed, script) = listed_by(host, body).await;
            assert_eq!((listed.tags.len(), listed.digests.len()), (2, 0), "{host} {body}");
            assert_eq!(script.count("GET http://"), 3, "{host} {body}");
        }
    }
}

#[tokio::test]
async fn a_tag_with_two_digests_has_none_and_what_is_no_digest_or_tag_is_left_out() {
    let quay = r#"{"has_additional":false,"tags":[{"name":"1","manifest_digest":"A"},{"name":"2","manifest_digest":"sha256:no"},
        {"name":"no tag","manifest_digest":"A"},{"name":"3"},{"name":"4","manifest_digest":"B","start_ts":99999999999999999},
        {"name":"5","manifest_digest":"B","end_ts":1}]}"#;
    let (listed, _script) = listed_by("quay.io", quay).await;
    assert_eq!((listed.tags.len(), listed.invalid, listed.times.len()), (5, 1, 0));
    let with_digest: std::collections::BTreeSet<_> = listed.digests.keys().map(ToString::to_string).collect();
    assert_eq!(with_digest, ["1", "4"].map(String::from).into());

    let hub = r#"{"count":2,"next":null,"results":[{"name":"x","digest":"A"},{"name":"x","digest":"B"}]}"#;
    let (listed, _script) = listed_by("docker.io", hub).await;
    assert_eq!((listed.tags.len(), listed.digests.len()), (2, 0));
}

#[tokio::test]
async fn pages_that_lead_in_a_circle_end_and_names_come_from_the_registry() {
    for (host, body) in [
        ("docker.io", r#"{"count":9,"next":"http://evil.example/","results":[{"name":"x","digest":"A"}]}"#),
        ("docker.io", r#"{"count":9,"next":"x","results":[]}"#),
        ("quay.io", r#"{"has_additional":true,"tags":[{"name":"x","manifest_digest":"A"}]}"#),
    ] {
        let (listed, script) = listed_by(host, body).await;
        assert_eq!(listed.tags.len(), 2, "{host} {body}");
        assert!(script.count("GET http://") <= 4, "{host} {body}");
        assert_eq!(script.count("GET http://evil.example"), 0);
    }
}

#[tokio::test]
async fn a_map_of_manifests_of_another_shape_is_no_reason_not_to_list() {
    for (manifest, digests, times) in [
        (r#""x""#, 0, 0),
        ("[1]", 0, 0),
        (r#"{"A":7}"#, 0, 0),
        (r#"{"A":{"tag":null}}"#, 0, 0),
        (r#"{"A":{"tag":["x","no tag"],"timeUploadedMs":[7]}}"#, 1, 0),
        (
            r#"{"A":{"tag":["x"],"timeUploadedMs":"1700000000000"},"B":{"tag":["y"],"timeUploadedMs":1700000000000}}"#,
            2,
            2,
        ),
        (r#"{"A":{"tag":["x"],"timeUploadedMs":9223372036854775807},"B":{"tag":["x"]}}"#, 0, 0),
        (r#"{"sha256:no":{"tag":["x"]}}"#, 0, 0),
    ] {
        let body = format!(r#"{{"tags":["x","y"],"manifest":{manifest}}}"#).replace('A', A).replace('B', B);
        let script = Script::start(move |head| match head.contains("/tags/list") {
            true => answer(200, "", &body),
            false => answer(404, "", ""),
        })
        .await;
        let listed = client().tags(&repository(&format!("{}/a", script.host()))).await.unwrap();
        assert_eq!((listed.tags.len(), listed.digests.len(), listed.times.len()), (2, digests, times), "{manifest}");
    }
}

#[tokio::test]
async fn a_search_that_answers_oddly_adds_no_digest_and_ends() {
    for body in [
        r#"{"data":null,"errors":[{"message":"x"}]}"#,
        r#"{"data":{"ImageList":{"Results":null,"Page":null}}}"#,
        r#"{"data":{"ImageList":{"Results":[],"Page":{"TotalCount":9}}}}"#,
        r#"{"data":{"ImageList":{"Results":[{"RepoName":"other","Tag":"x","Digest":"A"}],"Page":{"TotalCount":1}}}}"#,
        r#"{"data":{"ImageList":{"Results":[{"RepoName":"a","Tag":"z","Digest":"A"}],"Page":{"TotalCount":-1}}}}"#,
        "7",
    ] {
        let body = body.replace('A', A);
        let script = Script::start(move |head| match head {
            _ if head.contains("/tags/list") => answer(200, "", r#"{"tags":["x","y"]}"#),
            _ if head.contains("/discover") => {
                answer(200, "", r#"{"extensions":[{"name":"_zot"},{"endpoints":["/v2/_zot/ext/search"]}]}"#)
            }
            _ => answer(200, "", &body),
        })
        .await;
        let listed = client().tags(&repository(&format!("{}/a", script.host()))).await.unwrap();
        assert_eq!((listed.tags.len(), listed.digests.len()), (2, 0));
        assert_eq!(script.count("GET /v2/_zot/"), 1);
    }
}
