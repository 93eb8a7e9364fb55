//! Authorizes requests to one registry: credentials, challenge, and a token cache with single flight.

mod challenge;
mod cloud;
mod credentials;
mod helper;
mod token;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use crate::error::{Error, Kind};
use crate::wire::Wire;
use challenge::Challenge;
pub(crate) use cloud::Doors;
pub(crate) use cloud::aws::Aws;
pub(crate) use cloud::is_azure;
pub(crate) use credentials::{Credentials, Found, Keyring, secret};
pub(crate) use token::Scopes;
use token::{Service, Token, basic};

/// Above this many tokens, those that are over are thrown away.
const TOKENS_KEPT: usize = 1024;

/// How long credentials that a token service refused are not tried again: a login for each image of a run would lock
/// the account.
const REFUSAL_KEPT: Duration = Duration::from_secs(5 * 60);

/// How a registry wants to be authorized.
#[derive(Clone, PartialEq, Eq)]
enum Scheme {
    None,
    Basic,
    Bearer(Service),
}

/// A place for one token; who holds its lock fetches it, the others wait for that.
type Place = Arc<tokio::sync::Mutex<Option<Token>>>;

/// Whether a 401 says that the token is good but gives too few rights.
pub(crate) fn lacks_scope(headers: &HeaderMap) -> bool {
    let challenge = challenge::best(headers);
    matches!(challenge, Some(Challenge::Bearer { error: Some(error), .. }) if error == "insufficient_scope")
}

/// Authorizes the requests to one registry.
pub(crate) struct Authenticator {
    wire: Wire,
    keyring: Keyring,
    scheme: Mutex<Scheme>,
    tokens: Mutex<HashMap<(String, Scopes), Place>>,
    logins: Logins,
}

/// What became of logins at the token service.
#[derive(Default)]
struct Logins {
    /// Some login went well, so others need not wait for its outcome.
    proven: AtomicBool,
    /// Held by a login until one went well: if it is refused, the others learn of that in place of trying.
    first: tokio::sync::Mutex<()>,
    refused: Mutex<Option<(Instant, Credentials)>>,
}

impl Logins {
    fn were_refused(&self, credentials: Option<&Credentials>) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.as_ref().is_some_and(|(at, which)| at.elapsed() < REFUSAL_KEPT && credentials == Some(which))
    }

    fn note_refusal(&self, credentials: Option<&Credentials>) {
        let refusal = credentials.map(|credentials| (Instant::now(), credentials.clone()));
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }
}

impl Authenticator {
    pub(crate) fn new(wire: Wire, keyring: Keyring) -> Self {
        Self { wire, keyring, scheme: Mutex::new(Scheme::None), tokens: Mutex::default(), logins: Logins::default() }
    }

    /// Takes note of what a 401 of the registry at `base` asks for.
    pub(crate) fn learn(&self, headers: &HeaderMap, base: &Url) -> Result<(), Error> {
        if let Some(challenge) = challenge::best(headers) {
            self.take(&challenge, base)?;
        }
        Ok(())
    }

    fn take(&self, challenge: &Challenge, base: &Url) -> Result<(), Error> {
        let scheme = match challenge {
            Challenge::Basic => Scheme::Basic,
            Challenge::Bearer { realm, service, .. } => Scheme::Bearer(Service::new(realm, service.clone(), base)?),
        };
        *self.scheme.lock().unwrap_or_else(PoisonError::into_inner) = scheme;
        Ok(())
    }

    /// The name of the scheme for people: `none`, `Basic`, ``Bearer from `https://…` ``.
    pub(crate) fn scheme_name(&self) -> String {
        match self.scheme() {
            Scheme::None => "none".into(),
            Scheme::Basic => "Basic".into(),
            Scheme::Bearer(service) => format!("Bearer from `{}`", service.realm.host_str().unwrap_or_default()),
        }
    }

    /// Where tokens come from, and for which service they are asked, if the registry takes tokens.
    pub(crate) fn token_service(&self) -> Option<(Url, Option<String>)> {
        match self.scheme() {
            Scheme::Bearer(service) => Some((service.realm, service.service)),
            Scheme::None | Scheme::Basic => None,
        }
    }

