//! How a repository is reached, in words: which settings match it, never a secret.

use std::fmt;

use jobfile::RepositoryLocation;
use proto::Repository;
use proto::settings::{Access, Auth, Limits, PullLimit, RegistrySettings, Secret};
use serde::Serialize;

use crate::text;

/// The settings of the registry of a repository.
#[derive(Debug, Serialize)]
pub(super) struct Reached {
    repository: String,
    /// The pattern of the settings that match; none if there are none.
    pattern: Option<String>,
    /// Where credentials come from, and whatever else is set.
    settings: Vec<String>,
}

impl Reached {
    /// None for a layout, which needs no settings.
    pub(super) fn of(location: &RepositoryLocation, access: &Access) -> Option<Self> {
        let RepositoryLocation::Registry(repository) = location else { return None };
        let settings = access.settings(repository);
        Some(Self {
            repository: repository.to_string(),
            pattern: settings.map(|settings| settings.pattern.clone()),
            settings: settings.map_or_else(|| vec![login(&Auth::Ambient)], |settings| in_words(settings, repository)),
        })
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.repository, self.settings.join(", "))?;
        match &self.pattern {
            Some(pattern) => write!(f, "  (registries: `{pattern}`)"),
            None => write!(f, "  (default)"),
        }
    }
}

fn in_words(settings: &RegistrySettings, repository: &Repository) -> Vec<String> {
    let RegistrySettings { pattern: _, auth, tls, plain_http, limits, without, alternatives } = settings;
    let client = tls.client.as_ref();
    let reached = [
        Some(login(auth)),
        plain_http.then(|| "plain HTTP".to_owned()),
        tls.ca_file.as_ref().map(|path| format!("CA of `{}`", path.display())),
        client.map(|client| format!("client certificate `{}`", client.certificate.display())),
        client.map(|client| format!("its key from {}", place(&client.key))),
        tls.skip_verify.then(|| "certificates are not checked".to_owned()),
    ];
    let others = alternatives.iter().filter_map(|alternative| alternative.of(repository));
    let others = others.map(|other| format!("the same at `{other}`"));
    let without = without.iter().map(|trick| format!("without `{}`", trick.as_str()));
    reached.into_iter().flatten().chain(limits_in_words(limits)).chain(others).chain(without).collect()
}

fn limits_in_words(limits: &Limits) -> impl Iterator<Item = String> {
    let Limits { concurrency, requests_per_second, manifest_writes_per_second, bandwidth, pulls } = limits;
    [
        concurrency.map(|most| format!("at most {most} requests at once")),
        requests_per_second.map(|most| format!("at most {most} requests per second")),
        manifest_writes_per_second.map(|most| format!("at most {most} manifests written per second")),
        bandwidth.map(|most| format!("at most {} per second", text::bytes(most))),
        pulls.as_ref().map(pulls_in_words),
    ]
    .into_iter()
    .flatten()
}

fn pulls_in_words(PullLimit { count, per, keep_free }: &PullLimit) -> String {
    let per = text::duration(*per);
    match (count, keep_free) {
        (Some(count), 0) => format!("at most {count} pulls in {per}"),
        (Some(count), kept) => format!("at most {count} pulls in {per}, {kept} of them left to others"),
        (None, kept) => format!("{kept} of its pulls in {per} left to others"),
    }
}

fn login(auth: &Auth) -> String {
    match auth {
        Auth::Ambient => "credentials of `docker login`, if there are any".to_owned(),
        Auth::Anonymous => "no credentials".to_owned(),
        Auth::Basic { username, password } => format!("user `{username}`, password from {}", place(password)),
        Auth::Aws => "an identity of AWS, from the environment or this machine".to_owned(),
        Auth::Gcp => "an identity of Google Cloud, by a service account's key or from this machine".to_owned(),
        Auth::Azure => "an identity of Azure, from the environment or this machine".to_owned(),
        Auth::GithubApp { id, key } => format!("app {id} of GitHub's, its key from {}", place(key)),
    }
}

fn place(secret: &Secret) -> String {
    match secret {
        Secret::Env(name) => format!("environment variable `{name}`"),
        Secret::File(path) => format!("file `{}`", path.display()),
        Secret::Helper(name) => format!("helper `docker-credential-{name}`"),
    }
}
