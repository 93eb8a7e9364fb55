//! Passwords and tokens open what they should, and nothing else.

use std::time::Duration;

use proto::Digest;
use reqwest::{Method, Response};
use sandbox::{Account, Auth, Registry, Rights, Tokens};
use serde_json::Value;

use crate::help::{Fixture, header};

fn writer() -> Account {
    Account::new("writer", "secret").may("ours/*", "pull,push").may("theirs/a", "pull").identity_token("identity")
}

async fn with_tokens(change: impl FnOnce(&mut Tokens)) -> Fixture {
    let mut tokens = Tokens::new([writer(), Account::new("admin", "secret")]);
    change(&mut tokens);
    Fixture::of(Registry::builder().auth(Auth::Tokens(tokens))).await
}

/// The parameters of a challenge.
fn challenge(refused: &Response) -> Vec<(String, String)> {
    let text = header(refused, "www-authenticate").strip_prefix("Bearer ").unwrap();
    let parameters = text.split("\",").map(|parameter| parameter.split_once("=\"").unwrap());
    parameters.map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned())).collect()
}

impl Fixture {
    async fn realm(&self) -> String {
        let refused = self.get("/v2/").await;
        assert_eq!(refused.status(), 401);
        challenge(&refused).remove(0).1
    }

    async fn token(&self, user: Option<&str>, scopes: &[&str]) -> Response {
        let mut request = self.client.get(self.realm().await);
        for scope in scopes {
            request = request.query(&[("scope", scope)]);
        }
        if let Some(user) = user {
            request = request.basic_auth(user, Some("secret"));
        }
        request.send().await.unwrap()
    }

    async fn status(&self, method: Method, path: &str, token: &str) -> u16 {
        let request = self.ask(method, path).bearer_auth(token).header("content-length", 0);
        request.send().await.unwrap().status().as_u16()
    }
}

