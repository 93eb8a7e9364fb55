//! GitHub's registry: an app, and its installation at each owner.

use std::time::Duration;

use proto::Class;
use proto::settings::{Auth as FileAuth, Secret};
use registry::Kind;
use sandbox::cloud::{Fake, Github};
use sandbox::{Effect, Fault, Registry, content};

use super::{client, head, heads, origin, texts, token_registry};
use crate::setup::file;

const REPOSITORY: &str = "ghcr.io/team/app";

/// A client that is app `id`, with the key in `pem`.
fn app(github: &Fake<Github>, registry: &Registry, id: u64, pem: &str) -> registry::Client {
    let folder = tempfile::tempdir().unwrap();
    let key = Secret::File(file(&folder, "app.pem", pem));
    // It may be deleted as soon as it is not needed any more.
    let _kept = folder.keep();
    client(registry, FileAuth::GithubApp { id, key }, &[("GITHUB_API_URL", &github.url())])
}

#[tokio::test]
async fn an_app_has_a_token_for_each_owner() {
    let github = Github::start().await.unwrap();
    let registry = token_registry(github.accounts()).await;
    registry.store().put_image("other/app", Some("1"), &content::image(2).build());
    let client = app(&github, &registry, Github::APP, Github::KEY);
    for repository in [REPOSITORY, "ghcr.io/other/app", REPOSITORY] {
        head(&client, repository).await.unwrap();
    }
    assert_eq!(github.log().count("POST", "/access_tokens"), 2);
    assert_eq!(origin(&client, REPOSITORY).await.unwrap(), "GitHub app 4711, installed at `team`");
}

#[tokio::test]
async fn a_token_is_renewed_by_one_when_it_is_over_or_not_taken_any_more() {
    let github = Github::start().await.unwrap();
    let registry = token_registry(github.accounts()).await;
    let client = app(&github, &registry, Github::APP, Github::KEY);
    github.set_lifetime(Duration::ZERO);
    head(&client, REPOSITORY).await.unwrap();
    github.set_lifetime(Duration::from_secs(3600));
    github.fault(Fault::on("POST", "", Effect::Latency(Duration::from_millis(50))));
    for expected in [2, 3] {
        github.accounts().clear();
        registry.revoke_tokens();
        for head in heads(&client, REPOSITORY).await {
            head.unwrap();
        }
        assert_eq!(github.log().count("POST", "/access_tokens"), expected);
    }
}

#[tokio::test]
async fn what_github_refuses_is_told_with_what_mends_it() {
    let github = Github::start().await.unwrap();
    let registry = token_registry(github.accounts()).await;
    let url = github.url();
    let other_key = include_str!("../../../../sandbox/src/cloud/keys/google.pem");
    for (repository, id, key, expected, hint) in [
        (
            "ghcr.io/stranger/app",
            Github::APP,
            Github::KEY,
            format!("log in to GitHub as app 4711: GET {url}/users/stranger/installation: 404: Not Found"),
            "install the app at `stranger`",
        ),
        (
            REPOSITORY,
            1,
            Github::KEY,
            format!("log in to GitHub as app 1: GET {url}/users/team/installation: 401: A JSON web token"),
            "check the app's id and key",
        ),
        (REPOSITORY, Github::APP, other_key, "log in to GitHub as app 4711: GET".to_owned(), "check the app's id"),
        (
            REPOSITORY,
            Github::APP,
            "hush",
            "sign with the key of app 4711, from file".to_owned(),
            "it must be the private",
        ),
    ] {
        let error = head(&app(&github, &registry, id, key), repository).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (Kind::Unauthorized, Class::Reject), "{error}");
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert!(error.hint().unwrap().starts_with(hint), "{:?}", error.hint());
        let text = texts(&error);
        assert!(!text.contains("hush") && !text.contains("PRIVATE"), "{text}");
    }
}
