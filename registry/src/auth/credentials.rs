//! Finds the credentials for a repository: in the settings, from a cloud, or where `docker login` and `podman login`
//! leave them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proto::Host;
use proto::settings::{Auth, Secret};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::cloud::aws::Aws;
use super::cloud::{Cloud, Doors};
use super::helper;
use crate::error::{Error, Kind};
use crate::options::Options;

/// Helpers may ask a cloud; what they say holds for hours. Short enough to see a new login.
const HELPER_AGE_MAX: Duration = Duration::from_secs(10 * 60);

/// The key under which Docker keeps the credentials of Docker Hub.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// What proves who we are. Has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// User and password.
    Password { username: String, password: String },
    /// A refresh token, to be exchanged at the token service.
    IdentityToken(String),
}

impl Credentials {
    /// Docker's rule: under the user `<token>` the secret is an identity token.
    pub(super) fn from_parts(username: String, secret: String) -> Self {
        if username == "<token>" { Self::IdentityToken(secret) } else { Self::Password { username, password: secret } }
    }
}

/// Credentials and where they come from, in words that hold no secret.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) credentials: Credentials,
    pub(crate) origin: String,
}

/// Where the credentials for one registry come from.
enum Source {
    None,
    Password {
        username: String,
        password: Secret,
    },
    Cloud(Box<Cloud>),
    /// What `docker login` and `podman login` left.
    Logins,
}

/// Looks up credentials for one registry.
pub(crate) struct Keyring {
    host: Host,
    source: Source,
    options: Arc<Options>,
    /// Answers of helpers, by helper; asked by one caller at a time.
    helpers: Mutex<HashMap<String, (Instant, Option<Credentials>)>>,
}

impl Keyring {
    /// `doors` leads to those who give identities, for an `auth` that needs them.
    ///
    /// # Errors
    /// Those of `doors`.
    pub(crate) fn new(
        host: Host,
        auth: Auth,
        options: Arc<Options>,
        doors: impl FnOnce() -> Result<Doors, Error>,
    ) -> Result<Self, Error> {
        let source = match auth {
            Auth::Anonymous => Source::None,
            Auth::Basic { username, password } => Source::Password { username, password },
            Auth::Aws => Source::Cloud(Box::new(Cloud::aws(host.clone(), doors()?))),
            Auth::Gcp => Source::Cloud(Box::new(Cloud::gcp(host.clone(), doors()?))),
            Auth::Azure => Source::Cloud(Box::new(Cloud::azure(host.clone(), doors()?))),
            Auth::GithubApp { id, key } => Source::Cloud(Box::new(Cloud::github(id, key, host.clone(), doors()?))),
            Auth::Ambient => Source::Logins,
        };
        Ok(Self { host, source, options, helpers: Mutex::default() })
    }

