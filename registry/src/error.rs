//! What went wrong with a request, for the machine (kind, class, wait) and for the person (one line and a hint).

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use proto::{Class, Code, Digest};

use crate::secrets::Secrets;

mod told;

pub(crate) use told::Told;

/// What failed, apart from the side on which it failed: each has a [`Code`] for the source and one for the
/// destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The credentials were not accepted, or some are wanted.
    Unauthorized,
    /// The credentials are good but do not allow this.
    Forbidden,
    /// There is no such repository, tag, digest or layout.
    NotFound,
    /// No more requests are allowed for now.
    RateLimited,
    /// No connection, no answer, or an answer that says to come again (5xx).
    Unavailable,
    /// Connected, and then no byte moved for too long.
    Stalled,
    /// The TLS certificate of the server is not trusted, or ours is not by the server.
    Untrusted,
    /// The content does not have the announced digest or size.
    Corrupt,
    /// The content is of a form that is not read.
    Unsupported,
    /// A correct request was answered in a way that it must not be.
    Refused,
    /// A file could not be read or written.
    Io,
    /// Our own fault.
    Internal,
}

impl Kind {
    /// The failure code if this happened at the source.
    pub fn at_source(self) -> Code {
        match self {
            Self::Unauthorized => Code::SourceUnauthorized,
            Self::Forbidden => Code::SourceForbidden,
            Self::NotFound => Code::SourceNotFound,
            Self::RateLimited => Code::SourceRateLimited,
            Self::Unavailable => Code::SourceUnavailable,
            Self::Stalled => Code::SourceStalled,
            Self::Untrusted => Code::SourceUntrusted,
            Self::Corrupt => Code::SourceCorrupt,
            Self::Unsupported => Code::SourceUnsupported,
            Self::Refused => Code::SourceRefused,
            Self::Io => Code::SourceIo,
            Self::Internal => Code::Internal,
        }
    }

    /// The failure code if this happened at the destination.
    pub fn at_destination(self) -> Code {
        match self {
            Self::Unauthorized => Code::DestinationUnauthorized,
            Self::Forbidden => Code::DestinationForbidden,
            Self::NotFound => Code::DestinationNotFound,
            Self::RateLimited => Code::DestinationRateLimited,
            Self::Unavailable => Code::DestinationUnavailable,
            Self::Stalled => Code::DestinationStalled,
            Self::Untrusted => Code::DestinationUntrusted,
            Self::Corrupt => Code::DestinationCorrupt,
            Self::Unsupported => Code::DestinationUnsupported,
            Self::Refused => Code::DestinationRefused,
            Self::Io => Code::DestinationIo,
            Self::Internal => Code::Internal,
        }
    }

    /// What a person can do, where the kind alone tells.
    fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::Unauthorized => "check the credentials: `docker login`, or `auth` of this registry in the file",
            Self::Forbidden => "ask for the right to it, and see that it exists: some registries say 403 for 404",
            Self::Untrusted => "name its CA in the file: `tls.ca_file` of this registry, or `network.ca_file`",
            Self::Unavailable => "see whether the registry is up; if it is, check the name, the network and the proxy",
            Self::Corrupt => "pull it with another tool: if its bytes are wrong there too, its registry must mend it",
            Self::RateLimited => "wait, or use an account with a higher limit",
            _ => return None,
        })
    }
}

/// A failed request or read: one line for people, and what the caller must know. It holds no secrets: URLs are
/// without query and user, texts of the other side are excerpts. Clones are cheap enough to tell all who wait for the
/// same thing.
#[derive(Clone)]
pub struct Error(Box<Facts>);

