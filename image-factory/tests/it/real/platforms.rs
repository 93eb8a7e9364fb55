//! Some platforms of an index alone, at registries that no one here wrote.

use proto::Digest;
use sandbox::{Image, Registry, content};
use serde_json::Value;

use super::server::Server;
use super::skopeo;
use crate::support::{Ended, Workshop};

const WANTED: [&str; 4] = ["--platform", "linux/amd64", "--platform", "linux/arm64"];

/// Copies an index of three platforms with `args`; gives the index too.
async fn copy_some(server: &Server, args: &[&str], code: i32) -> (Image, Ended) {
    let source = Registry::builder().start().await.unwrap();
    let image = content::multi_platform(1, &["linux/amd64", "linux/s390x", "linux/arm64/v8"]);
    source.store().put_image("team/app", Some("1"), &image);
    let workshop = Workshop::new();
    let settings = format!("version: 1\nto: r.example/{{path}}\nimages:\n  a: b\nregistries:\n{}", server.settings());
    workshop.write("settings.yaml", &settings);
    let (from, to) = (format!("{}/team/app:1", source.host()), format!("{}/mirror/app:1", server.host));
    let fixed = ["copy", &from, &to, "--settings", "settings.yaml"];
    (image, workshop.program(&[&fixed, &WANTED[..], args].concat()).await.expect(code))
}

async fn rewrites(kind: &str) {
    let Some(server) = Server::start(kind).await else { return };
    if !skopeo::is_here().await {
        return;
    }
    let (image, told) = copy_some(&server, &["--index", "rewrite"], 0).await;
    let mut expected: Value = serde_json::from_slice(&image.raw).unwrap();
    expected["manifests"].as_array_mut().unwrap().remove(1);
    let raw = skopeo::raw(&server, "mirror/app:1").await;
    assert_eq!(String::from_utf8_lossy(&raw), expected.to_string());
    let first = format!(
        "copied  {}/mirror/app:1  {}\n        of {}, written anew\n",
        server.host,
        Digest::of(&raw),
        image.digest()
    );
    assert!(told.stdout.starts_with(&first), "{}", told.stdout);
    for child in [&image.children[0], &image.children[2]] {
        assert_eq!(skopeo::raw(&server, &format!("mirror/app@{}", child.digest())).await, child.raw);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_registry_takes_an_index_that_is_written_anew() {
    rewrites("docker-registry").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn distribution_v3_takes_an_index_that_is_written_anew() {
    rewrites("registry").await;
}

async fn refuses_sparse(kind: &str) {
    let Some(server) = Server::start(kind).await else { return };
    let (_, told) = copy_some(&server, &["--index", "sparse"], 1).await;
    assert!(told.stdout.contains("destination_refused: PUT "), "{}", told.stdout);
    assert!(
        told.stdout.contains("mend: many registries want all children of an index: use `index: rewrite`"),
        "{}",
        told.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_registry_refuses_a_sparse_index_and_the_mending_is_told() {
    refuses_sparse("docker-registry").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn distribution_v3_refuses_a_sparse_index_and_the_mending_is_told() {
    refuses_sparse("registry").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn olareg_refuses_a_sparse_index_and_the_mending_is_told() {
    refuses_sparse("olareg").await;
}
