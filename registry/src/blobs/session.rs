//! Uploads as a registry sees them: opened, perhaps mounted instead, and given up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::{Digest, Repository};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::Instrument;

use crate::client::Client;
use crate::error::{Error, Kind};
use crate::transport::{Purpose, Registry};
use crate::wire::{Answer, Request};

/// Cancelling is a courtesy: not worth waiting for a registry that does not answer.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// An open upload. Dropped before its end it is given up, so that nothing is left at the registry, whatever ended the
/// wait of who sent it.
pub(super) struct Session {
    registry: Arc<Registry>,
    pub(super) purpose: Purpose,
    /// Its present location.
    pub(super) url: Url,
    /// The registry wants chunks of at least so many bytes (`OCI-Chunk-Min-Length`).
    pub(super) chunk_min: u64,
    is_open: bool,
}

/// What came of the `POST` that opens an upload.
pub(super) enum Begun {
    /// The blob is there.
    Done(Answer),
    /// It is to be sent.
    Open(Session),
}

impl Session {
    /// Opens an upload (distribution-spec, end-4a).
    pub(super) async fn open(registry: &Arc<Registry>, repository: &Repository) -> Result<Self, Error> {
        let url = registry.url(&uploads(repository, "")).await?;
        let purpose = Purpose::push(repository);
        match begin(registry, repository, Request::new(Method::POST, url), purpose).await? {
            Begun::Open(session) => Ok(session),
            Begun::Done(answer) => Self::from_answer(registry.clone(), repository, &answer),
        }
    }

    /// Mounts the blob from another repository (distribution-spec, end-11); none if that was done. An answer that opens
    /// an upload instead is as good as any other. One that refuses a foreign or forbidden `from` says nothing of the
    /// upload itself.
    pub(super) async fn mount(
        registry: &Arc<Registry>,
        repository: &Repository,
        digest: &Digest,
        from: &Repository,
    ) -> Result<Option<Self>, Error> {
        let url = registry.url(&uploads(repository, &format!("?mount={digest}&from={}", from.path()))).await?;
        let purpose = Purpose::push(repository).and_pull(from);
        match begin(registry, repository, Request::new(Method::POST, url), purpose).await {
            Ok(Begun::Done(_)) => {
                registry.learned.note_mount(true);
                Ok(None)
            }
            Ok(Begun::Open(session)) => {
                registry.learned.note_mount(false);
                Ok(Some(session))
            }
            Err(error) if matches!(error.status(), Some(400..=405)) => {
                registry.learned.note_mount(false);
                Self::open(registry, repository).await.map(Some)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends a small blob with the `POST` (distribution-spec, end-4b), to a registry that may only open the upload.
    pub(super) async fn try_single(
        registry: &Arc<Registry>,
        repository: &Repository,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<Begun, Error> {
        let mut request = Self::single(registry, repository, digest).await?;
        request.body = bytes;
        begin(registry, repository, request, Purpose::push(repository)).await
    }

    /// The `POST` that brings a blob with it (distribution-spec, end-4b).
    pub(super) async fn single(
        registry: &Registry,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Request, Error> {
        let url = registry.url(&uploads(repository, &format!("?digest={digest}"))).await?;
        Ok(octets(Method::POST, url))
    }

    pub(super) fn from_answer(
        registry: Arc<Registry>,
        repository: &Repository,
        answer: &Answer,
    ) -> Result<Self, Error> {
        let chunk_min = answer.text("OCI-Chunk-Min-Length").and_then(|text| text.parse().ok()).unwrap_or_default();
        let (purpose, url) = (Purpose::push(repository), answer.location()?);
        Ok(Self { registry, purpose, url, chunk_min, is_open: true })
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

    /// The registry has the blob, and the upload is no more.
    pub(super) fn ended(mut self) {
        self.is_open = false;
    }

    /// Gives it up (distribution-spec, end-14).
    pub(super) async fn cancel(mut self) {
        self.cancelling().await;
    }

    fn cancelling(&mut self) -> impl Future<Output = ()> + Send + use<> {
        self.is_open = false;
        let (registry, purpose) = (self.registry.clone(), self.purpose.clone());
        let request = Request::new(Method::DELETE, self.url.clone());
        async move {
            let cancelled = registry.call_once(&request, &purpose);
            if !matches!(tokio::time::timeout(CANCEL_TIMEOUT, cancelled).await, Ok(Ok(_))) {
                tracing::debug!(upload = registry.wire.tried(&request), "an upload was left open");
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let (true, Ok(runtime)) = (self.is_open, Handle::try_current()) {
            let cancelling = self.cancelling();
            self.registry.uploads.spawn_on(cancelling.in_current_span(), &runtime);
        }
    }
}

impl Client {
    /// Waits until the uploads that were given up are cancelled, so that nothing is left at the registries; not for long.
    pub async fn settled(&self) {
        self.uploads().close();
        tokio::time::timeout(CANCEL_TIMEOUT, self.uploads().wait()).await.ok();
    }

    /// Opens an upload and cancels it: shows the right to push, and leaves nothing.
    pub(crate) async fn try_upload(&self, repository: &Repository) -> Result<(), Error> {
        let registry = self.registry(repository).await?;
        let session = registry.retried(|| Session::open(&registry, repository)).await?;
        session.cancel().await;
        Ok(())
    }
}

/// Sends the `POST` of an upload. Who wants it may give up before the answer comes: then nobody would know what to cancel,
/// so once it is sent it is waited for in a task of its own.
async fn begin(
    registry: &Arc<Registry>,
    repository: &Repository,
    request: Request,
    purpose: Purpose,
) -> Result<Begun, Error> {
    let ticket = registry.enter(&request).await?;
    let (registry, repository) = (registry.clone(), repository.clone());
    let uploads = registry.uploads.clone();
    let (told, hear) = oneshot::channel();
    let send = async move {
        let answered = registry.call_entered(ticket, &request, &purpose).await;
        let begun = answered.and_then(|answer| match answer.status() == 201 && request.url.query().is_some() {
            true => Ok(Begun::Done(answer)),
            false => Session::from_answer(registry, &repository, &answer).map(Begun::Open),
        });
        // An upload that nobody hears of is dropped here, and so cancelled.
        drop(told.send(begun));
    };
    uploads.spawn(send.in_current_span());
    hear.await.unwrap_or_else(|error| Err(Error::new(Kind::Internal, "open an upload").caused_by(error)))
}

fn uploads(repository: &Repository, query: &str) -> String {
    format!("/v2/{}/blobs/uploads/{query}", repository.path())
}

fn octets(method: Method, url: Url) -> Request {
    Request::new(method, url).header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
}
