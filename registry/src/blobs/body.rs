//! The body of an upload: pieces of a blob's stream, counted and watched.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream;

use super::push::Progress;
use super::stream::BlobStream;
use super::watch::Watch;
use crate::budget::{Budget, Way};
use crate::error::Error;
use crate::wire::Upload;

/// What is handed to the socket at once. Progress is seen by piece, so a slow connection must get small ones.
const PIECE_BYTES: usize = 64 * 1024;

/// A blob's stream, from which one request after the other takes its part.
pub(super) struct Feed {
    stream: tokio::sync::Mutex<(BlobStream, Bytes)>,
    /// Why the source failed: the HTTP client would tell it as a fault of the connection.
    fault: Mutex<Option<Error>>,
    progress: Progress,
    budget: Arc<Budget>,
}

/// Ends a body without its last byte, so that the other side cannot take it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the source failed")]
struct SourceFailed;

impl Feed {
    pub(super) fn new(stream: BlobStream, progress: Progress, budget: Arc<Budget>) -> Arc<Self> {
        let stream = tokio::sync::Mutex::new((stream, Bytes::new()));
        Arc::new(Self { stream, fault: Mutex::new(None), progress, budget })
    }

    /// The next `length` bytes as the body of a request.
    pub(super) fn part(self: &Arc<Self>, length: u64) -> Upload {
        let watch = Arc::new(Watch::new());
        if length == 0 {
            watch.committing();
            return Upload { body: Bytes::new().into(), length, watch };
        }
        let state = (self.clone(), watch.clone(), length);
        let pieces = stream::try_unfold(state, async |(feed, watch, left)| {
            if left == 0 {
                return Ok::<_, SourceFailed>(None);
            }
            watch.reading();
            let piece = feed.piece(left).await?;
            // Neither side is to blame for this wait.
            feed.budget.bytes(Way::Out, piece.len()).await;
            let left = left - piece.len() as u64;
            if left == 0 {
                watch.committing();
            } else {
                watch.sending();
            }
            (feed.progress)(piece.len() as u64);
            Ok(Some((piece, (feed, watch, left))))
        });
        Upload { body: reqwest::Body::wrap_stream(pieces), length, watch }
    }

    async fn piece(&self, max: u64) -> Result<Bytes, SourceFailed> {
        let mut stream = self.stream.lock().await;
        let (stream, rest) = &mut *stream;
        if rest.is_empty() {
            match stream.next().await {
                // The stream ends before its size only with an error, so there is something to give.
                Ok(chunk) => *rest = chunk.ok_or(SourceFailed)?,
                Err(error) => {
                    *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return Err(SourceFailed);
                }
            }
        }
        let max = usize::try_from(max).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        Ok(rest.split_to(max.min(rest.len())))
    }

    /// Why the source failed, if it did.
    pub(super) fn fault(&self) -> Option<Error> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
