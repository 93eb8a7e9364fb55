//! Who may do what in a registry, and how the registry asks: not at all, for a password, or for a token.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, StatusCode};

use crate::answer::Answer;
use crate::token::TokenTable;

/// How a registry asks who is there.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Auth {
    /// Everyone may do everything.
    #[default]
    None,
    /// `Basic`: user and password with each request.
    Basic(Vec<Account>),
    /// The same, for accounts that come and go while the registry runs, as a cloud issues them.
    Issued(Accounts),
    /// `Bearer`: tokens of a token service, which is started with the registry.
    Tokens(Tokens),
}

/// Accounts that come and go. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Accounts(Arc<RwLock<Vec<Account>>>);

impl Accounts {
    /// One more.
    pub fn add(&self, account: Account) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(account);
    }

    /// Ends all of them, as if their time were over.
    pub fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn find(&self, is_it: impl Fn(&Account) -> bool) -> Option<Account> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).iter().find(|account| is_it(account)).cloned()
    }
}

impl From<Vec<Account>> for Accounts {
    fn from(accounts: Vec<Account>) -> Self {
        Self(Arc::new(RwLock::new(accounts)))
    }
}

/// A user and what they may do.
#[derive(Clone)]
pub struct Account {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) identity_token: Option<String>,
    rights: Option<Rights>,
}

/// The settings of a token service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Tokens {
    /// Who may get tokens.
    pub accounts: Vec<Account>,
    /// Who else may, while the service runs.
    pub issued: Accounts,
    /// What tokens without a user may do; without it there are none.
    pub anonymous: Option<Rights>,
    /// How long a token is valid.
    pub lifetime: Duration,
    /// Whether the answer says `expires_in`; a client that is not told must assume 60 seconds.
    pub says_lifetime: bool,
    /// How many repositories one token may name; further scopes are left out.
    pub repositories_per_token: usize,
    /// Whether the token is in `access_token` only, as OAuth2 has it, and not also in `token`.
    pub access_token_only: bool,
}

/// Actions per repository: exact names, or prefixes that end in `*`.
#[derive(Debug, Clone, Default)]
pub struct Rights(Vec<(String, Vec<String>)>);

impl Default for Tokens {
    fn default() -> Self {
        Self {
            accounts: Vec::new(),
            issued: Accounts::default(),
            anonymous: None,
            lifetime: Duration::from_secs(300),
            says_lifetime: true,
            repositories_per_token: usize::MAX,
            access_token_only: false,
        }
    }
}

impl Tokens {
    /// A token service for these accounts, with nothing for anyone else.
    pub fn new(accounts: impl IntoIterator<Item = Account>) -> Self {
        Self { accounts: accounts.into_iter().collect(), ..Self::default() }
    }
}

impl Account {
    /// A user who may do everything.
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.to_owned(), password: password.to_owned(), identity_token: None, rights: None }
    }

    /// Allows `actions` (`pull`, `push`, `delete`, with commas between) on `repository`, and what else was allowed so.
    #[must_use]
    pub fn may(mut self, repository: &str, actions: &str) -> Self {
        self.rights = Some(self.rights.unwrap_or_default().and(repository, actions));
        self
    }

    /// Lets the token service take `token` in place of the password (OAuth2 `refresh_token`).
    #[must_use]
    pub fn identity_token(mut self, token: &str) -> Self {
        self.identity_token = Some(token.to_owned());
        self
    }

    pub(crate) fn allows(&self, repository: &str, action: &str) -> bool {
        self.rights.as_ref().is_none_or(|rights| rights.allow(repository, action))
    }
}

/// Without the secrets.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("user", &self.user).field("rights", &self.rights).finish_non_exhaustive()
    }
}

impl Rights {
    /// The right to pull from every repository.
    pub fn pull_all() -> Self {
        Self::default().and("*", "pull")
    }

    /// Allows `actions` on `repository` too.
    #[must_use]
    pub fn and(mut self, repository: &str, actions: &str) -> Self {
        self.0.push((repository.to_owned(), actions.split(',').map(str::to_owned).collect()));
        self
    }

    pub(crate) fn allow(&self, repository: &str, action: &str) -> bool {
        let names = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => repository.starts_with(prefix),
            None => pattern == repository,
        };
        self.0.iter().any(|(pattern, actions)| names(pattern) && actions.iter().any(|allowed| allowed == action))
    }
}

