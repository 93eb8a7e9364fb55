//! One request before it is sent: what it asks for, and how it is named and traced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use proto::Host;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use tracing::{Span, field};

use crate::blobs::watch::Watch;
use crate::budget::Action;
use crate::secrets::Secrets;

/// One request, that can be sent again.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How often it was tried, by all its clones.
    tries: Arc<AtomicU32>,
}

impl Request {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new(), tries: Arc::default() }
    }

    /// What is traced of a request that is about to wait for its turn: it costs nothing where nobody looks.
    pub(crate) fn span(&self, host: &Host, secrets: &Secrets) -> Span {
        let attempt = self.tries.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::debug_span!(
            "request",
            method = %self.method,
            url = secrets.mask(&place(&self.url)),
            host = host.as_str(),
            action = Action::of(&self.method, self.url.path()).as_str(),
            attempt,
            waited_ms = field::Empty,
            duration_ms = field::Empty,
            status = field::Empty,
        )
    }

    pub(crate) fn header(mut self, name: reqwest::header::HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

/// A body that streams, with its length, and the watch over its progress. It can be sent only once.
pub(crate) struct Upload {
    pub(crate) body: reqwest::Body,
    pub(crate) length: u64,
    pub(crate) watch: Arc<Watch>,
}

/// `GET https://registry.example.com/v2/`, without user, query and fragment.
pub(crate) fn tried(method: &Method, url: &Url) -> String {
    format!("{method} {}", place(url))
}

/// A URL without user, query and fragment.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_named_without_user_and_query() {
        let url = Url::parse("https://me:hush@host:8443/v2/x?sig=hush#hush").unwrap();
        assert_eq!(tried(&Method::GET, &url), "GET https://host:8443/v2/x");
    }
}
