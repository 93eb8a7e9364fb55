//! Rules that make a server misbehave: which request, which time, and how.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, CONNECTION, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};
use proto::Digest;

use crate::answer::Answer;
use crate::store::Store;

/// What happens to a request that a [`Fault`] matches. Several faults may act on one request.
#[derive(Clone)]
#[non_exhaustive]
pub enum Effect {
    /// The request waits this long before it is looked at.
    Latency(Duration),
    /// The answer's body is sent no faster than this many bytes per second.
    Bandwidth(u64),
    /// The answer's body ends after this many bytes, and the connection with it.
    CutBody {
        /// Bytes sent before.
        after: u64,
    },
    /// One bit of the byte at this offset of the answer's body is turned.
    CorruptBody {
        /// Offset of the byte.
        at: u64,
    },
    /// After this many bytes of the answer's body nothing more comes, and the connection stays open.
    StallBody {
        /// Bytes sent before.
        after: u64,
    },
    /// The answer's body, and its `Content-Length`, is this much longer than the content.
    LongerBody {
        /// Bytes too many.
        by: u64,
    },
    /// The answer's body, and its `Content-Length`, is this much shorter than the content.
    ShorterBody {
        /// Bytes too few.
        by: u64,
    },
    /// The answer says no `Content-Length`.
    NoLength,
    /// The answer's `Docker-Content-Digest` is this, whatever it holds.
    OtherDigest(Digest),
    /// The request's body is read no faster than this many bytes per second.
    SlowUpload(u64),
    /// After this many bytes the request's body is not read on, and no answer comes.
    StallUpload {
        /// Bytes read before.
        after: u64,
    },
    /// The connection is closed without an answer.
    Close,
    /// An error is answered, see [`Refusal`].
    Refuse(Refusal),
    /// Something happens to the content first: a tag moves, a blob goes.
    Act(Arc<dyn Fn(&Store) + Send + Sync>),
}

impl Effect {
    /// An answer with this status and an error body of the distribution-spec.
    pub fn status(status: u16) -> Self {
        let code = match status {
            401 => "UNAUTHORIZED",
            403 => "DENIED",
            404 => "NAME_UNKNOWN",
            429 => "TOOMANYREQUESTS",
            _ => "UNKNOWN",
        };
        Self::refusal(status, code)
    }

    /// An answer with this status, whose error body says `code` (distribution-spec, "Error Codes").
    pub fn refusal(status: u16, code: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::Refuse(Refusal {
            status,
            code: code.to_owned(),
            retry_after: RetryAfter::Unsaid,
            reads_body: true,
            echoes: false,
        })
    }

    /// 429, with or without word of when to come again.
    pub fn too_many_requests(retry_after: RetryAfter) -> Self {
        match Self::status(429) {
            Self::Refuse(refusal) => Self::Refuse(Refusal { retry_after, ..refusal }),
            other => other,
        }
    }

    /// The manifest is refused as invalid, without naming a digest.
    pub fn manifest_invalid() -> Self {
        Self::refusal(400, "MANIFEST_INVALID")
    }

    /// The blob is not found although it is there.
    pub fn blob_unknown() -> Self {
        Self::refusal(404, "BLOB_UNKNOWN")
    }

    /// For a refusal: it is answered, and the connection closed, before the request's body was read.
    #[must_use]
    pub fn before_body(self) -> Self {
        match self {
            Self::Refuse(refusal) => Self::Refuse(Refusal { reads_body: false, ..refusal }),
            other => other,
        }
    }

    /// For a refusal: its message repeats the request's `Authorization`, and the user and password in it.
    #[must_use]
    pub fn echoing(self) -> Self {
        match self {
            Self::Refuse(refusal) => Self::Refuse(Refusal { echoes: true, ..refusal }),
            other => other,
        }
    }

    /// What [`Effect::Act`] does, from a closure.
    pub fn act(action: impl Fn(&Store) + Send + Sync + 'static) -> Self {
        Self::Act(Arc::new(action))
    }
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency(time) => write!(f, "Latency({time:?})"),
            Self::Bandwidth(rate) => write!(f, "Bandwidth({rate})"),
            Self::CutBody { after } => write!(f, "CutBody({after})"),
            Self::CorruptBody { at } => write!(f, "CorruptBody({at})"),
            Self::StallBody { after } => write!(f, "StallBody({after})"),
            Self::LongerBody { by } => write!(f, "LongerBody({by})"),
            Self::ShorterBody { by } => write!(f, "ShorterBody({by})"),
            Self::NoLength => f.write_str("NoLength"),
            Self::OtherDigest(digest) => write!(f, "OtherDigest({digest})"),
            Self::SlowUpload(rate) => write!(f, "SlowUpload({rate})"),
            Self::StallUpload { after } => write!(f, "StallUpload({after})"),
            Self::Close => f.write_str("Close"),
            Self::Refuse(refusal) => write!(f, "{refusal:?}"),
            Self::Act(_) => f.write_str("Act"),
        }
    }
}

