//! Pushes blobs: mounted if they are near, else streamed in one request, or in chunks where a registry wants that.

use std::sync::Arc;

use bytes::Bytes;
use proto::{Descriptor, Digest, Repository};
use reqwest::header::{CONTENT_RANGE, HeaderValue};

use super::body::Feed;
use super::read;
use super::session::{Begun, Session};
use super::stream::BlobSource;
use crate::auth::is_azure;
use crate::budget::Way;
use crate::client::Client;
use crate::error::{Error, Kind};
use crate::transport::{Purpose, Registry};
use crate::wire::{Answer, Request};

/// Is told of bytes as they leave, also of those that a second try sends again.
pub type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// Largest blob with which it is tried whether a registry takes a `POST` that brings the blob with it: where it does
/// not, these bytes are sent twice.
const TRIED_BYTES_MAX: u64 = 32 * 1024;

/// Most that Azure's registries take in one request. Above that they refuse it (413) or cut the connection, and then
/// nothing tells that chunks would do (goharbor/harbor#23015, Azure/azure-sdk-for-net#32059).
const AZURE_BODY_BYTES_MAX: u64 = 20_000_000;

/// Is said to keep a wrong blob, and to say nothing, where an upload comes in more than one chunk.
const WITHOUT_CHUNKS: &str = "ghcr.io";

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
    /// else read from `source` and sent with its length (distribution-spec, end-11; end-4b, or end-4a and end-6; end-5
    /// for chunks). Does not ask before whether it is there.
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
        let push = Push { registry: &registry, repository, blob, source, progress, tried: None };
        let may_mount = registry.learned.get().mounts != Some(false);
        let near = mount_from.filter(|from| may_mount && from.host() == repository.host() && *from != repository);
        // One finds out for all whether the registry takes a blob with the `POST`.
        let trial = registry.single_post.try_lock().ok().filter(|_| near.is_none() && push.is_worth_a_trial());
        let tried = match &trial {
            Some(_) => Some(push.bytes().await.map_err(PushError::Source)?),
            None => None,
        };
        let push = match &tried {
            Some(bytes) => Push { source: bytes, tried: Some(bytes), ..push },
            None => push,
        };
        let mut delays = registry.options.delays(registry.options.retries);
        let mut authorized_again = false;
        loop {
            let error = match push.once(near).await {
                Err(PushError::Destination(error)) => error,
                ended => return ended,
            };
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
    registry: &'a Arc<Registry>,
    repository: &'a Repository,
    blob: &'a Descriptor,
    source: &'a dyn BlobSource,
    progress: &'a Progress,
    /// The whole blob, which shows whether the registry takes one with the `POST`.
    tried: Option<&'a Bytes>,
}

