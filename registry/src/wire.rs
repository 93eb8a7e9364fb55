//! One request on the wire: timeouts, redirects by hand, and errors told apart. No retries and no credentials of its
//! own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, IF_NONE_MATCH, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};

use crate::budget::Slot;
use crate::dns::Resolver;
use crate::error::{Error, Kind, Told};
use crate::options::Options;
use crate::proxy::{Proxies, is_loopback};
use crate::request::tried;
pub(crate) use crate::request::{Request, Upload};
use crate::secrets::Secrets;
use crate::unanswered::not_answered;

/// Redirects of one request: one to a storage or a mirror, some for what they do within.
const REDIRECTS_MAX: usize = 5;

/// Error bodies are texts of some lines.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// Connections under one set of TLS settings and proxies.
#[derive(Clone)]
pub(crate) struct Wire {
    http: reqwest::Client,
    proxies: Proxies,
    options: Arc<Options>,
    /// What was sent, and must not be shown when it comes back.
    pub(crate) secrets: Secrets,
}

impl Wire {
    /// Keeps up to `connections` open to each host that are not in use.
    ///
    /// # Errors
    /// `Internal`: the HTTP client could not be built.
    pub(crate) fn new(
        options: Arc<Options>,
        tls: rustls::ClientConfig,
        proxies: Proxies,
        connections: usize,
    ) -> Result<Self, Error> {
        let secrets = Secrets::default();
        proxies.all().for_each(|proxy| secrets.note_proxy(&proxy.url));
        let chosen = proxies.clone();
        let http = reqwest::Client::builder()
            .user_agent(concat!("image-factory/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls)
            // One connection per request under way: over HTTP/2 all blobs would share one window.
            .http1_only()
            .dns_resolver(Arc::new(Resolver))
            .proxy(reqwest::Proxy::custom(move |url| chosen.proxy_for(url).map(|proxy| proxy.url.clone())))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(options.connect_timeout)
            // Below the idle time of common servers and balancers, which would cut what was just begun.
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(connections)
            .referer(false)
            .build()
            .map_err(|error| Error::new(Kind::Internal, "set up the HTTP client").caused_by(error.without_url()))?;
        Ok(Self { http, proxies, options, secrets })
    }

    /// `GET https://registry.example.com/v2/`: what errors name. Queries may hold signatures, and paths that the other
    /// side named may hold what was sent to it.
    pub(crate) fn tried(&self, request: &Request) -> String {
        self.secrets.mask(&tried(&request.method, &request.url))
    }

    /// An error about a request without an answer, or about what came of several.
    pub(crate) fn error(&self, kind: Kind, request: &Request) -> Error {
        Error::new(kind, self.tried(request)).hiding(&self.secrets)
    }

    /// Sends a request and follows the redirects of `GET` and `HEAD`. Any status but a redirect is an answer.
    pub(crate) async fn send(&self, request: &Request, authorization: Option<&HeaderValue>) -> Result<Answer, Error> {
        let mut url = request.url.clone();
        let mut authorization = authorization;
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.exchange(request, &url, authorization).await?;
            let is_unchanged = answer.status() == 304 && request.headers.contains_key(IF_NONE_MATCH);
            if is_unchanged {
                return Ok(answer);
            }
            let Some(next) = answer.redirect(&request.method)? else { return Ok(answer) };
            if next.origin() != url.origin() {
                authorization = None;
            }
            url = next;
        }
        Err(self.error(Kind::Refused, request).because(format!("more than {REDIRECTS_MAX} redirects")))
    }

    /// Sends a request to `url` and follows nothing: a redirect is an answer as well.
    pub(crate) async fn exchange(
        &self,
        request: &Request,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, Error> {
        let mut builder = self.http.request(request.method.clone(), url.clone()).headers(request.headers.clone());
        if let Some(value) = authorization {
            builder = builder.header(AUTHORIZATION, value);
        }
        if !matches!(request.method, Method::GET | Method::HEAD) {
            // Without a body no length would be sent, which some servers refuse.
            builder = builder.header(reqwest::header::CONTENT_LENGTH, request.body.len()).body(request.body.clone());
        }
        let tried = self.secrets.mask(&tried(&request.method, url));
        match tokio::time::timeout(self.options.answer_timeout, builder.send()).await {
            Ok(Ok(response)) => Ok(self.answer(response, tried)),
            Ok(Err(error)) => Err(not_answered(&tried, self.proxies.proxy_for(url), &error)),
            Err(_) => Err(Error::new(Kind::Stalled, tried).because("no answer in time")),
        }
    }

    /// Sends a streaming body. Ends early when it stops moving.
    pub(crate) async fn upload(
        &self,
        request: &Request,
        authorization: Option<&HeaderValue>,
        upload: Upload,
    ) -> Result<Answer, Error> {
        let mut builder =
            self.http.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
        if let Some(value) = authorization {
            builder = builder.header(AUTHORIZATION, value);
        }
        // With the length, the body is not sent in chunks.
        builder = builder.header(reqwest::header::CONTENT_LENGTH, upload.length).body(upload.body);
        let tried = self.tried(request);
        tokio::select! {
            sent = builder.send() => match sent {
                Ok(response) => Ok(self.answer(response, tried)),
                Err(error) => Err(not_answered(&tried, self.proxies.proxy_for(&request.url), &error)),
            },
            () = upload.watch.stalled(self.options.stall_timeout, self.options.commit_timeout) => {
                Err(Error::new(Kind::Stalled, tried).because("it stopped taking what was sent, or did not answer"))
            }
        }
    }

    fn answer(&self, response: reqwest::Response, tried: String) -> Answer {
        tracing::debug!(status = response.status().as_u16(), "{tried} was answered");
        let (options, secrets) = (self.options.clone(), self.secrets.clone());
        Answer { url: response.url().clone(), response, tried, options, secrets, slot: None }
    }
}

/// An answer whose body was not read yet.
pub(crate) struct Answer {
    response: reqwest::Response,
    url: Url,
    tried: String,
    options: Arc<Options>,
    secrets: Secrets,
    /// Held until the body was read.
    pub(crate) slot: Option<Slot>,
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Whether it came from the origin of `base`, and not from where a redirect led.
    pub(crate) fn is_from(&self, base: &Url) -> bool {
        self.url.origin() == base.origin()
    }

    /// A header as text; none if it is not there or not ASCII.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.headers().get(name).and_then(|value| value.to_str().ok())
    }

    /// An error about this answer.
    pub(crate) fn error(&self, kind: Kind) -> Error {
        Error::new(kind, self.tried.clone()).hiding(&self.secrets)
    }

    /// `Location`, relative or absolute. One that differs from the request only by plain HTTP is taken as HTTPS: it
    /// comes from a registry that does not know of the proxy in front of it.
    pub(crate) fn location(&self) -> Result<Url, Error> {
        let request = &self.url;
        let refused = |why: &str| self.error(Kind::Refused).because(why);
        let text = self.text(LOCATION.as_str()).ok_or_else(|| refused("the answer has no `Location`"))?;
        let mut url = request.join(text).map_err(|_| refused("the answer's `Location` is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("the answer's `Location` is neither http nor https"));
        }
        if request.scheme() == "https" && url.scheme() == "http" && !is_loopback(&url) {
            if url.host_str() != request.host_str() || url.port().is_some() {
                return Err(refused("the answer's `Location` leads from https to http"));
            }
            url.set_scheme("https").map_err(|()| refused("the answer's `Location` is not a URL"))?;
            url.set_port(request.port()).map_err(|()| refused("the answer's `Location` is not a URL"))?;
        }
        Ok(url)
    }

    fn redirect(&self, method: &Method) -> Result<Option<Url>, Error> {
        match self.status().as_u16() {
            301 | 302 | 303 | 307 | 308 if matches!(*method, Method::GET | Method::HEAD) => self.location().map(Some),
            300..=399 => Err(self.error(Kind::Refused).answered(self.status().as_u16(), None, None)),
            _ => Ok(None),
        }
    }

    /// The next bytes of the body.
    ///
    /// # Errors
    /// `Stalled` and `Unavailable`, the latter also when the body ends before its announced length.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match tokio::time::timeout(self.options.stall_timeout, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => {
                Err(self.error(Kind::Unavailable).because("the answer's body was cut").caused_by(error.without_url()))
            }
            Err(_) => Err(self.error(Kind::Stalled).because("the answer's body stopped moving")),
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk), and `Unsupported` above `max` bytes.
    pub(crate) async fn bytes(&mut self, max: usize) -> Result<Bytes, Error> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > max {
                return Err(self.error(Kind::Unsupported).because(format!("the answer exceeds {max} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// The answer if it is a success, else an error from its status and body.
    pub(crate) async fn ok(self) -> Result<Self, Error> {
        self.ok_or_told(Told::parse).await
    }

    /// As [`ok`](Self::ok), for those whose error bodies are of another form, which `told` reads.
    pub(crate) async fn ok_or_told(mut self, told: impl Fn(&[u8]) -> Option<Told>) -> Result<Self, Error> {
        let status = self.status();
        let kind = match status.as_u16() {
            // The latter only comes this far where it was asked for.
            200..=299 | 304 => return Ok(self),
            401 => Kind::Unauthorized,
            403 => Kind::Forbidden,
            404 => Kind::NotFound,
            429 => Kind::RateLimited,
            // Of the server errors, these two say that the same again ends the same.
            501 | 505 => Kind::Refused,
            // 407 comes from a proxy, which wants another password.
            407 | 408 | 500.. => Kind::Unavailable,
            _ => Kind::Refused,
        };
        let retry_after = retry_after(self.headers());
        // A body that cannot be read takes nothing from the status.
        let told = self.bytes(ERROR_BYTES_MAX).await.ok().and_then(|body| told(&body));
        Err(self.error(kind).answered(status.as_u16(), told, retry_after).patience(self.options.retry_after_max))
    }
}

/// How long `Retry-After` asks to wait.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(wait)
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
fn wait(text: &str) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        assert_eq!(wait(" 7 "), Some(Duration::from_secs(7)));
        let in_an_hour = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
        let read = wait(&in_an_hour).unwrap().as_secs();
        assert!((3590..=3600).contains(&read), "{read}");
        assert_eq!(wait("Fri, 01 Jan 2021 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!((wait("soon"), wait("-1")), (None, None));
    }
}
