//! What the tests share: a client that does nothing by itself, and shorthands for the protocol.

use std::time::Duration;

use proto::Digest;
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response};
use sandbox::{Image, Registry};
use serde_json::Value;

/// The longest that any wait in these tests may last; far more than is needed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Past libtest's capture, so that whoever runs the tests sees and counts it.
pub(crate) fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}

pub(crate) fn client_builder() -> ClientBuilder {
    // A second installation is refused, and the first is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().redirect(reqwest::redirect::Policy::none()).retry(reqwest::retry::never()).no_proxy()
}

/// A registry, and a client to speak to it.
pub(crate) struct Fixture {
    pub(crate) registry: Registry,
    pub(crate) client: Client,
}

impl Fixture {
    pub(crate) async fn plain() -> Self {
        Self::of(Registry::builder()).await
    }

    pub(crate) async fn of(builder: sandbox::Builder) -> Self {
        Self { registry: builder.start().await.unwrap(), client: client_builder().build().unwrap() }
    }

    /// A request to a path below `/v2/`, or to a location as the registry gave it.
    pub(crate) fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/v2/{path}") };
        self.client.request(method, format!("{}{path}", self.registry.url()))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.ask(Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn head(&self, path: &str) -> Response {
        self.ask(Method::HEAD, path).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str) -> Response {
        self.ask(Method::POST, path).header("content-length", 0).send().await.unwrap()
    }

    pub(crate) async fn put_manifest(&self, path: &str, image: &Image) -> Response {
        let request = self.ask(Method::PUT, path).header("content-type", &image.media_type);
        request.body(image.raw.clone()).send().await.unwrap()
    }

    /// Puts a blob of `size` bytes into `repository`, and gives its path.
    pub(crate) fn blob(&self, repository: &str, size: usize) -> String {
        let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        let digest = self.registry.store().put_blob(repository, bytes.into());
        format!("{repository}/blobs/{digest}")
    }
}

pub(crate) fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// The codes of an error body.
pub(crate) async fn codes(response: Response) -> Vec<String> {
    let body: Value = response.json().await.unwrap();
    body["errors"].as_array().unwrap().iter().map(|error| error["code"].as_str().unwrap().to_owned()).collect()
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::of(bytes)
}