#[derive(Clone)]
struct Facts {
    kind: Kind,
    tried: String,
    status: Option<u16>,
    code: Option<String>,
    message: Option<String>,
    missing: Vec<Digest>,
    retry_after: Option<Duration>,
    /// Longer than this is not waited for but handed up.
    patience: Duration,
    hint: Option<Cow<'static, str>>,
    /// Masked in all that is added from outside.
    secrets: Secrets,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` while doing `tried`, as in ``GET https://registry.example.com/v2/``.
    pub(crate) fn new(kind: Kind, tried: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            kind,
            tried: tried.into(),
            status: None,
            code: None,
            message: None,
            missing: Vec::new(),
            retry_after: None,
            patience: proto::limits::RETRY_AFTER_MAX,
            hint: None,
            secrets: Secrets::default(),
            source: None,
        }))
    }

    /// Masks `secrets` in all that is added from now on: the other side may send back what was sent to it.
    pub(crate) fn hiding(mut self, secrets: &Secrets) -> Self {
        self.0.secrets = secrets.clone();
        self
    }

    /// With what came back, or what is wrong with it.
    pub(crate) fn because(mut self, message: impl AsRef<str>) -> Self {
        self.0.message = Some(self.quote(message.as_ref()));
        self
    }

    /// With the error below it, or its text without the secrets that it quotes.
    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = source.into();
        let text = source.to_string();
        let masked = self.0.secrets.mask(&text);
        self.0.source = Some(if masked == text { source } else { masked.into() }.into());
        self
    }

    /// An excerpt of a text from outside. What is cut off is cut from the masked text: no half of a secret remains.
    fn quote(&self, text: &str) -> String {
        excerpt(&self.0.secrets.mask(text))
    }

    /// With advice better than that of its kind.
    pub(crate) fn hinting(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// With the answer's status, the registry's own error code and message, and the wait that it asks for.
    pub(crate) fn answered(mut self, status: u16, told: Option<Told>, retry_after: Option<Duration>) -> Self {
        self.0.status = Some(status);
        self.0.retry_after = retry_after;
        if let Some(told) = told {
            self.0.code = Some(self.quote(&told.code)).filter(|code| !code.is_empty());
            self.0.message = Some(self.quote(&told.message)).filter(|message| !message.is_empty());
            self.0.missing = told.missing;
        }
        self
    }

    /// With the longest wait that a request bears.
    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.0.patience = patience;
        self
    }

    /// Says first for what it was tried.
    pub(crate) fn during(mut self, what: &str) -> Self {
        self.0.tried = format!("{what}: {}", self.0.tried);
        self
    }

    /// That no pull is left for this time: too long for a request, however short it is.
    pub(crate) fn exhausted(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait.max(Duration::from_secs(1)));
        self.0.patience = Duration::ZERO;
        self.hinting(
            "come again when there are some, use an account with more, or keep fewer free: `limits.pulls` in the file",
        )
    }

    pub(crate) fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What failed.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The HTTP status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The registry's own error code, as in `MANIFEST_UNKNOWN` (distribution-spec, "Error Codes").
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// What a registry that refused a manifest says it lacks of what the manifest names (`MANIFEST_BLOB_UNKNOWN`).
    pub fn missing(&self) -> &[Digest] {
        &self.0.missing
    }

    /// How long the other side asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What the coordinator does about it.
    pub fn class(&self) -> Class {
        match self.0.kind {
            Kind::RateLimited | Kind::Unavailable if self.must_wait_long() => Class::Defer,
            Kind::RateLimited | Kind::Unavailable | Kind::Stalled | Kind::Corrupt | Kind::Io => Class::Retry,
            Kind::Unauthorized | Kind::Forbidden | Kind::NotFound => Class::Reject,
            Kind::Untrusted | Kind::Unsupported | Kind::Refused => Class::Reject,
            Kind::Internal => Class::Bug,
        }
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<&str> {
        let told = self.0.code.is_some() || self.0.message.is_some();
        let of_answer = (self.0.kind == Kind::Refused && self.0.status.is_some() && told)
            .then_some("see its message: the registry tells there what it does not take");
        self.0.hint.as_deref().or(of_answer).or_else(|| self.0.kind.hint())
    }

    /// Whether the same request may go well in a moment.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self.0.kind, Kind::RateLimited | Kind::Unavailable | Kind::Stalled) && !self.must_wait_long()
    }

    fn must_wait_long(&self) -> bool {
        self.0.retry_after.is_some_and(|wait| wait > self.0.patience)
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.0.kind == Kind::NotFound
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.0;
        f.write_str(&facts.tried)?;
        if let Some(status) = facts.status {
            write!(f, ": {status}")?;
        }
        if let Some(code) = &facts.code {
            write!(f, " {code}")?;
        }
        match &facts.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        match &self.0.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// At most 200 characters of a text from outside, on one line.
fn excerpt(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_with_what_was_tried_and_what_came_back() {
        let told = Told::parse(br#"{"errors":[{"code":"DENIED","message":"no\nway"},{"code":"OTHER"}]}"#);
        let error = Error::new(Kind::Forbidden, "PUT https://r.example/v2/a").answered(403, told, None);
        assert_eq!(error.to_string(), "PUT https://r.example/v2/a: 403 DENIED: no way");
        assert_eq!((error.status(), error.code(), error.class()), (Some(403), Some("DENIED"), Class::Reject));
    }

    #[test]
    fn a_wait_longer_than_a_request_bears_defers() {
        let limited = |seconds| {
            let wait = Some(Duration::from_secs(seconds));
            Error::new(Kind::RateLimited, "GET x").answered(429, None, wait).patience(Duration::from_secs(60))
        };
        assert_eq!((limited(60).class(), limited(60).may_pass()), (Class::Retry, true));
        assert_eq!((limited(61).class(), limited(61).may_pass()), (Class::Defer, false));
    }
}