impl Push<'_> {
    async fn once(&self, near: Option<&Repository>) -> Result<Pushed, PushError> {
        let session = match near {
            Some(from) => {
                let mounted = Session::mount(self.registry, self.repository, &self.blob.digest, from).await;
                let Some(session) = mounted.map_err(PushError::Destination)? else { return Ok(Pushed::Mounted) };
                session
            }
            None => {
                let Some(session) = self.single().await? else { return Ok(Pushed::Uploaded) };
                session
            }
        };
        let chunks = self.is_for_chunks();
        let refused = match self.send(session, chunks).await {
            Err(PushError::Destination(error)) if !chunks && self.blob.size > 0 && wants_chunks(&error) => error,
            sent => return sent.map(|()| Pushed::Uploaded),
        };
        tracing::debug!(%refused, "sending in chunks instead");
        self.send(self.open().await?, true).await?;
        self.registry.learned.note(|learned| learned.chunks_only = true);
        Ok(Pushed::Uploaded)
    }

    /// Whether the registry is known not to take this blob in one request.
    fn is_for_chunks(&self) -> bool {
        let is_cut = self.blob.size > AZURE_BODY_BYTES_MAX && is_azure(self.repository.host());
        is_cut || self.registry.learned.get().chunks_only
    }

    fn is_worth_a_trial(&self) -> bool {
        let is_unknown = self.registry.learned.get().single_post.is_none();
        is_unknown && self.blob.size <= TRIED_BYTES_MAX && !self.is_for_chunks()
    }

    async fn bytes(&self) -> Result<Bytes, Error> {
        self.source.open(self.blob).await?.bytes(TRIED_BYTES_MAX).await
    }

    /// Everything with the `POST` that opens the upload, where that is known to do, or is tried; the upload that it opened
    /// if it did not.
    async fn single(&self) -> Result<Option<Session>, PushError> {
        let begun = match (self.registry.learned.get().single_post, self.tried) {
            (Some(true), _) if !self.is_for_chunks() => self.post().await,
            (None, Some(bytes)) => self.post_to_try(bytes.clone()).await.map_err(PushError::Destination),
            _ => return self.open().await.map(Some),
        };
        let learn = |is_taken| self.registry.learned.note(|known| known.single_post = Some(is_taken));
        match begun {
            Ok(Begun::Done(answer)) => {
                learn(true);
                self.check_kept(&answer).map_err(PushError::Destination)?;
                Ok(None)
            }
            Ok(Begun::Open(session)) => {
                learn(false);
                Ok(Some(session))
            }
            // It may refuse this form, or close the connection on a body that it does not read.
            Err(PushError::Destination(error)) if may_be_about_the_form(&error) => {
                learn(false);
                let Err(refused) = self.settle(error).await else { return Ok(None) };
                tracing::debug!(%refused, "sending after the request that opens the upload instead");
                self.open().await.map(Some)
            }
            Err(error) => Err(error),
        }
    }

    async fn open(&self) -> Result<Session, PushError> {
        Session::open(self.registry, self.repository).await.map_err(PushError::Destination)
    }

    async fn post(&self) -> Result<Begun, PushError> {
        let request = Session::single(self.registry, self.repository, &self.blob.digest).await;
        let request = request.map_err(PushError::Destination)?;
        let _slot = self.registry.write_slot().await.map_err(PushError::Destination)?;
        let feed = self.feed().await?;
        let answer = self.part(&Purpose::push(self.repository), &request, &feed, self.blob.size).await?;
        match answer.status() == 201 {
            true => Ok(Begun::Done(answer)),
            false => Session::from_answer(self.registry.clone(), self.repository, &answer)
                .map(Begun::Open)
                .map_err(PushError::Destination),
        }
    }

    async fn post_to_try(&self, bytes: Bytes) -> Result<Begun, Error> {
        self.registry.budget.bytes(Way::Out, bytes.len()).await;
        (self.progress)(bytes.len() as u64);
        Session::try_single(self.registry, self.repository, &self.blob.digest, bytes).await
    }

    async fn send(&self, mut session: Session, chunks: bool) -> Result<(), PushError> {
        let sent = if chunks { self.chunks(&mut session).await } else { self.whole(&session).await };
        match sent {
            Err(PushError::Destination(error)) => self.settle(error).await.map_err(PushError::Destination)?,
            sent => sent?,
        }
        session.ended();
        Ok(())
    }

    /// One `PUT` with everything.
    async fn whole(&self, session: &Session) -> Result<(), PushError> {
        let _slot = self.registry.write_slot().await.map_err(PushError::Destination)?;
        let feed = self.feed().await?;
        let request = session.closing(&self.blob.digest);
        let answer = self.part(&session.purpose, &request, &feed, self.blob.size).await?;
        self.check_kept(&answer).map_err(PushError::Destination)
    }

    /// `PATCH` by `PATCH`, then an empty `PUT`.
    async fn chunks(&self, session: &mut Session) -> Result<(), PushError> {
        let slot = self.registry.write_slot().await.map_err(PushError::Destination)?;
        let feed = self.feed().await?;
        let chunk = match self.repository.host().as_str() {
            WITHOUT_CHUNKS => self.blob.size,
            _ => self.registry.options.chunk_bytes.max(session.chunk_min).max(1),
        };
        let mut sent = 0;
        while sent < self.blob.size {
            let length = chunk.min(self.blob.size - sent);
            let range = HeaderValue::from_str(&format!("{sent}-{}", sent + length - 1))
                .map_err(|error| PushError::Destination(Error::new(Kind::Internal, "name a chunk").caused_by(error)))?;
            let request = session.chunk().header(CONTENT_RANGE, range);
            let answer = self.part(&session.purpose, &request, &feed, length).await?;
            session.url = answer.location().map_err(PushError::Destination)?;
            sent += length;
        }
        // The source of a blob without a byte was not read to its end.
        drop((feed, slot));
        let closing = session.closing(&self.blob.digest);
        let answer = self.registry.call_once(&closing, &session.purpose).await.map_err(PushError::Destination)?;
        self.check_kept(&answer).map_err(PushError::Destination)
    }

    /// Opens the source, while a slot of the destination is held: never the other way round.
    async fn feed(&self) -> Result<Arc<Feed>, PushError> {
        let stream = self.source.open(self.blob).await.map_err(PushError::Source)?;
        Ok(Feed::new(stream, self.progress.clone(), self.registry.budget.clone()))
    }

    async fn part(
        &self,
        purpose: &Purpose,
        request: &Request,
        feed: &Arc<Feed>,
        length: u64,
    ) -> Result<Answer, PushError> {
        let answer = self.registry.upload(request, purpose, feed.part(length)).await;
        match feed.fault() {
            Some(fault) => Err(PushError::Source(fault)),
            None => answer.map_err(PushError::Destination),
        }
    }

    fn check_kept(&self, answer: &Answer) -> Result<(), Error> {
        match answer.text("Docker-Content-Digest").map(str::parse::<Digest>) {
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
        match read::size_now(self.registry, self.repository, &self.blob.digest).await {
            Ok(Some(size)) if size == self.blob.size => Ok(()),
            Ok(_) => Err(error),
            Err(told) => Err(told),
        }
    }
}

/// Whether a blob that came with the request that opens its upload may be taken in another form.
fn may_be_about_the_form(error: &Error) -> bool {
    match error.status() {
        Some(status) => matches!(status, 400 | 404 | 405 | 411 | 413 | 415 | 416 | 501),
        None => error.kind() == Kind::Unavailable,
    }
}

/// Whether a refusal of the whole blob may be one of its form: too large, or not known in one piece.
fn wants_chunks(error: &Error) -> bool {
    match error.status() {
        Some(405 | 411 | 413 | 416 | 501) => true,
        Some(404) => error.code().is_none(),
        _ => false,
    }
}