    fn scheme(&self) -> Scheme {
        self.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The credentials for the repository `path`. Whoever gets them here may send them: they are masked from now on.
    pub(crate) async fn credentials(&self, path: &str) -> Result<Option<Found>, Error> {
        let found = self.keyring.find(path).await?;
        Ok(found.inspect(|found| self.wire.secrets.note_credentials(&found.credentials)))
    }

    /// The `Authorization` of a request that `scopes` cover, in the repository `path`; none where none is asked for.
    pub(crate) async fn authorize(&self, path: &str, scopes: &Scopes) -> Result<Option<HeaderValue>, Error> {
        match self.scheme() {
            Scheme::None => Ok(None),
            Scheme::Basic => self.password_header(path).await,
            Scheme::Bearer(service) => self.token(path, scopes, &service, None, None).await.map(Some),
        }
    }

    /// Another `Authorization` after `refused` was answered by 401 with `headers`; none if there is no other.
    pub(crate) async fn renew(
        &self,
        path: &str,
        scopes: &Scopes,
        base: &Url,
        headers: &HeaderMap,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Error> {
        let Some(challenge) = challenge::best(headers) else { return Ok(None) };
        self.take(&challenge, base)?;
        if let Challenge::Bearer { scope, error, .. } = &challenge {
            // A token that lacks a right was made for these credentials: only more scope can help.
            if refused.is_some() && error.as_deref() == Some("insufficient_scope") && scope.is_none() {
                return Ok(None);
            }
            let Scheme::Bearer(service) = self.scheme() else { return Ok(None) };
            return self.token(path, scopes, &service, scope.as_deref(), refused).await.map(Some);
        }
        if refused.is_some() {
            let is_refused = |kept: Option<&Credentials>| match kept {
                Some(Credentials::Password { username, password }) => Some(&basic(username, password)) == refused,
                Some(Credentials::IdentityToken(_)) | None => false,
            };
            self.keyring.forget(is_refused).await;
        }
        let new = self.authorize(path, scopes).await?;
        Ok(new.filter(|new| Some(new) != refused))
    }

    /// The identity of AWS's, for what its registries serve beside the specification.
    pub(crate) fn aws(&self) -> Option<&Aws> {
        self.keyring.aws()
    }

    /// Whether there are credentials for `path`: it decides what a refusal means.
    pub(crate) async fn has_credentials(&self, path: &str) -> bool {
        matches!(self.credentials(path).await, Ok(Some(_)))
    }

    /// User and password as a header, if there are some.
    pub(crate) async fn password_header(&self, path: &str) -> Result<Option<HeaderValue>, Error> {
        Ok(self.password(path).await?.map(|(username, password)| basic(&username, &password)))
    }

    async fn password(&self, path: &str) -> Result<Option<(String, String)>, Error> {
        Ok(match self.credentials(path).await?.map(|found| found.credentials) {
            Some(Credentials::Password { username, password }) => Some((username, password)),
            Some(Credentials::IdentityToken(_)) | None => None,
        })
    }

    /// A token for `scopes`: the kept one unless it is over or was `refused`.
    async fn token(
        &self,
        path: &str,
        scopes: &Scopes,
        service: &Service,
        extra: Option<&str>,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Error> {
        let place = self.place(path, scopes);
        let mut kept = place.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| token.is_fresh() && Some(&token.header) != refused) {
            return Ok(token.header.clone());
        }
        *kept = None;
        let credentials = self.credentials(path).await?.map(|found| found.credentials);
        let token = match self.log_in(credentials.as_ref(), scopes, service, extra).await {
            // Refused, now or to another caller, and forgotten. What ended before its time is had anew.
            Err(error) if error.kind() == Kind::Unauthorized && matches!(error.status(), Some(401) | None) => {
                let other = self.credentials(path).await?.map(|found| found.credentials);
                if other == credentials {
                    return Err(error);
                }
                self.log_in(other.as_ref(), scopes, service, extra).await?
            }
            token => token?,
        };
        Ok(kept.insert(token).header.clone())
    }

    async fn log_in(
        &self,
        credentials: Option<&Credentials>,
        scopes: &Scopes,
        service: &Service,
        extra: Option<&str>,
    ) -> Result<Token, Error> {
        let proven = self.logins.proven.load(Ordering::Relaxed);
        let _first = if proven { None } else { Some(self.logins.first.lock().await) };
        if self.logins.were_refused(credentials) {
            let error =
                Error::new(Kind::Unauthorized, format!("log in at `{}`", service.realm.host_str().unwrap_or_default()));
            return Err(error.because("these credentials were refused before, and are not tried again for a while"));
        }
        let token = match service.token(&self.wire, credentials, scopes, extra).await {
            Err(error) if error.kind() == Kind::Unauthorized => {
                // In this order: who learns of the refusal looks for others.
                self.keyring.forget(|kept| kept == credentials).await;
                if error.status() == Some(401) {
                    self.logins.note_refusal(credentials);
                }
                return Err(error);
            }
            token => token?,
        };
        self.logins.proven.store(true, Ordering::Relaxed);
        Ok(token)
    }

    /// Credentials may differ by path, so a token is kept by the path that it was asked for.
    fn place(&self, path: &str, scopes: &Scopes) -> Place {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_KEPT {
            // One that somebody waits for, or is about to, stays.
            tokens.retain(|_, place| {
                Arc::strong_count(place) > 1
                    || place.try_lock().is_ok_and(|token| token.as_ref().is_some_and(Token::is_fresh))
            });
        }
        tokens.entry((path.to_owned(), scopes.clone())).or_default().clone()
    }
}
