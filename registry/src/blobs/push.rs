//! Pushes blobs: mounted if they are near, else streamed in one `PUT`, in chunks where a registry wants that.

use std::sync::Arc;
use std::time::Duration;

use proto::{Descriptor, Repository};
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};

use super::body::Feed;
use super::stream::BlobSource;
use crate::client::Client;
use crate::error::{Error, Kind};
use crate::transport::{Purpose, Registry};
use crate::wire::{Answer, Request};

/// Is told of bytes as they leave, also of those that a second try sends again.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Cancelling is a courtesy: not worth waiting for a registry that does not answer.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Whole uploads that broke before chunks are tried: some servers cut large ones and say nothing.
const CUTS_BEFORE_CHUNKS: u32 = 2;

/// How a blob came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// Its bytes were sent.
    Uploaded,
    /// It was mounted from another repository.
    Mounted,
}

/// Which side of a push failed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The blob could not be read.
    #[error(transparent)]
    Source(Error),
    /// The blob could not be written.
    #[error(transparent)]
    Destination(Error),
}

impl Client {
    /// Puts a blob into `repository`: mounted from `mount_from` (of the same registry) if that is given and works,
    /// else read from `source` and sent with its length (distribution-spec, end-11, end-4a and end-6; end-5 for
    /// chunks). Does not ask before whether it is there.
    ///
    /// # Errors
    /// Says which side failed. A destination that did not get the last byte has no blob.
    pub async fn push_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        mount_from: Option<&Repository>,
        source: &dyn BlobSource,
        progress: &Progress,
    ) -> Result<Pushed, PushError> {
        let registry = self.registry(repository).await.map_err(PushError::Destination)?;
        let push = Push { client: self, registry: &registry, repository, blob, source, progress };
        let near = mount_from.filter(|from| from.host() == repository.host() && *from != repository);
        let mut delays = registry.options.delays(registry.options.retries);
        let (mut cuts, mut authorized_again) = (0, false);
        loop {
            let chunks = registry.learned.get().chunks_only || cuts >= CUTS_BEFORE_CHUNKS;
            let error = match push.once(near, chunks).await {
                Err(PushError::Destination(error)) => error,
                ended => return ended,
            };
            cuts += u32::from(error.kind() == Kind::Unavailable && error.status().is_none());
            if error.status() == Some(401) && !authorized_again {
                // The token ended between the two requests; the next one is new.
                authorized_again = true;
                continue;
            }
            let Some(delay) = delays.next().filter(|_| error.may_pass()) else {
                return Err(PushError::Destination(error));
            };
            registry.pause(&error, delay).await;
        }
    }
}

struct Push<'a> {
    client: &'a Client,
    registry: &'a Registry,
    repository: &'a Repository,
    blob: &'a Descriptor,
    source: &'a dyn BlobSource,
    progress: &'a Progress,
}

/// An open upload.
struct Session {
    url: Url,
    /// The registry wants chunks of at least so many bytes (`OCI-Chunk-Min-Length`).
    chunk_min: u64,
}

