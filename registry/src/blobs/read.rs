//! Reads blobs: asked for by `HEAD`, streamed by `GET`, resumed by `Range` after a cut.

use std::sync::Arc;

use backon::ExponentialBackoff;
use bytes::{Buf, Bytes};
use futures_util::stream;
use proto::{Descriptor, Digest, Repository};
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderValue, RANGE};

use super::stream::BlobStream;
use crate::budget::Way;
use crate::client::Client;
use crate::error::{Error, Kind};
use crate::transport::{Purpose, Registry};
use crate::wire::{Answer, Request};

impl Client {
    /// Asks for a blob without reading it (distribution-spec, end-2): its length in bytes; none if it is not there.
    ///
    /// # Errors
    /// `Refused` if the answer names no length, and those of any request.
    pub async fn blob_size(&self, repository: &Repository, digest: &Digest) -> Result<Option<u64>, Error> {
        let registry = self.registry(repository).await?;
        registry.retried(|| size_now(&registry, repository, digest)).await
    }

    /// Opens a blob for reading (distribution-spec, end-2). The stream goes on by itself after a cut.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt` if another length is announced, and those of any request; the stream has its own.
    pub async fn read_blob(&self, repository: &Repository, blob: &Descriptor) -> Result<BlobStream, Error> {
        let registry = self.registry(repository).await?;
        let request = Request::new(Method::GET, registry.url(&path(repository, &blob.digest)).await?);
        let name = format!("blob `{}` of `{repository}`", blob.digest);
        let delays = registry.options.delays(registry.options.resumes);
        let purpose = Purpose::pull(repository);
        let mut reader =
            Reader { registry, request, purpose, size: blob.size, passed: 0, skip: 0, answer: None, delays };
        reader.open().await?;
        let chunks =
            stream::try_unfold(reader, async |mut reader| Ok(reader.next().await?.map(|chunk| (chunk, reader))));
        Ok(BlobStream::checked(chunks, blob, name))
    }
}

/// As [`Client::blob_size`], asked only once.
pub(super) async fn size_now(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<u64>, Error> {
    let request = Request::new(Method::HEAD, registry.url(&path(repository, digest)).await?);
    match registry.call_once(&request, &Purpose::pull(repository)).await {
        Ok(answer) => match length(&answer) {
            Some(length) => Ok(Some(length)),
            None => Err(answer.error(Kind::Refused).because("the answer names no length")),
        },
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn path(repository: &Repository, digest: &Digest) -> String {
    format!("/v2/{}/blobs/{digest}", repository.path())
}

fn length(answer: &Answer) -> Option<u64> {
    answer.text(CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok())
}

/// Reads a blob to its announced size, over as many answers as it takes.
struct Reader {
    registry: Arc<Registry>,
    request: Request,
    purpose: Purpose,
    size: u64,
    /// Bytes passed on.
    passed: u64,
    /// Bytes of the present answer that were passed on before.
    skip: u64,
    answer: Option<Answer>,
    delays: ExponentialBackoff,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let Some(answer) = &mut self.answer else {
                self.open().await?;
                continue;
            };
            let error = match answer.chunk().await {
                Ok(Some(mut chunk)) => {
                    // Before the next is asked for, so that this is no stall.
                    self.registry.budget.bytes(Way::In, chunk.len()).await;
                    let skipped = self.skip.min(chunk.len() as u64);
                    chunk.advance(usize::try_from(skipped).unwrap_or(chunk.len()));
                    self.skip -= skipped;
                    self.passed += chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                Ok(None) if self.passed >= self.size => return Ok(None),
                Ok(None) => answer.error(Kind::Unavailable).because("the answer's body was cut"),
                Err(error) => error,
            };
            // All is there; what came after it, and was cut, is not needed.
            if self.passed >= self.size {
                return Ok(None);
            }
            self.answer = None;
            let Some(delay) = self.delays.next() else { return Err(error) };
            self.registry.pause(&error, delay).await;
        }
    }

    /// Asks for what is missing.
    async fn open(&mut self) -> Result<(), Error> {
        let mut request = self.request.clone();
        if self.passed > 0 {
            let range = HeaderValue::from_str(&format!("bytes={}-", self.passed));
            request = request.header(RANGE, range.map_err(|error| self.corrupt("its length is odd").caused_by(error))?);
        }
        let answer = self.registry.call(&request, &self.purpose).await.map_err(|error| match error.status() {
            // The registry has no more bytes than were passed on.
            Some(416) => error.with_kind(Kind::Corrupt),
            _ => error,
        })?;
        if answer.status() == 206 {
            self.check_range(&answer)?;
            self.skip = 0;
        } else {
            // The whole blob again, whatever was asked for: the digest at the end is over what was passed on.
            if let Some(length) = length(&answer).filter(|length| *length != self.size) {
                return Err(self.corrupt(&format!("{length} bytes are announced, its descriptor says {}", self.size)));
            }
            self.skip = self.passed;
        }
        self.answer = Some(answer);
        Ok(())
    }

    /// `Content-Range: bytes 5-9/10`, where the total may be `*` (RFC 9110, 14.4).
    fn check_range(&self, answer: &Answer) -> Result<(), Error> {
        let text = answer.text(CONTENT_RANGE.as_str()).unwrap_or_default();
        let parts = text.strip_prefix("bytes ").and_then(|text| text.split_once('/'));
        let start = parts.and_then(|(range, _)| range.split_once('-')).and_then(|(start, _)| start.parse::<u64>().ok());
        let total = parts.and_then(|(_, total)| total.parse::<u64>().ok());
        if start != Some(self.passed) {
            let asked = format!("asked for the bytes from {} on, got `{text}`", self.passed);
            return Err(answer.error(Kind::Refused).because(asked));
        }
        match total {
            Some(total) if total != self.size => {
                Err(self.corrupt(&format!("it has {total} bytes, its descriptor says {}", self.size)))
            }
            _ => Ok(()),
        }
    }

    fn corrupt(&self, why: &str) -> Error {
        self.registry.wire.error(Kind::Corrupt, &self.request).because(why)
    }
}
