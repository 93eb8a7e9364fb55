//! Tokens: what to ask a token service for, its answer, and how long that holds.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use proto::Repository;
use reqwest::Method;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Deserialize;
use tokio::time::Instant;

use super::credentials::Credentials;
use crate::error::{Error, Kind};
use crate::proxy::is_loopback;
use crate::wire::{Request, Wire};

/// Token answers are some kilobytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// How long a token holds that does not say it ("Token Authentication Specification": 60 s).
const LIFETIME: Duration = Duration::from_secs(60);

/// Long enough before its end that a request on the way is not caught by it.
const MARGIN_MAX: Duration = Duration::from_secs(30);

/// The rights that one token must give, by repository path.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scopes(BTreeMap<String, &'static str>);

impl Scopes {
    pub(crate) fn pull(repository: &Repository) -> Self {
        Self(BTreeMap::from([(repository.path().to_owned(), "pull")]))
    }

    pub(crate) fn push(repository: &Repository) -> Self {
        Self(BTreeMap::from([(repository.path().to_owned(), "pull,push")]))
    }

    /// And the right to read `repository`: a mount needs it in the same token.
    pub(crate) fn and_pull(mut self, repository: &Repository) -> Self {
        self.0.entry(repository.path().to_owned()).or_insert("pull");
        self
    }

    /// The scope of each repository, and what `extra` (from a challenge) asks beyond them.
    fn texts(&self, extra: Option<&str>) -> Vec<String> {
        let mut texts: Vec<_> = self.0.iter().map(|(path, actions)| format!("repository:{path}:{actions}")).collect();
        for scope in extra.unwrap_or_default().split_whitespace() {
            if !texts.iter().any(|text| text == scope) {
                texts.push(scope.to_owned());
            }
        }
        texts
    }
}

/// A token, until when it is used. Has no `Debug`.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    until: Instant,
}

impl Token {
    /// What is sent after `Bearer`.
    fn text(&self) -> &str {
        self.header.to_str().ok().and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default()
    }

    pub(super) fn is_fresh(&self) -> bool {
        Instant::now() < self.until
    }
}

/// Where tokens come from.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) realm: Url,
    pub(super) service: Option<String>,
}

impl Service {
    /// # Errors
    /// `Refused`: the realm is no URL, or would carry credentials from HTTPS over plain HTTP.
    pub(super) fn new(realm: &str, service: Option<String>, registry: &Url) -> Result<Self, Error> {
        let refused = |why: &str| Error::new(Kind::Refused, format!("read the challenge of {registry}")).because(why);
        let realm = Url::parse(realm).map_err(|_| refused("its realm is not a URL"))?;
        match realm.scheme() {
            "https" => {}
            "http" if registry.scheme() == "http" || is_loopback(&realm) => {}
            _ => return Err(refused("its token service does not speak HTTPS")),
        }
        Ok(Self { realm, service })
    }

    /// Gets a token: with user and password by `GET`, with an identity token by the OAuth2 refresh grant, else
    /// anonymously.
    pub(super) async fn token(
        &self,
        wire: &Wire,
        credentials: Option<&Credentials>,
        scopes: &Scopes,
        extra: Option<&str>,
    ) -> Result<Token, Error> {
        let scopes = scopes.texts(extra);
        let (request, authorization) = match credentials {
            Some(Credentials::IdentityToken(token)) => (self.refresh(token, &scopes), None),
            Some(Credentials::Password { username, password }) => {
                (self.query(Some(username), &scopes), Some(basic(username, password)))
            }
            None => (self.query(None, &scopes), None),
        };
        let mut answer = wire.send(&request, authorization.as_ref()).await?.ok().await.map_err(not_of_the_registry)?;
        let body = answer.bytes(ANSWER_BYTES_MAX).await?;
        // The parser's message could quote the token.
        let answer = serde_json::from_slice::<Answer>(&body).ok().and_then(|answer| answer.token(Timestamp::now()));
        answer
            .inspect(|token| wire.secrets.note(token.text()))
            .ok_or_else(|| wire.error(Kind::Refused, &request).because("the answer holds no token"))
    }

    fn query(&self, account: Option<&str>, scopes: &[String]) -> Request {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(self.service.iter().map(|service| ("service", service)));
            query.extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
            query.extend_pairs(account.map(|account| ("account", account)));
        }
        Request::new(Method::GET, url)
    }

    fn refresh(&self, token: &str, scopes: &[String]) -> Request {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token").append_pair("client_id", "image-factory");
        form.append_pair("refresh_token", token);
        form.append_pair("service", self.service.as_deref().unwrap_or_default());
        form.append_pair("scope", &scopes.join(" "));
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let mut request = Request::new(Method::POST, self.realm.clone()).header(CONTENT_TYPE, kind);
        request.body = form.finish().into();
        request
    }
}