/// What a request needs: one action on one repository.
pub(crate) struct Need<'a> {
    pub(crate) repository: &'a str,
    pub(crate) action: &'static str,
}

/// The check at the registry's door.
pub(crate) enum Door {
    Open,
    Basic(Accounts),
    Bearer { realm: String, service: &'static str, settings: Tokens, tokens: std::sync::Arc<TokenTable> },
}

impl Door {
    /// Refuses a request that lacks one of the rights it needs; a request without needs must still be known.
    pub(crate) fn admit(&self, head: &Parts, needs: &[Need<'_>]) -> Result<(), Box<Answer>> {
        match self {
            Self::Open => Ok(()),
            Self::Basic(accounts) => {
                let account = basic(&head.headers).and_then(|(user, password)| {
                    accounts.find(|account| account.user == user && account.password == password)
                });
                let Some(account) = account else {
                    let answer = Answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
                    return Err(answer.with(WWW_AUTHENTICATE, "Basic realm=\"sandbox\"").into());
                };
                if needs.iter().all(|need| account.allows(need.repository, need.action)) {
                    return Ok(());
                }
                Err(Answer::error(StatusCode::FORBIDDEN, "DENIED", "requested access to the resource is denied").into())
            }
            Self::Bearer { realm, service, tokens, .. } => {
                let token = bearer(&head.headers);
                let known = token.is_some_and(|token| tokens.is_valid(token));
                let allowed = |need: &Need<'_>| token.is_some_and(|token| tokens.allows(token, need));
                if known && needs.iter().all(allowed) {
                    Ok(())
                } else {
                    Err(challenge(realm, service, needs, known).into())
                }
            }
        }
    }

    /// Whether somebody of whom nothing is known may pull from `repository`.
    pub(crate) fn lets_anyone_pull(&self, repository: &str) -> bool {
        match self {
            Self::Open => true,
            Self::Basic(_) => false,
            Self::Bearer { settings, .. } => {
                settings.anonymous.as_ref().is_some_and(|rights| rights.allow(repository, "pull"))
            }
        }
    }

    /// The check of an interface that takes user and password, and no token, even where the registry takes tokens.
    pub(crate) fn admit_by_password(&self, head: &Parts, repository: &str) -> Result<(), Box<Answer>> {
        let is_anonymous = !head.headers.contains_key(AUTHORIZATION);
        match self {
            Self::Bearer { settings, .. } if !(is_anonymous && self.lets_anyone_pull(repository)) => {
                Self::Basic(settings.accounts.clone().into()).admit(head, &[Need { repository, action: "pull" }])
            }
            Self::Bearer { .. } => Ok(()),
            Self::Open | Self::Basic(_) => self.admit(head, &[Need { repository, action: "pull" }]),
        }
    }

    /// Whether the sender of `head` may pull from `repository`.
    pub(crate) fn may_pull(&self, head: &Parts, repository: &str) -> bool {
        self.admit(head, &[Need { repository, action: "pull" }]).is_ok()
    }
}

/// The refusal that tells where to get which token (distribution, "Token Authentication Specification").
fn challenge(realm: &str, service: &str, needs: &[Need<'_>], known: bool) -> Answer {
    let mut repositories: Vec<(&str, Vec<&str>)> = Vec::new();
    for need in needs {
        match repositories.iter_mut().find(|(repository, _)| *repository == need.repository) {
            Some((_, actions)) => actions.push(need.action),
            None => repositories.push((need.repository, vec![need.action])),
        }
    }
    let scopes: Vec<_> =
        repositories.iter().map(|(name, actions)| format!("repository:{name}:{}", actions.join(","))).collect();
    let mut value = format!("Bearer realm=\"{realm}\",service=\"{service}\"");
    if !scopes.is_empty() {
        value += &format!(",scope=\"{}\"", scopes.join(" "));
    }
    if known {
        value += ",error=\"insufficient_scope\"";
    }
    let answer = Answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
    answer.with(WWW_AUTHENTICATE, value)
}

/// User and password of a `Basic` header.
pub(crate) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = credentials(headers, "basic")?;
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    credentials(headers, "bearer")
}

fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (sent, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    sent.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}
