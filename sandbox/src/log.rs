//! What a server was asked, so that tests can count. Credentials are never kept.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::header;
use hyper::http::request::Parts;
use tokio::sync::Notify;

/// One request as a server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// The host that was meant, with its port if it was named: of a proxy, any.
    pub host: String,
    /// Path without query, as sent.
    pub path: String,
    /// Query without the question mark, as sent, but without signatures; empty if there was none.
    pub query: String,
    /// The `Range` header, if one was sent.
    pub range: Option<String>,
    /// Whether an `Authorization` header came with it.
    pub authorized: bool,
    /// Status of the answer; 0 while there is none, or when the connection was closed without one.
    pub status: u16,
    /// Bytes of the request's body read so far.
    pub bytes_in: u64,
    /// Bytes of the answer's body handed to the connection so far.
    pub bytes_out: u64,
    /// Whether the answer's body was handed over to its end.
    pub complete: bool,
}

impl Request {
    /// Whether this is a `method` (any, if empty) whose path contains `path`.
    pub fn is(&self, method: &str, path: &str) -> bool {
        (method.is_empty() || self.method == method) && self.path.contains(path)
    }
}

/// What a path asks of: `blobs/uploads`, `blobs`, `manifests`, `referrers`, `tags`, or `other`.
pub fn kind(path: &str) -> &'static str {
    const KINDS: [&str; 5] = ["blobs/uploads", "blobs", "manifests", "referrers", "tags"];
    KINDS.into_iter().find(|kind| path.contains(&format!("/{kind}/"))).unwrap_or("other")
}

/// The requests of one server in the order of their arrival.
#[derive(Debug, Default)]
pub struct Log {
    entries: Mutex<Vec<Arc<Entry>>>,
    in_flight: AtomicUsize,
    peak_in_flight: AtomicUsize,
    changed: Notify,
}

impl Log {
    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.entries().iter().map(|entry| entry.request()).collect()
    }

    /// How many requests were a `method` (any, if empty) whose path contains `path`.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.requests().iter().filter(|request| request.is(method, path)).count()
    }

    /// Bytes of the bodies that answered the requests of [`count`](Self::count).
    pub fn bytes_out(&self, method: &str, path: &str) -> u64 {
        self.requests().iter().filter(|request| request.is(method, path)).map(|request| request.bytes_out).sum()
    }

    /// Bytes that came as bodies of the requests of [`count`](Self::count).
    pub fn bytes_in(&self, method: &str, path: &str) -> u64 {
        self.requests().iter().filter(|request| request.is(method, path)).map(|request| request.bytes_in).sum()
    }

    /// The most requests that were being answered at one time.
    pub fn peak_in_flight(&self) -> usize {
        self.peak_in_flight.load(Ordering::SeqCst)
    }

    /// Waits until [`count`](Self::count) is at least `times`. Bound it with a timeout.
    pub async fn wait_for(&self, method: &str, path: &str, times: usize) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.count(method, path) >= times {
                return;
            }
            changed.await;
        }
    }

    /// Forgets all requests so far.
    pub fn clear(&self) {
        self.entries().clear();
        self.peak_in_flight.store(self.in_flight.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    pub(crate) fn open(self: &Arc<Self>, head: &Parts) -> Open {
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let entry = Arc::new(Entry {
            method: head.method.to_string(),
            host: host(head).to_owned(),
            path: head.uri.path().to_owned(),
            query: without_signature(head.uri.query().unwrap_or_default()),
            range: header(header::RANGE),
            authorized: head.headers.contains_key(header::AUTHORIZATION),
            status: AtomicU16::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            complete: AtomicBool::new(false),
        });
        self.entries().push(entry.clone());
        let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak_in_flight.fetch_max(in_flight, Ordering::SeqCst);
        self.changed.notify_waiters();
        Open { entry, log: self.clone() }
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Entry {
    method: String,
    host: String,
    path: String,
    query: String,
    range: Option<String>,
    authorized: bool,
    pub(crate) status: AtomicU16,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) complete: AtomicBool,
}

impl Entry {
    fn request(&self) -> Request {
        Request {
            method: self.method.clone(),
            host: self.host.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            range: self.range.clone(),
            authorized: self.authorized,
            status: self.status.load(Ordering::SeqCst),
            bytes_in: self.bytes_in.load(Ordering::SeqCst),
            bytes_out: self.bytes_out.load(Ordering::SeqCst),
            complete: self.complete.load(Ordering::SeqCst),
        }
    }
}

/// A request that is being answered; it ends when this is dropped.
pub(crate) struct Open {
    pub(crate) entry: Arc<Entry>,
    log: Arc<Log>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.log.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The host of the URL, as a proxy gets it, else that of the header.
fn host(head: &Parts) -> &str {
    let header = head.headers.get(header::HOST).and_then(|value| value.to_str().ok());
    head.uri.authority().map(hyper::http::uri::Authority::as_str).or(header).unwrap_or_default()
}

fn without_signature(query: &str) -> String {
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("sig=")).collect();
    kept.join("&")
}