/// A refusal of the token service is no word of the registry: a 404 does not mean that an image is not there.
fn not_of_the_registry(error: Error) -> Error {
    match error.kind() {
        Kind::NotFound | Kind::Refused => error.with_kind(Kind::Unauthorized),
        _ => error,
    }
}

/// `Basic` of user and password, hidden from debug output.
pub(super) fn basic(username: &str, password: &str) -> HeaderValue {
    hidden(&format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
        .unwrap_or_else(|| HeaderValue::from_static("Basic"))
}

fn hidden(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
    issued_at: Option<String>,
}

impl Answer {
    fn token(self, now: Timestamp) -> Option<Token> {
        let lifetime = self.lifetime(now);
        let text = self.token.or(self.access_token).filter(|token| !token.is_empty())?;
        Some(Token { header: hidden(&format!("Bearer {text}"))?, until: Instant::now() + lifetime })
    }

    /// How long the token is used: its lifetime less its age and a margin. Clocks differ, so it is used for a moment
    /// in any case; a registry that finds it too old says so.
    fn lifetime(&self, now: Timestamp) -> Duration {
        let day = Duration::from_secs(24 * 60 * 60);
        let lifetime = self.expires_in.map_or(LIFETIME, Duration::from_secs).min(day);
        let issued = self.issued_at.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        let age = issued.map(|issued| Duration::try_from(now.duration_since(issued)).unwrap_or_default());
        let left = lifetime.saturating_sub(age.unwrap_or_default());
        left.saturating_sub((lifetime / 4).min(MARGIN_MAX)).max(Duration::from_secs(1))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_used_for_its_lifetime_less_age_and_margin() {
        let now: Timestamp = "2026-01-01T00:05:00Z".parse().unwrap();
        let seconds = |answer: &str| serde_json::from_str::<Answer>(answer).unwrap().lifetime(now).as_secs();
        assert_eq!(seconds(r#"{"token":"t"}"#), 45);
        assert_eq!(seconds(r#"{"token":"t","expires_in":300}"#), 270);
        assert_eq!(seconds(r#"{"token":"t","expires_in":300,"issued_at":"2026-01-01T00:04:00Z"}"#), 210);
        assert_eq!(seconds(r#"{"token":"t","expires_in":300,"issued_at":"2025-01-01T00:00:00Z"}"#), 1);
        assert_eq!(seconds(r#"{"token":"t","expires_in":300,"issued_at":"2027-01-01T00:00:00Z"}"#), 270);
        assert_eq!(seconds(r#"{"token":"t","expires_in":300,"issued_at":"odd"}"#), 270);
        assert_eq!(seconds(r#"{"token":"t","expires_in":99999999999}"#), 24 * 60 * 60 - 30);
    }

    #[test]
    fn either_name_of_the_token_is_taken_and_an_empty_one_is_none() {
        let token = |answer: &str| serde_json::from_str::<Answer>(answer).unwrap().token(Timestamp::now());
        assert!(token(r#"{"access_token":"a"}"#).is_some());
        assert!(token(r#"{"token":""}"#).is_none() && token("{}").is_none());
        assert!(token("{\"token\":\"a\\nb\"}").is_none());
    }

    #[test]
    fn scopes_of_a_challenge_are_added_once() {
        let repository = "r.example/a".parse().unwrap();
        let scopes = Scopes::push(&repository).and_pull(&"r.example/b".parse().unwrap()).and_pull(&repository);
        let texts = scopes.texts(Some("repository:a:pull,push registry:catalog:*"));
        assert_eq!(texts, ["repository:a:pull,push", "repository:b:pull", "registry:catalog:*"]);
    }

    #[test]
    fn credentials_never_go_from_https_to_a_plain_token_service() {
        let service = |realm: &str, registry: &str| Service::new(realm, None, &Url::parse(registry).unwrap()).is_ok();
        assert!(service("https://auth/", "https://r/") && service("http://auth/", "http://r/"));
        assert!(service("http://127.0.0.1:1/", "https://r/") && !service("http://auth/", "https://r/"));
        assert!(!service("file:///etc", "http://r/") && !service("/token", "http://r/"));
    }
}
