//! GitHub's registry: an app's installation at the owner of a repository gives tokens for an hour.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use proto::Host;
use proto::settings::Secret;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use serde_json::json;

use super::ask::{ask_json, hidden, name, service_url, until};
use super::kept::{Kept, Lease};
use super::{Doors, check_host, jwt};
use crate::auth::credentials::{Credentials, Found, secret};
use crate::error::{Error, Kind};
use crate::wire::Request;

/// An app of GitHub's.
pub(crate) struct Github {
    id: u64,
    key: Secret,
    host: Host,
    doors: Doors,
    /// By owner: each has an installation of its own.
    owners: Mutex<HashMap<String, Arc<Kept<Found>>>>,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
}

#[derive(Deserialize)]
struct Answer {
    token: String,
    expires_at: Option<String>,
}

impl Github {
    pub(super) fn new(id: u64, key: Secret, host: Host, doors: Doors) -> Self {
        Self { id, key, host, doors, owners: Mutex::default() }
    }

    /// User and password for the repositories of the owner of `path`.
    pub(super) async fn find(&self, path: &str) -> Result<Found, Error> {
        // Who names an API of its own has a registry of its own.
        let is_of_github = self.host.name() == "ghcr.io" || self.doors.env("GITHUB_API_URL").is_some();
        check_host(&self.host, "GitHub", is_of_github, "`ghcr.io`")?;
        let owner = path.split('/').next().unwrap_or_default();
        let kept = self.owners().entry(owner.to_owned()).or_default().clone();
        kept.get(self.log_in(owner)).await
    }

    pub(super) async fn forget(&self, is_refused: impl Fn(&Found) -> bool) {
        let all: Vec<_> = self.owners().values().cloned().collect();
        for kept in all {
            kept.forget(&is_refused).await;
        }
    }

    fn owners(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Kept<Found>>>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Two requests (GitHub, "Authenticating as a GitHub App installation").
    async fn log_in(&self, owner: &str) -> Result<Lease<Found>, Error> {
        let id = self.id;
        let way = format!("log in to GitHub as app {id}");
        let (pem, place) = secret(&self.key, self.host.as_str(), &self.doors.options).await?;
        let now = Timestamp::now().as_second();
        // As GitHub advises: a minute back against clocks that differ, and less than ten minutes in all.
        let claims = json!({ "iss": id.to_string(), "iat": now - 60, "exp": now + 480 });
        let proof = jwt::signed(&claims, None, &pem, &format!("the key of app {id}, from {place}"))?;
        self.doors.note(&proof);
        let installation: Installation = ask_json(
            &self.doors.world,
            &way,
            &self.request(Method::GET, &format!("users/{owner}/installation"), &proof)?,
        )
        .await
        .map_err(|error| match error.kind() {
            Kind::NotFound => error.hinting(format!("install the app at `{owner}`, with the right to packages")),
            Kind::Unauthorized => error.hinting("check the app's id and key, and this machine's clock"),
            _ => error,
        })?;
        let path = format!("app/installations/{}/access_tokens", installation.id);
        let answer: Answer = ask_json(&self.doors.world, &way, &self.request(Method::POST, &path, &proof)?).await?;
        self.doors.note(&answer.token);
        let credentials = Credentials::Password { username: "x-access-token".into(), password: answer.token };
        let value = Found { credentials, origin: format!("GitHub app {id}, installed at `{owner}`") };
        Ok(Lease { value, lifetime: answer.expires_at.and_then(|end| until(&end)) })
    }

    fn request(&self, method: Method, path: &str, proof: &str) -> Result<Request, Error> {
        let base = self.doors.env("GITHUB_API_URL").unwrap_or_else(|| "https://api.github.com".into());
        let url = service_url("`GITHUB_API_URL`", &format!("{}/{path}", base.trim_end_matches('/')))?;
        Ok(Request::new(method, url)
            .header(ACCEPT, HeaderValue::from_static("application/vnd.github+json"))
            .header(name("x-github-api-version"), HeaderValue::from_static("2022-11-28"))
            .header(AUTHORIZATION, hidden("the app's token", &format!("Bearer {proof}"))?))
    }
}
