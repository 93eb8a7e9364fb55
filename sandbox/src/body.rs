//! Bodies in both directions, counted as they pass, and disturbed where a fault says so.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::{Method, Response, header};

use crate::answer::Answer;
use crate::faults::Effect;
use crate::flush::Flushes;
use crate::log::{Entry, Open};

/// Bytes of a body that are handed over at once.
const CHUNK: usize = 64 * 1024;

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The body of a request.
pub(crate) struct RequestBody {
    incoming: Incoming,
    entry: Arc<Entry>,
    read: u64,
    stall_after: Option<u64>,
    bytes_per_second: Option<u64>,
}

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, entry: Arc<Entry>, effects: &[Effect]) -> Self {
        let mut body = Self { incoming, entry, read: 0, stall_after: None, bytes_per_second: None };
        for effect in effects {
            match effect {
                Effect::SlowUpload(rate) => body.bytes_per_second = Some(*rate),
                Effect::StallUpload { after } => body.stall_after = Some(*after),
                _ => {}
            }
        }
        body
    }

    /// How many bytes will come, if the request said so; else 0.
    pub(crate) fn expected(&self) -> u64 {
        self.incoming.size_hint().exact().unwrap_or_default()
    }

    /// The next bytes; `None` at the end, an error if the client went away before it.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            if self.stall_after.is_some_and(|after| self.read >= after) {
                std::future::pending::<()>().await;
            }
            let frame = match self.incoming.frame().await? {
                Ok(frame) => frame,
                Err(error) => return Some(Err(error)),
            };
            let Ok(bytes) = frame.into_data() else { continue };
            self.read += bytes.len() as u64;
            self.entry.bytes_in.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            pace(bytes.len(), self.bytes_per_second).await;
            return Some(Ok(bytes));
        }
    }

    /// The whole body, if it is of at most `max` bytes and came to its end.
    pub(crate) async fn whole(mut self, max: usize) -> Option<Bytes> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.next().await {
            whole.extend_from_slice(&bytes.ok()?);
            if whole.len() > max {
                return None;
            }
        }
        Some(whole.freeze())
    }

    /// Reads to the end, for nothing.
    pub(crate) async fn drain(mut self) {
        while let Some(Ok(_)) = self.next().await {}
    }
}

/// Makes the response to a request out of an answer and what disturbs it.
pub(crate) fn response(
    method: &Method,
    answer: Answer,
    effects: &[Effect],
    open: Open,
    flushes: Flushes,
) -> Response<Body> {
    let sending = Sending::new(&answer, effects, open, flushes);
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    let has_length = !effects.iter().any(|effect| matches!(effect, Effect::NoLength));
    let bodyless = answer.status == hyper::StatusCode::NOT_MODIFIED || answer.status.as_u16() == 204;
    if has_length && !bodyless {
        response.headers_mut().insert(header::CONTENT_LENGTH, sending.length.into());
    }
    if method == Method::HEAD || bodyless || sending.length == 0 {
        sending.open.entry.complete.store(true, Ordering::SeqCst);
        return response;
    }
    let chunks = stream::unfold(sending, async |mut sending| {
        let chunk = sending.next().await?;
        Some((chunk.map(Frame::data), sending))
    });
    response.map(|_| StreamBody::new(Box::pin(chunks)).boxed_unsync())
}

/// The body of an answer on its way out.
struct Sending {
    content: crate::store::Content,
    /// Next byte of the content to send.
    position: u64,
    /// Where in the content the body starts and where the content proper ends; what follows is filled with zeros.
    start: u64,
    end: u64,
    /// Bytes to send in all.
    length: u64,
    sent: u64,
    cut_after: Option<u64>,
    stall_after: Option<u64>,
    corrupt_at: Option<u64>,
    bytes_per_second: Option<u64>,
    open: Open,
    flushes: Flushes,
}

impl Sending {
    fn new(answer: &Answer, effects: &[Effect], open: Open, flushes: Flushes) -> Self {
        let mut sending = Self {
            content: answer.content.clone(),
            position: answer.start,
            start: answer.start,
            end: answer.start + answer.length,
            length: answer.length,
            sent: 0,
            cut_after: None,
            stall_after: None,
            corrupt_at: None,
            bytes_per_second: None,
            open,
            flushes,
        };
        for effect in effects {
            match effect {
                Effect::CutBody { after } => sending.cut_after = Some(*after),
                Effect::StallBody { after } => sending.stall_after = Some(*after),
                Effect::CorruptBody { at } => sending.corrupt_at = Some(*at),
                Effect::Bandwidth(rate) => sending.bytes_per_second = Some(*rate),
                Effect::LongerBody { by } => sending.length += by,
                Effect::ShorterBody { by } => sending.length = sending.length.saturating_sub(*by),
                _ => {}
            }
        }
        sending
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.sent >= self.length {
            return None;
        }
        if self.stall_after.is_some_and(|after| self.sent >= after) {
            std::future::pending::<()>().await;
        }
        if self.cut_after.is_some_and(|after| self.sent >= after) {
            // The error ends the connection at once, with what it holds back.
            self.flushes.next().await;
            return Some(Err(io::Error::other("cut on command")));
        }
        let until = [self.stall_after, self.cut_after].into_iter().flatten().min().unwrap_or(self.length);
        let paced = self.bytes_per_second.map_or(CHUNK, |rate| (rate / 20).clamp(1, CHUNK as u64) as usize);
        let max = (until.min(self.length) - self.sent).min(paced as u64) as usize;
        let chunk = self.read(max);
        self.sent += chunk.len() as u64;
        pace(chunk.len(), self.bytes_per_second).await;
        self.open.entry.bytes_out.fetch_add(chunk.len() as u64, Ordering::SeqCst);
        // Said with the last bytes: a body of known length is not asked for its end.
        self.open.entry.complete.store(self.sent == self.length, Ordering::SeqCst);
        Some(Ok(chunk))
    }

    fn read(&mut self, max: usize) -> Bytes {
        let left = self.end.saturating_sub(self.position);
        if left == 0 {
            return Bytes::from(vec![0; max]);
        }
        let chunk = self.content.read(self.position, max.min(left as usize));
        let offset = self.position - self.start;
        self.position += chunk.len() as u64;
        match self.corrupt_at {
            Some(at) if (offset..offset + chunk.len() as u64).contains(&at) => {
                let mut bytes = chunk.to_vec();
                bytes[(at - offset) as usize] ^= 1;
                bytes.into()
            }
            _ => chunk,
        }
    }
}

/// Waits as long as `bytes` may take. Without a rate it does not even sleep for no time, which takes a millisecond.
pub(crate) async fn pace(bytes: usize, bytes_per_second: Option<u64>) {
    if let Some(rate) = bytes_per_second {
        tokio::time::sleep(Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64)).await;
    }
}