    /// The credentials for the repository `path`.
    ///
    /// # Errors
    /// `Unauthorized`: a place that must have some has none, or cannot be read; others if a cloud does not answer.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Found>, Error> {
        match &self.source {
            Source::None => Ok(None),
            Source::Password { username, password } => {
                let (password, origin) = secret(password, self.host.as_str(), &self.options).await?;
                let credentials = Credentials::Password { username: username.clone(), password };
                Ok(Some(Found { credentials, origin }))
            }
            // Apart, since it is large and every request waits for this.
            Source::Cloud(cloud) => Box::pin(cloud.find(path)).await.map(Some),
            Source::Logins => {
                for file in files(&self.options) {
                    if let Some(config) = read(&file).await?
                        && let Some(found) = self.look_in(&file, &config, path).await?
                    {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
        }
    }

    /// The identity of AWS's, if it is to be used.
    pub(crate) fn aws(&self) -> Option<&Aws> {
        match &self.source {
            Source::Cloud(cloud) => cloud.as_aws(),
            _ => None,
        }
    }

    /// Forgets what helpers and clouds said that was not accepted. What another caller has had anew by now stays.
    pub(crate) async fn forget(&self, is_refused: impl Fn(Option<&Credentials>) -> bool) {
        self.helpers.lock().await.retain(|_, (_, credentials)| !is_refused(credentials.as_ref()));
        if let Source::Cloud(cloud) = &self.source {
            Box::pin(cloud.forget(|credentials| is_refused(Some(credentials)))).await;
        }
    }

    async fn look_in(&self, file: &Path, config: &ConfigFile, path: &str) -> Result<Option<Found>, Error> {
        if let Some((_, name)) = config.cred_helpers.iter().find(|(key, _)| normal(key) == self.host.as_str()) {
            return self.ask(name).await;
        }
        if let Some((key, entry)) = config.entry(&self.host, path) {
            let credentials = entry.credentials().ok_or_else(|| {
                Error::new(Kind::Unauthorized, format!("read the credentials in `{}`", file.display()))
                    .because(format!("the `auth` of `{key}` is not base64 of `user:password`"))
            })?;
            let origin = format!("entry `{key}` of `{}`", file.display());
            return Ok(Some(Found { credentials, origin }));
        }
        match &config.creds_store {
            Some(name) => self.ask(name).await,
            None => Ok(None),
        }
    }

    async fn ask(&self, name: &str) -> Result<Option<Found>, Error> {
        let mut helpers = self.helpers.lock().await;
        let known = helpers.get(name).filter(|(asked, _)| asked.elapsed() < HELPER_AGE_MAX);
        let credentials = match known {
            Some((_, credentials)) => credentials.clone(),
            None => {
                let server = if self.host.as_str() == "docker.io" { HUB_KEY } else { self.host.as_str() };
                let credentials = helper::get(name, server, &self.options).await?;
                helpers.insert(name.to_owned(), (Instant::now(), credentials.clone()));
                credentials
            }
        };
        let origin = format!("credential helper `docker-credential-{name}`");
        Ok(credentials.map(|credentials| Found { credentials, origin }))
    }
}

/// The text of a secret, and where it comes from.
///
/// # Errors
/// `Unauthorized`: it is not there, not readable, or empty.
pub(crate) async fn secret(secret: &Secret, server: &str, options: &Options) -> Result<(String, String), Error> {
    let (origin, hint) = match secret {
        Secret::Env(name) => (format!("environment variable `{name}`"), format!("set `{name}`")),
        Secret::File(path) => (
            format!("file `{}`", path.display()),
            "create the file with the secret in it, or correct its path".to_owned(),
        ),
        Secret::Helper(name) => {
            let program = format!("docker-credential-{name}");
            (format!("credential helper `{program}`"), format!("store the secret of `{server}` with `{program}`"))
        }
    };
    let failed = |why: String| {
        Error::new(Kind::Unauthorized, format!("read a secret from {origin}")).because(why).hinting(hint.clone())
    };
    let text = match secret {
        Secret::Env(name) => options.env.get(name).ok_or_else(|| failed("it is not set".into()))?,
        Secret::File(path) => tokio::fs::read_to_string(path).await.map_err(|error| failed(error.to_string()))?,
        Secret::Helper(name) => match helper::get(name, server, options).await? {
            Some(Credentials::Password { password, .. }) => password,
            Some(Credentials::IdentityToken(token)) => token,
            None => return Err(failed("it has no credentials".into())),
        },
    };
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(failed("it is empty".into())),
        text => Ok((text.to_owned(), origin)),
    }
}

/// Where credentials may be, in the order in which we look. A file named on purpose is the only one.
fn files(options: &Options) -> Vec<PathBuf> {
    let env = |name: &str| options.env.get(name).map(PathBuf::from);
    if let Some(file) = options.auth_file.clone().or_else(|| env("REGISTRY_AUTH_FILE")) {
        return vec![file];
    }
    let docker = env("DOCKER_CONFIG").or_else(|| env("HOME").map(|home| home.join(".docker")));
    let podman = env("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json"));
    docker.map(|folder| folder.join("config.json")).into_iter().chain(podman).collect()
}

async fn read(file: &Path) -> Result<Option<ConfigFile>, Error> {
    let failed = || Error::new(Kind::Unauthorized, format!("read the credentials in `{}`", file.display()));
    let text = match tokio::fs::read(file).await {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed().because(error.to_string())),
    };
    // The parser's message would quote what it stumbled over.
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| failed().because(format!("not readable at line {}, column {}", error.line(), error.column())))
}

