//! The token service: tokens for scopes, by GET or by OAuth2 POST (distribution, "Token Authentication").

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode};
use proto::Digest;
use serde_json::json;
use url::form_urlencoded;

use crate::answer::Answer;
use crate::auth::{Account, Need, Tokens, basic};
use crate::body::RequestBody;
use crate::serve::Service;

/// The tokens that were given out.
#[derive(Debug, Default)]
pub(crate) struct TokenTable {
    grants: Mutex<HashMap<String, Grant>>,
    issued: AtomicU64,
}

#[derive(Debug)]
struct Grant {
    /// Repository and action.
    rights: Vec<(String, String)>,
    expires: Instant,
}

impl TokenTable {
    pub(crate) fn is_valid(&self, token: &str) -> bool {
        self.grants().get(token).is_some_and(|grant| grant.expires > Instant::now())
    }

    pub(crate) fn allows(&self, token: &str, need: &Need<'_>) -> bool {
        let grants = self.grants();
        let rights = grants.get(token).map(|grant| grant.rights.as_slice()).unwrap_or_default();
        rights.iter().any(|(repository, action)| repository == need.repository && action == need.action)
    }

    /// Makes all tokens invalid.
    pub(crate) fn revoke(&self) {
        self.grants().clear();
    }

    /// The tokens given out, without those that were revoked.
    pub(crate) fn issued(&self) -> Vec<String> {
        self.grants().keys().cloned().collect()
    }

    fn issue(&self, rights: Vec<(String, String)>, lifetime: Duration) -> String {
        let number = self.issued.fetch_add(1, Ordering::SeqCst);
        let token = Digest::of(format!("token {number}").as_bytes()).hex().to_owned();
        self.grants().insert(token.clone(), Grant { rights, expires: Instant::now() + lifetime });
        token
    }

    fn grants(&self) -> MutexGuard<'_, HashMap<String, Grant>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves `/token`.
pub(crate) struct TokenService {
    pub(crate) settings: Tokens,
    pub(crate) table: Arc<TokenTable>,
}

/// The form fields or the query of a token request.
struct Ask(Vec<(String, String)>);

impl Ask {
    fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Repository and actions of each scope; one parameter may hold several, and there may be several parameters.
    fn scopes(&self) -> Vec<(&str, Vec<&str>)> {
        let values = self.0.iter().filter(|(key, _)| key == "scope").map(|(_, value)| value.as_str());
        let parse = |scope: &'_ str| {
            let (repository, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
            Some((repository.len(), actions.len()))
        };
        values
            .flat_map(|value| value.split(' '))
            .filter_map(|scope| {
                let (name, actions) = parse(scope)?;
                let start = "repository:".len();
                Some((&scope[start..start + name], scope[scope.len() - actions..].split(',').collect()))
            })
            .collect()
    }
}

impl Service for TokenService {
    fn admit(&self, _: &Parts) -> Result<(), Box<Answer>> {
        Ok(())
    }

    async fn answer(&self, head: &Parts, body: RequestBody) -> Answer {
        if !matches!(head.uri.path(), "/token" | "/v2/auth") {
            return Answer::error(StatusCode::NOT_FOUND, "UNSUPPORTED", "only /token is served here");
        }
        match head.method {
            Method::GET => {
                let ask = Ask::parse(head.uri.query().unwrap_or_default().as_bytes());
                self.get(&head.headers, &ask)
            }
            Method::POST => match body.whole(64 * 1024).await {
                Some(form) => self.post(&Ask::parse(&form)),
                None => refuse(StatusCode::BAD_REQUEST, "the form could not be read"),
            },
            _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "GET or POST"),
        }
    }
}

impl TokenService {
    fn get(&self, headers: &HeaderMap, ask: &Ask) -> Answer {
        match basic(headers) {
            None if self.settings.anonymous.is_none() => refuse(StatusCode::UNAUTHORIZED, "authentication required"),
            None => self.grant(None, ask, false),
            Some((user, password)) => match self.account(&user, &password) {
                Some(account) => self.grant(Some(&account), ask, ask.get("offline_token") == Some("true")),
                None => refuse(StatusCode::UNAUTHORIZED, "wrong user or password"),
            },
        }
    }

    fn post(&self, ask: &Ask) -> Answer {
        let field = |name| ask.get(name).unwrap_or_default();
        let account = match field("grant_type") {
            "refresh_token" => self.find(|account| account.identity_token.as_deref() == Some(field("refresh_token"))),
            "password" => self.account(field("username"), field("password")),
            _ => return refuse(StatusCode::BAD_REQUEST, "grant_type must be refresh_token or password"),
        };
        match account {
            Some(account) => self.grant(Some(&account), ask, true),
            None => refuse(StatusCode::UNAUTHORIZED, "wrong credentials"),
        }
    }

    fn account(&self, user: &str, password: &str) -> Option<Account> {
        self.find(|account| account.user == user && account.password == password)
    }

    fn find(&self, is_it: impl Fn(&Account) -> bool) -> Option<Account> {
        let settled = self.settings.accounts.iter().find(|account| is_it(account)).cloned();
        settled.or_else(|| self.settings.issued.find(is_it))
    }

    /// Gives a token for what was asked for and is allowed; that may be nothing.
    fn grant(&self, account: Option<&Account>, ask: &Ask, offline: bool) -> Answer {
        let allows = |repository: &str, action: &str| match account {
            Some(account) => account.allows(repository, action),
            None => self.settings.anonymous.as_ref().is_some_and(|rights| rights.allow(repository, action)),
        };
        let mut rights = Vec::new();
        for (repository, actions) in ask.scopes().into_iter().take(self.settings.repositories_per_token) {
            let actions = if actions == ["*"] { vec!["pull", "push", "delete"] } else { actions };
            let granted = actions.into_iter().filter(|action| allows(repository, action));
            rights.extend(granted.map(|action| (repository.to_owned(), action.to_owned())));
        }
        let token = self.table.issue(rights, self.settings.lifetime);
        let mut document = json!({ "access_token": token });
        if !self.settings.access_token_only {
            document["token"] = token.into();
        }
        if self.settings.says_lifetime {
            document["expires_in"] = self.settings.lifetime.as_secs().into();
        }
        if let Some(refresh) = account.and_then(|account| account.identity_token.as_deref()).filter(|_| offline) {
            document["refresh_token"] = refresh.into();
        }
        Answer::json(StatusCode::OK, &document)
    }
}

fn refuse(status: StatusCode, why: &str) -> Answer {
    Answer::error(status, "UNAUTHORIZED", why)
}
