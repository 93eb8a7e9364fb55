//! What gives identities at the clouds, made up: each vendor's services of tokens in one server, strict about what they
//! are shown.
//!
//! What they give out is an account of a registry that was started with their [`Accounts`]: as [`Auth::Issued`], or
//! among those of a token service ([`Tokens::issued`]).
//!
//! [`Accounts`]: crate::Accounts
//! [`Auth::Issued`]: crate::Auth::Issued
//! [`Tokens::issued`]: crate::Tokens::issued

mod aws;
mod azure;
mod gcp;
mod github;
mod jwt;
mod sigv4;
mod sts;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::http::request::Parts;
use proto::Digest;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Error;
use crate::answer::Answer;
use crate::auth::{Account, Accounts};
use crate::body::RequestBody;
use crate::faults::{ActiveFault, Fault, Faults};
use crate::log::Log;
use crate::serve::{Server, Service, listen};
use crate::store::Store;

pub use aws::Aws;
pub use azure::Azure;
pub(crate) use azure::Exchange;
pub use gcp::Gcp;
pub use github::Github;

/// A vendor's services on a socket, until this is dropped. What they do is set on the vendor, to which this derefs.
pub struct Fake<V> {
    vendor: Arc<V>,
    address: SocketAddr,
    log: Arc<Log>,
    faults: Arc<Faults>,
    _end: DropGuard,
}

impl<V> Fake<V> {
    /// Scheme, host and port: `http://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// What it was asked.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Makes it misbehave.
    pub fn fault(&self, fault: Fault) -> ActiveFault {
        self.faults.add(fault)
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.faults.clear();
    }
}

impl<V> Deref for Fake<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.vendor
    }
}

/// A vendor's answers.
pub(crate) trait Vendor: Send + Sync + 'static {
    /// `url` is that of the server, as it was started.
    fn answer(&self, head: &Parts, body: &[u8], url: &str) -> Answer;
}

struct Serving<V> {
    vendor: Arc<V>,
    url: String,
}

impl<V: Vendor> Service for Serving<V> {
    fn admit(&self, _: &Parts) -> Result<(), Box<Answer>> {
        Ok(())
    }

    async fn answer(&self, head: &Parts, body: RequestBody) -> Answer {
        let body = body.whole(64 * 1024).await.unwrap_or_default();
        self.vendor.answer(head, &body, &self.url)
    }
}

async fn start<V: Vendor>(vendor: V) -> Result<Fake<V>, Error> {
    let (listener, address) = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let (vendor, log, faults) = (Arc::new(vendor), Arc::<Log>::default(), Arc::<Faults>::default());
    let end = CancellationToken::new();
    let service = Serving { vendor: vendor.clone(), url: format!("http://{address}") };
    Server { service, log: log.clone(), faults: faults.clone(), store: Store::new() }.serve(
        listener,
        None,
        end.clone(),
    );
    Ok(Fake { vendor, address, log, faults, _end: end.drop_guard() })
}

/// What was given out, for how long, and what is refused instead.
#[derive(Debug, Default)]
pub(crate) struct Issued {
    accounts: Accounts,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lifetime: Duration,
    secrets: Vec<String>,
    refused: Option<(String, String)>,
}

impl Default for State {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(3600), secrets: Vec::new(), refused: None }
    }
}

impl Issued {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A secret that nobody had before.
    fn secret(&self, kind: &str) -> String {
        let mut state = self.state();
        let number = state.secrets.len();
        let secret = format!("{kind}-{}", Digest::of(format!("{kind} {number}").as_bytes()).hex());
        state.secrets.push(secret.clone());
        secret
    }

    fn lifetime(&self) -> Duration {
        self.state().lifetime
    }

    /// Code and message of what is answered instead.
    fn refused(&self) -> Option<(String, String)> {
        self.state().refused.clone()
    }

    fn add(&self, account: Account) {
        self.accounts.add(account);
    }
}

/// The verbs that all vendors share.
macro_rules! issues {
    ($vendor:ty) => {
        impl $vendor {
            /// The accounts that its passwords are good for.
            pub fn accounts(&self) -> crate::Accounts {
                self.issued.accounts.clone()
            }

            /// How long that holds which is given out from now on, as it says itself.
            pub fn set_lifetime(&self, lifetime: std::time::Duration) {
                self.issued.state().lifetime = lifetime;
            }

            /// Refuses to give out more, with this code and message in the vendor's form; none ends that.
            pub fn refuse(&self, refusal: Option<(&str, &str)>) {
                self.issued.state().refused = refusal.map(|(code, message)| (code.to_owned(), message.to_owned()));
            }

            /// All secrets given out, so that a test can look for them where none should be.
            pub fn secrets(&self) -> Vec<String> {
                self.issued.state().secrets.clone()
            }
        }
    };
}
use issues;

/// The fields of a form or of a query.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn of(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// A header as text; empty if it is not there.
fn header<'a>(head: &'a Parts, name: &str) -> &'a str {
    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A time as in `2026-01-31T12:00:00Z` (RFC 3339), from a date of HTTP, whose parts have fixed places.
fn rfc3339(time: SystemTime) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let date = httpdate::fmt_http_date(time);
    let month = MONTHS.find(&date[8..11]).unwrap_or_default() / 3 + 1;
    format!("{}-{month:02}-{}T{}Z", &date[12..16], &date[5..7], &date[17..25])
}