impl Push<'_> {
    async fn once(&self, near: Option<&Repository>, chunks: bool) -> Result<Pushed, PushError> {
        let Some(session) = self.open(near).await.map_err(PushError::Destination)? else {
            return Ok(Pushed::Mounted);
        };
        let refused = match self.send(session, chunks).await {
            Err(PushError::Destination(error)) if !chunks && self.blob.size > 0 && wants_chunks(&error) => error,
            sent => return sent.map(|()| Pushed::Uploaded),
        };
        tracing::debug!(%refused, "sending in chunks instead");
        let Some(session) = self.open(None).await.map_err(PushError::Destination)? else {
            return Ok(Pushed::Mounted);
        };
        self.send(session, true).await?;
        self.registry.learned.note(|learned| learned.chunks_only = true);
        Ok(Pushed::Uploaded)
    }

    /// Opens an upload, or mounts: then there is none. An answer that opens an upload in place of the mount is as good
    /// as any other; one that refuses (a foreign or forbidden `from`) says nothing of the upload itself.
    async fn open(&self, near: Option<&Repository>) -> Result<Option<Session>, Error> {
        if let Some(from) = near {
            let query = format!("?mount={}&from={}", self.blob.digest, from.path());
            match self.post(&query, &self.purpose().and_pull(from)).await {
                Ok(answer) if answer.status() == 201 => {
                    self.registry.learned.note(|learned| learned.mounts = true);
                    return Ok(None);
                }
                Ok(answer) => return self.session(&answer).map(Some),
                Err(error) if matches!(error.status(), Some(400..=405)) => {}
                Err(error) => return Err(error),
            }
        }
        let answer = self.post("", &self.purpose()).await?;
        self.session(&answer).map(Some)
    }

    fn purpose(&self) -> Purpose {
        Purpose::push(self.repository)
    }

    async fn post(&self, query: &str, purpose: &Purpose) -> Result<Answer, Error> {
        let path = format!("/v2/{}/blobs/uploads/{query}", self.repository.path());
        let request = Request::new(Method::POST, self.registry.url(&path).await?);
        self.registry.call_once(&request, purpose).await
    }

    fn session(&self, answer: &Answer) -> Result<Session, Error> {
        let chunk_min = answer.text("OCI-Chunk-Min-Length").and_then(|text| text.parse().ok()).unwrap_or_default();
        Ok(Session { url: answer.location()?, chunk_min })
    }

    async fn send(&self, session: Session, chunks: bool) -> Result<(), PushError> {
        let mut url = session.url.clone();
        let sent = if chunks { self.chunks(session, &mut url).await } else { self.whole(&url).await };
        match sent {
            Ok(()) => Ok(()),
            Err(PushError::Destination(error)) => match self.settle(error).await {
                Ok(()) => Ok(()),
                Err(error) => {
                    self.cancel(url).await;
                    Err(PushError::Destination(error))
                }
            },
            Err(source) => {
                self.cancel(url).await;
                Err(source)
            }
        }
    }

    /// One `PUT` with everything (distribution-spec, end-6).
    async fn whole(&self, url: &Url) -> Result<(), PushError> {
        let _slot = self.registry.write_slot().await.map_err(PushError::Destination)?;
        let feed = self.feed().await?;
        let request = octets(Method::PUT, self.closing(url));
        let answer = self.part(&request, &feed, self.blob.size).await?;
        self.check_kept(&answer).map_err(PushError::Destination)
    }

    /// `PATCH` by `PATCH`, then an empty `PUT` (distribution-spec, end-5 and end-6). `url` is kept at the session's
    /// present location.
    async fn chunks(&self, session: Session, url: &mut Url) -> Result<(), PushError> {
        let slot = self.registry.write_slot().await.map_err(PushError::Destination)?;
        let feed = self.feed().await?;
        let chunk = self.registry.options.chunk_bytes.max(session.chunk_min).max(1);
        let mut sent = 0;
        while sent < self.blob.size {
            let length = chunk.min(self.blob.size - sent);
            let range = HeaderValue::from_str(&format!("{sent}-{}", sent + length - 1))
                .map_err(|error| PushError::Destination(Error::new(Kind::Internal, "name a chunk").caused_by(error)))?;
            let request = octets(Method::PATCH, url.clone()).header(CONTENT_RANGE, range);
            let answer = self.part(&request, &feed, length).await?;
            *url = answer.location().map_err(PushError::Destination)?;
            sent += length;
        }
        drop(slot);
        let request = octets(Method::PUT, self.closing(url));
        let answer = self.registry.call_once(&request, &self.purpose()).await.map_err(PushError::Destination)?;
        self.check_kept(&answer).map_err(PushError::Destination)
    }

    /// Opens the source, while a slot of the destination is held: never the other way round.
    async fn feed(&self) -> Result<Arc<Feed>, PushError> {
        let stream = self.source.open(self.blob).await.map_err(PushError::Source)?;
        Ok(Feed::new(stream, self.progress.clone()))
    }

    async fn part(&self, request: &Request, feed: &Arc<Feed>, length: u64) -> Result<Answer, PushError> {
        let answer = self.registry.upload(request, &self.purpose(), feed.part(length)).await;
        match feed.fault() {
            Some(fault) => Err(PushError::Source(fault)),
            None => answer.map_err(PushError::Destination),
        }
    }

    fn closing(&self, url: &Url) -> Url {
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("digest", self.blob.digest.as_str());
        url
    }

    fn check_kept(&self, answer: &Answer) -> Result<(), Error> {
        match answer.text("Docker-Content-Digest").map(str::parse::<proto::Digest>) {
            Some(Ok(kept)) if kept != self.blob.digest && kept.algorithm() == self.blob.digest.algorithm() => {
                Err(answer.error(Kind::Corrupt).because(format!("the registry keeps it as `{kept}`")))
            }
            _ => Ok(()),
        }
    }

    /// After an upload without answer: a server that answers before it read the body breaks the connection, and the
    /// answer is lost. So what counts is what the registry says now: the blob is there, or why it is not.
    async fn settle(&self, error: Error) -> Result<(), Error> {
        if error.status().is_some() || !error.may_pass() {
            return Err(error);
        }
        match self.client.blob_size(self.repository, &self.blob.digest).await {
            Ok(Some(size)) if size == self.blob.size => Ok(()),
            Ok(_) => Err(error),
            Err(told) => Err(told),
        }
    }

    /// Gives an upload up (distribution-spec, end-14), so that nothing is left at the registry.
    async fn cancel(&self, url: Url) {
        let request = Request::new(Method::DELETE, url);
        let cancelled = tokio::time::timeout(CANCEL_TIMEOUT, self.registry.call_once(&request, &self.purpose())).await;
        if !matches!(cancelled, Ok(Ok(_))) {
            tracing::debug!(upload = request.tried(), "an upload was left open");
        }
    }
}

fn octets(method: Method, url: Url) -> Request {
    Request::new(method, url).header(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))
}

/// Whether a refusal of the whole blob may be one of its form: too large, or not known in one piece.
fn wants_chunks(error: &Error) -> bool {
    match error.status() {
        Some(405 | 411 | 413 | 416 | 501) => true,
        Some(404) => error.code().is_none(),
        _ => false,
    }
}