/// Docker's `config.json`, as far as it concerns credentials; Podman's `auth.json` is the same. Has no `Debug`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigFile {
    #[serde(default)]
    auths: HashMap<String, Entry>,
    #[serde(default)]
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl ConfigFile {
    /// The entry for the longest part of `host/path` that has one with credentials in it; with a `credsStore`, Docker
    /// leaves empty ones.
    fn entry(&self, host: &Host, path: &str) -> Option<(&str, &Entry)> {
        let name = format!("{host}/{path}");
        let covers = |key: &str| name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let entries = self.auths.iter().filter(|(_, entry)| !entry.is_empty());
        let matching = entries.map(|(key, entry)| (normal(key), key, entry)).filter(|(normal, ..)| covers(normal));
        matching.max_by_key(|(normal, ..)| normal.len()).map(|(_, key, entry)| (key.as_str(), entry))
    }
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.auth.is_empty() && self.username.is_empty() && self.identitytoken.is_empty()
    }

    fn credentials(&self) -> Option<Credentials> {
        if !self.identitytoken.is_empty() {
            return Some(Credentials::IdentityToken(self.identitytoken.clone()));
        }
        if self.auth.is_empty() {
            return Some(Credentials::from_parts(self.username.clone(), self.password.clone()));
        }
        let text = String::from_utf8(STANDARD.decode(self.auth.trim()).ok()?).ok()?;
        let (username, password) = text.split_once(':')?;
        // Docker pads the password with NUL.
        Some(Credentials::from_parts(username.to_owned(), password.trim_end_matches('\0').to_owned()))
    }
}

/// A key of the file as `host` or `host/path`: old ones are URLs, and Docker Hub has several names.
fn normal(key: &str) -> String {
    let key = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    let (host, path) = key.split_once('/').map_or((key, None), |(host, path)| (host, Some(path)));
    let host = host.parse::<Host>().map_or_else(|_| host.to_owned(), |host| host.to_string());
    path.map_or(host.clone(), |path| format!("{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(config: &str, host: &str, path: &str) -> Option<String> {
        let config: ConfigFile = serde_json::from_str(config).unwrap();
        let (_, entry) = config.entry(&host.parse().unwrap(), path)?;
        Some(match entry.credentials()? {
            Credentials::Password { username, password } => format!("{username}:{password}"),
            Credentials::IdentityToken(token) => format!("token {token}"),
        })
    }

    const CONFIG: &str = r#"{ "auths": {
        "https://index.docker.io/v1/": { "auth": "aHViOnB3" },
        "quay.io": { "auth": "cTpxOnE=" },
        "quay.io/team": { "username": "t", "password": "p" },
        "https://old.example/v2/": { "auth": "bzpv" },
        "azure.example": { "auth": "MDAwMDo=", "identitytoken": "refresh" },
        "empty.example": {},
        "localhost:5000": { "auth": "bDps" }
    } }"#;

    #[test]
    fn entries_are_found_by_host_path_and_old_urls() {
        for (host, path, expected) in [
            ("docker.io", "library/alpine", Some("hub:pw")),
            ("quay.io", "other/a", Some("q:q:q")),
            ("quay.io", "team/a", Some("t:p")),
            ("quay.io", "teams/a", Some("q:q:q")),
            ("old.example", "a", Some("o:o")),
            ("azure.example", "a", Some("token refresh")),
            ("localhost:5000", "a", Some("l:l")),
            ("localhost:5001", "a", None),
            ("empty.example", "a", None),
        ] {
            assert_eq!(chosen(CONFIG, host, path).as_deref(), expected, "{host}/{path}");
        }
    }

    #[test]
    fn files_are_looked_for_where_the_tools_leave_them() {
        let files = |variables: &'static [(&str, &str)]| {
            let env =
                crate::Env::from_fn(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
            let found = super::files(&Options { env, ..Options::default() });
            found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        let home = files(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/u")]);
        assert_eq!(home, ["/h/.docker/config.json", "/run/u/containers/auth.json"]);
        assert_eq!(files(&[("HOME", "/h"), ("DOCKER_CONFIG", "/d")]), ["/d/config.json"]);
        assert_eq!(files(&[("HOME", "/h"), ("REGISTRY_AUTH_FILE", "/a.json")]), ["/a.json"]);
        assert_eq!(files(&[]), [""; 0]);
    }
}
