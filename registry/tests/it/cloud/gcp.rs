//! Artifact Registry: tokens for a key and from the metadata.

use std::time::Duration;

use proto::Class;
use proto::settings::Auth as FileAuth;
use registry::Kind;
use sandbox::cloud::{Gcp, Github};
use sandbox::{Effect, Fault};
use serde_json::json;

use super::{client, head, heads, origin, registry, texts, token_registry};
use crate::setup::file;

const REPOSITORY: &str = "europe-docker.pkg.dev/team/app";

#[tokio::test]
async fn a_key_and_the_metadata_lead_to_a_manifest() {
    let google = Gcp::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = file(&folder, "key.json", &google.key_file().to_string()).display().to_string();
    let by_key =
        format!("Google Cloud service account `mirror@project.iam.gserviceaccount.com`, by its key in `{key}`");
    for (variable, expected) in [
        (("GOOGLE_APPLICATION_CREDENTIALS", key.as_str()), by_key.as_str()),
        (("GCE_METADATA_HOST", &google.host()), "Google Cloud service account of this machine"),
    ] {
        for registry in [registry(google.accounts()).await, token_registry(google.accounts()).await] {
            let client = client(&registry, FileAuth::Gcp, &[variable]);
            head(&client, REPOSITORY).await.unwrap();
            assert_eq!(origin(&client, REPOSITORY).await.unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn a_token_is_renewed_by_one_when_it_is_over_or_not_taken_any_more() {
    let google = Gcp::start().await.unwrap();
    let registry = registry(google.accounts()).await;
    let client = client(&registry, FileAuth::Gcp, &[("GCE_METADATA_HOST", &google.host())]);
    google.set_lifetime(Duration::ZERO);
    head(&client, REPOSITORY).await.unwrap();
    google.set_lifetime(Duration::from_secs(3600));
    google.fault(Fault::on("GET", "", Effect::Latency(Duration::from_millis(50))));
    for expected in [2, 3] {
        for head in heads(&client, REPOSITORY).await {
            head.unwrap();
        }
        assert_eq!(google.log().count("GET", "/token"), expected);
        google.accounts().clear();
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_told_and_not_shown() {
    let google = Gcp::start().await.unwrap();
    let registry = registry(google.accounts()).await;
    let folder = tempfile::tempdir().unwrap();
    let with = |field: &str, value: &str| {
        let mut key = google.key_file();
        key[field] = value.into();
        key.to_string()
    };
    for (content, expected) in [
        (json!({ "type": "authorized_user", "refresh_token": "hush" }).to_string(), "type `authorized_user` are not"),
        (json!({ "type": "external_account" }).to_string(), "type `external_account` are not supported"),
        (json!({ "type": "service_account" }).to_string(), "it has no `client_email` or no `private_key`"),
        ("{\"type\": \"hush".to_owned(), "not readable at line 1"),
        (String::new(), "it is empty"),
        (with("private_key", "hush"), "it is not a private key in PEM"),
        (with("private_key", Github::KEY), "400 invalid_grant: Invalid JWT Signature."),
        (with("client_email", "other@x"), "log in to Google Cloud as `other@x`: POST"),
        (with("token_uri", "http://example.invalid/token"), "it is not HTTPS"),
    ] {
        let path = file(&folder, "key.json", &content).display().to_string();
        let client = client(&registry, FileAuth::Gcp, &[("GOOGLE_APPLICATION_CREDENTIALS", &path)]);
        let error = head(&client, REPOSITORY).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (Kind::Unauthorized, Class::Reject), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        let text = texts(&error);
        assert!(error.hint().is_some() && !text.contains("hush") && !text.contains("PRIVATE"), "{text}");
    }
}

#[tokio::test]
async fn a_machine_without_metadata_says_so_and_never_asks_the_proxy_for_it() {
    let google = Gcp::start().await.unwrap();
    let registry = registry(google.accounts()).await;
    for host in ["127.0.0.1:1", "metadata.invalid"] {
        let client = client(&registry, FileAuth::Gcp, &[("GCE_METADATA_HOST", host)]);
        let error = head(&client, REPOSITORY).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (Kind::Unauthorized, Class::Reject), "{error}");
        let text = error.to_string();
        assert!(text.starts_with("this machine has no identity of Google Cloud: log in to Google Cloud by"), "{text}");
    }
    assert_eq!(registry.log().count("", "/computeMetadata"), 0);
}

#[tokio::test]
async fn what_the_metadata_refuses_for_a_while_is_tried_again() {
    let google = Gcp::start().await.unwrap();
    let registry = registry(google.accounts()).await;
    let client = client(&registry, FileAuth::Gcp, &[("GCE_METADATA_HOST", &google.host())]);
    google.fault(Fault::on("GET", "", Effect::status(503)).times(2));
    head(&client, REPOSITORY).await.unwrap();
    assert_eq!(google.log().count("GET", "/token"), 3);
}