/// An error answer.
#[derive(Debug, Clone)]
pub struct Refusal {
    status: StatusCode,
    code: String,
    retry_after: RetryAfter,
    /// Whether the request's body is read to its end first.
    pub(crate) reads_body: bool,
    echoes: bool,
}

impl Refusal {
    pub(crate) fn answer(&self, request: &HeaderMap) -> Answer {
        let authorization = request.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).filter(|_| self.echoes);
        let message = match authorization {
            Some(sent) => {
                let decoded = STANDARD.decode(sent.trim_start_matches("Basic ")).unwrap_or_default();
                format!("refused to `{sent}`: `{}`", String::from_utf8_lossy(&decoded))
            }
            None => "refused on command".to_owned(),
        };
        let answer = Answer::error(self.status, &self.code, &message);
        let answer = match self.retry_after {
            RetryAfter::Unsaid => answer,
            RetryAfter::Seconds(seconds) => answer.with(RETRY_AFTER, seconds.to_string()),
            RetryAfter::Date(wait) => answer.with(RETRY_AFTER, httpdate::fmt_http_date(SystemTime::now() + wait)),
        };
        if self.reads_body { answer } else { answer.with(CONNECTION, "close") }
    }
}

/// The `Retry-After` of an answer (RFC 9110, 10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// No such header.
    Unsaid,
    /// A number of seconds.
    Seconds(u64),
    /// A date, this far from now; dates have whole seconds.
    Date(Duration),
}

/// A rule: which requests, and what happens to them.
///
/// Requests that fail authentication are refused first and neither match nor count.
#[derive(Debug, Clone)]
pub struct Fault {
    method: String,
    path: String,
    after: u64,
    times: u64,
    effect: Effect,
}

impl Fault {
    /// Acts on every `method` (any, if empty) whose path contains `path`.
    ///
    /// Paths are as on the wire: `/v2/…`, `/token` of the token service, `/storage/…` of redirected blobs.
    pub fn on(method: &str, path: &str, effect: Effect) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), after: 0, times: u64::MAX, effect }
    }

    /// Lets the first `requests` that match pass.
    #[must_use]
    pub fn after(mut self, requests: u64) -> Self {
        self.after = requests;
        self
    }

    /// Acts this often, then never again.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }
}

/// A rule that was given to a server: tells how often it acted, and can take it back.
#[derive(Debug, Clone)]
pub struct ActiveFault {
    rule: Arc<Rule>,
    faults: Arc<Faults>,
}

impl ActiveFault {
    /// How often the fault has acted.
    pub fn hits(&self) -> u64 {
        let seen = self.rule.seen.load(Ordering::SeqCst);
        seen.saturating_sub(self.rule.fault.after).min(self.rule.fault.times)
    }

    /// Takes the rule back.
    pub fn remove(&self) {
        self.faults.rules().retain(|rule| !Arc::ptr_eq(rule, &self.rule));
    }
}

#[derive(Debug)]
struct Rule {
    fault: Fault,
    seen: AtomicU64,
}

/// The rules of a server and of its token service and storage.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Mutex<Vec<Arc<Rule>>>,
}

impl Faults {
    pub(crate) fn add(self: &Arc<Self>, fault: Fault) -> ActiveFault {
        let rule = Arc::new(Rule { fault, seen: AtomicU64::new(0) });
        self.rules().push(rule.clone());
        ActiveFault { rule, faults: self.clone() }
    }

    pub(crate) fn clear(&self) {
        self.rules().clear();
    }

    /// The effects on a request that has just come; counts it.
    pub(crate) fn effects(&self, method: &str, path: &str) -> Vec<Effect> {
        let matches = |fault: &Fault| (fault.method.is_empty() || fault.method == method) && path.contains(&fault.path);
        let due = |rule: &Rule| {
            let seen = rule.seen.fetch_add(1, Ordering::SeqCst);
            seen >= rule.fault.after && seen - rule.fault.after < rule.fault.times
        };
        let rules = self.rules();
        let acting = rules.iter().filter(|rule| matches(&rule.fault) && due(rule));
        acting.map(|rule| rule.fault.effect.clone()).collect()
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Rule>>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
