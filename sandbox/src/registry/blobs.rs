//! Blobs: HEAD, GET whole or in part, DELETE (distribution-spec, end-2, end-10), and where they are redirected to.

use std::net::SocketAddr;

use hyper::http::request::Parts;
use hyper::{Method, StatusCode, header};
use proto::Digest;

use super::RegistryService;
use super::routes::{parse_digest, unsupported};
use crate::answer::{Answer, Handled, name};
use crate::body::RequestBody;
use crate::serve::Service;
use crate::store::{Content, Store};

impl RegistryService {
    pub(super) fn get_blob(&self, repository: &str, digest: &str, head: &Parts) -> Handled {
        let digest = parse_digest(digest)?;
        let content = self.store.content(repository, &digest).ok_or_else(unknown)?;
        let features = self.features();
        if features.redirect_blobs && head.method == Method::GET {
            let location = format!("{}/storage/{repository}/blobs/{digest}?sig=not-to-be-shown", self.storage_url);
            return Ok(Answer::new(StatusCode::TEMPORARY_REDIRECT).with(header::LOCATION, location));
        }
        Ok(serve(content, &digest, head, features.range))
    }

    pub(super) fn delete_blob(&self, repository: &str, digest: &str) -> Handled {
        if !self.features().deletion {
            return Err(unsupported().into());
        }
        let deleted = self.store.delete_blob(repository, &parse_digest(digest)?);
        if deleted { Ok(Answer::new(StatusCode::ACCEPTED)) } else { Err(unknown().into()) }
    }
}

fn unknown() -> Answer {
    Answer::error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry")
}

fn serve(content: Content, digest: &Digest, head: &Parts, heeds_range: bool) -> Answer {
    let size = content.size();
    if matches!(content, Content::Discarded(_)) && head.method == Method::GET {
        return Answer::error(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the blob's bytes were not kept");
    }
    let describe = |answer: Answer| {
        let answer = answer.with(header::CONTENT_TYPE, "application/octet-stream");
        let answer = answer.with(name::DIGEST, digest.as_str()).with(header::ETAG, format!("\"{digest}\""));
        if heeds_range { answer.with(header::ACCEPT_RANGES, "bytes") } else { answer }
    };
    let range = head.headers.get(header::RANGE).and_then(|value| value.to_str().ok()).filter(|_| heeds_range);
    match range.map(|range| parse_range(range, size)) {
        None | Some(Range::Ignored) => describe(Answer::new(StatusCode::OK).part(content, 0, size)),
        Some(Range::Part { first, last }) => {
            let answer = Answer::new(StatusCode::PARTIAL_CONTENT).part(content, first, last - first + 1);
            describe(answer).with(header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}"))
        }
        Some(Range::Unsatisfiable) => {
            let answer = Answer::error(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", "range not satisfiable");
            answer.with(header::CONTENT_RANGE, format!("bytes */{size}"))
        }
    }
}

enum Range {
    Part {
        first: u64,
        last: u64,
    },
    Unsatisfiable,
    /// Not understood, or of a kind that need not be heeded (RFC 9110, 14.2).
    Ignored,
}

fn parse_range(text: &str, size: u64) -> Range {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|spec| spec.split_once('-')) else {
        return Range::Ignored;
    };
    let (first, last) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.min(size.saturating_sub(1))),
        (Ok(first), Err(_)) if last.is_empty() => (first, size.saturating_sub(1)),
        (Err(_), Ok(suffix)) if first.is_empty() && suffix > 0 => (size.saturating_sub(suffix), size.saturating_sub(1)),
        _ => return Range::Ignored,
    };
    if first >= size { Range::Unsatisfiable } else { Range::Part { first, last } }
}

/// The second host that serves redirected blobs. It refuses requests with credentials, as object stores do.
pub(super) struct Storage {
    pub(super) store: Store,
}

impl Service for Storage {
    fn admit(&self, head: &Parts) -> Result<(), Box<Answer>> {
        if head.headers.contains_key(header::AUTHORIZATION) {
            let why = "only one auth mechanism allowed: the query is signed already";
            return Err(Answer::error(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", why).into());
        }
        Ok(())
    }

    async fn answer(&self, head: &Parts, _: RequestBody) -> Answer {
        let path = head.uri.path().strip_prefix("/storage/").and_then(|path| path.split_once("/blobs/"));
        let is_signed = head.uri.query().is_some_and(|query| query.contains("sig="));
        let found = path.filter(|_| is_signed).and_then(|(repository, digest)| {
            let digest = digest.parse().ok()?;
            Some((self.store.content(repository, &digest)?, digest))
        });
        match found {
            Some((content, digest)) => serve(content, &digest, head, true),
            None => Answer::error(StatusCode::FORBIDDEN, "DENIED", "not signed, or no such blob"),
        }
    }
}

/// Where [`Storage`] listens, as clients see it.
pub(super) fn storage_url(scheme: &str, address: SocketAddr) -> String {
    format!("{scheme}://{address}")
}
