//! Uploads as a registry sees them: opened, perhaps mounted instead, and given up.

use std::time::Duration;

use proto::{Digest, Repository};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};

use crate::client::Client;
use crate::error::Error;
use crate::transport::{Purpose, Registry};
use crate::wire::{Answer, Request};

/// Cancelling is a courtesy: not worth waiting for a registry that does not answer.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// An open upload.
pub(super) struct Session<'a> {
    registry: &'a Registry,
    pub(super) purpose: Purpose,
    /// Its present location.
    pub(super) url: Url,
    /// The registry wants chunks of at least so many bytes (`OCI-Chunk-Min-Length`).
    pub(super) chunk_min: u64,
}

impl<'a> Session<'a> {
    /// Opens an upload (distribution-spec, end-4a).
    pub(super) async fn open(registry: &'a Registry, repository: &Repository) -> Result<Self, Error> {
        let purpose = Purpose::push(repository);
        let answer = post(registry, repository, "", &purpose).await?;
        Self::from_answer(registry, purpose, &answer)
    }

    /// Mounts the blob from another repository (distribution-spec, end-11); none if that was done. An answer that opens
    /// an upload instead is as good as any other. One that refuses a foreign or forbidden `from` says nothing of the
    /// upload itself.
    pub(super) async fn mount(
        registry: &'a Registry,
        repository: &Repository,
        digest: &Digest,
        from: &Repository,
    ) -> Result<Option<Self>, Error> {
        let purpose = Purpose::push(repository).and_pull(from);
        match post(registry, repository, &format!("?mount={digest}&from={}", from.path()), &purpose).await {
            Ok(answer) if answer.status() == 201 => {
                registry.learned.note_mount(true);
                Ok(None)
            }
            Ok(answer) => {
                registry.learned.note_mount(false);
                Self::from_answer(registry, Purpose::push(repository), &answer).map(Some)
            }
            Err(error) if matches!(error.status(), Some(400..=405)) => {
                registry.learned.note_mount(false);
                Self::open(registry, repository).await.map(Some)
            }
            Err(error) => Err(error),
        }
    }

    /// The `POST` that brings a blob with it (distribution-spec, end-4b).
    pub(super) async fn single(
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Request, Error> {
        let path = format!("/v2/{}/blobs/uploads/?digest={digest}", repository.path());
        Ok(octets(Method::POST, registry.url(&path).await?))
    }

    pub(super) fn from_answer(registry: &'a Registry, purpose: Purpose, answer: &Answer) -> Result<Self, Error> {
        let chunk_min = answer.text("OCI-Chunk-Min-Length").and_then(|text| text.parse().ok()).unwrap_or_default();
        Ok(Self { registry, purpose, url: answer.location()?, chunk_min })
    }

    /// The `PUT` that ends it (distribution-spec, end-6).
    pub(super) fn closing(&self, digest: &Digest) -> Request {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        octets(Method::PUT, url)
    }

    /// The `PATCH` that brings a chunk (distribution-spec, end-5).
    pub(super) fn chunk(&self) -> Request {
        octets(Method::PATCH, self.url.clone())
    }

    /// Gives it up (distribution-spec, end-14), so that nothing is left at the registry.
    pub(super) async fn cancel(self) {
        let request = Request::new(Method::DELETE, self.url);
        let cancelled = self.registry.call_once(&request, &self.purpose);
        if !matches!(tokio::time::timeout(CANCEL_TIMEOUT, cancelled).await, Ok(Ok(_))) {
            tracing::debug!(upload = self.registry.wire.tried(&request), "an upload was left open");
        }
    }
}

impl Client {
    /// Opens an upload and cancels it: shows the right to push, and leaves nothing.
    pub(crate) async fn try_upload(&self, repository: &Repository) -> Result<(), Error> {
        let registry = self.registry(repository).await?;
        let session = registry.retried(|| Session::open(&registry, repository)).await?;
        session.cancel().await;
        Ok(())
    }
}

async fn post(registry: &Registry, repository: &Repository, query: &str, purpose: &Purpose) -> Result<Answer, Error> {
    let url = registry.url(&format!("/v2/{}/blobs/uploads/{query}", repository.path())).await?;
    registry.call_once(&Request::new(Method::POST, url), purpose).await
}

fn octets(method: Method, url: Url) -> Request {
    Request::new(method, url).header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
}