async fn text_of(answer: Response, field: &str) -> String {
    let document: Value = answer.json().await.unwrap();
    document[field].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_password_opens_what_its_account_may_do() {
    let f = Fixture::of(Registry::builder().auth(Auth::Basic(vec![writer()]))).await;
    let status = async |method: Method, path: &str, password: Option<&str>| {
        let request = f.ask(method, path).header("content-length", 0);
        let request = password.into_iter().fold(request, |request, word| request.basic_auth("writer", Some(word)));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(header(&f.get("/v2/").await, "www-authenticate"), "Basic realm=\"sandbox\"");
    assert_eq!(status(Method::GET, "/v2/", Some("wrong")).await, 401);
    assert_eq!(status(Method::GET, "/v2/", Some("secret")).await, 200);
    assert_eq!(status(Method::POST, "ours/x/blobs/uploads/", Some("secret")).await, 202);
    assert_eq!(status(Method::POST, "theirs/a/blobs/uploads/", Some("secret")).await, 403);
    assert_eq!(status(Method::GET, "theirs/a/tags/list", Some("secret")).await, 404);
    assert_eq!(status(Method::GET, "theirs/b/tags/list", Some("secret")).await, 403);
    let shown: Vec<bool> = f.registry.requests().iter().map(|request| request.authorized).collect();
    assert_eq!(shown, [false, true, true, true, true, true, true]);
    assert!(!format!("{:?} {:?}", f.registry.requests(), writer()).contains("secret"));
}

#[tokio::test]
async fn a_challenge_names_the_scopes_of_a_mount() {
    let f = with_tokens(|_| {}).await;
    let mount = format!("ours/x/blobs/uploads/?mount={}&from=theirs/a", Digest::of(b""));
    let parameters = challenge(&f.post(&mount).await);
    let scope = "repository:ours/x:pull,push repository:theirs/a:pull";
    assert!(parameters.contains(&("scope".into(), scope.into())), "{parameters:?}");
    assert!(parameters.contains(&("service".into(), "sandbox".into())), "{parameters:?}");
}

#[tokio::test]
async fn a_token_for_several_repositories_gives_each_what_the_account_may() {
    let f = with_tokens(|_| {}).await;
    let scopes = ["repository:ours/x:pull,push", "repository:theirs/a:pull,push"];
    let token = text_of(f.token(Some("writer"), &scopes).await, "token").await;
    assert_eq!(f.status(Method::GET, "/v2/", &token).await, 200);
    assert_eq!(f.status(Method::POST, "ours/x/blobs/uploads/", &token).await, 202);
    assert_eq!(f.status(Method::GET, "theirs/a/tags/list", &token).await, 404);
    assert_eq!(f.status(Method::POST, "theirs/a/blobs/uploads/", &token).await, 401);
    assert_eq!(f.status(Method::GET, "ours/y/tags/list", &token).await, 401);
    assert_eq!(f.registry.token_log().count("GET", "/token"), 1);
    let refused = f.ask(Method::GET, "ours/y/tags/list").bearer_auth(&token).send().await.unwrap();
    assert!(challenge(&refused).contains(&("error".into(), "insufficient_scope".into())));
}

#[tokio::test]
async fn a_service_for_one_repository_per_token_leaves_the_others_out() {
    let f = with_tokens(|tokens| tokens.repositories_per_token = 1).await;
    let scopes = ["repository:ours/x:pull", "repository:ours/y:pull"];
    let token = text_of(f.token(Some("writer"), &scopes).await, "token").await;
    assert_eq!(f.status(Method::GET, "ours/x/tags/list", &token).await, 404);
    assert_eq!(f.status(Method::GET, "ours/y/tags/list", &token).await, 401);
}

#[tokio::test]
async fn wrong_passwords_and_strangers_get_no_token_unless_strangers_may() {
    let f = with_tokens(|_| {}).await;
    assert_eq!(f.token(None, &[]).await.status(), 401);
    let wrong = f.client.get(f.realm().await).basic_auth("writer", Some("wrong")).send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    let f = with_tokens(|tokens| tokens.anonymous = Some(Rights::pull_all())).await;
    let token = text_of(f.token(None, &["repository:any:pull,push"]).await, "token").await;
    assert_eq!(f.status(Method::GET, "any/tags/list", &token).await, 404);
    assert_eq!(f.status(Method::POST, "any/blobs/uploads/", &token).await, 401);
}

#[tokio::test]
async fn a_token_ends_with_its_time_or_when_it_is_revoked() {
    let f = with_tokens(|tokens| tokens.lifetime = Duration::ZERO).await;
    let token = text_of(f.token(Some("admin"), &[]).await, "token").await;
    assert_eq!(f.status(Method::GET, "/v2/", &token).await, 401);
    let f = with_tokens(|tokens| tokens.says_lifetime = false).await;
    let document: Value = f.token(Some("admin"), &[]).await.json().await.unwrap();
    assert_eq!(document["expires_in"], Value::Null);
    let token = document["token"].as_str().unwrap();
    assert_eq!(f.status(Method::GET, "/v2/", token).await, 200);
    f.registry.revoke_tokens();
    assert_eq!(f.status(Method::GET, "/v2/", token).await, 401);
}

#[tokio::test]
async fn an_identity_token_is_taken_by_post_as_oauth2_has_it() {
    let f = with_tokens(|tokens| tokens.access_token_only = true).await;
    let realm = f.realm().await;
    let post = async |form: &str| {
        let request = f.client.post(&realm).header("content-type", "application/x-www-form-urlencoded");
        request.body(form.to_owned()).send().await.unwrap()
    };
    let form = "grant_type=refresh_token&service=sandbox&scope=repository:ours/x:pull&refresh_token=";
    assert_eq!(post(&format!("{form}wrong")).await.status(), 401);
    let document: Value = post(&format!("{form}identity")).await.json().await.unwrap();
    assert_eq!((&document["token"], &document["refresh_token"]), (&Value::Null, &"identity".into()));
    let token = document["access_token"].as_str().unwrap();
    assert_eq!(f.status(Method::GET, "ours/x/tags/list", token).await, 404);
    let form = "grant_type=password&username=admin&password=secret&scope=repository:b:pull,push";
    let token = text_of(post(form).await, "access_token").await;
    assert_eq!(f.status(Method::POST, "b/blobs/uploads/", &token).await, 202);
}

#[tokio::test]
async fn a_mount_without_from_finds_only_what_the_caller_may_read() {
    let auth = Auth::Basic(vec![writer()]);
    let f = Fixture::of(Registry::builder().auth(auth).features(|features| features.mount_without_from = true)).await;
    let mount = async |size| {
        let repository = if size == 1 { "theirs/a" } else { "theirs/b" };
        let path = f.blob(repository, size);
        let digest = path.rsplit('/').next().unwrap();
        let request = f.ask(Method::POST, &format!("ours/x/blobs/uploads/?mount={digest}"));
        let request = request.basic_auth("writer", Some("secret")).header("content-length", 0);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(mount(1).await, 201);
    assert_eq!(mount(2).await, 202);
}
