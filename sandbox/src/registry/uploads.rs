//! Uploads of blobs: at once, by POST and PUT, in chunks, or by mount (distribution-spec, end-4 to end-6, end-11 to
//! end-14).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use bytes::BytesMut;
use hyper::http::request::Parts;
use hyper::{StatusCode, header};
use proto::Digest;
use proto::digest::Hasher;
use tokio::sync::Mutex;

use super::RegistryService;
use super::routes::{Query, parse_digest, unsupported};
use crate::answer::{Answer, Handled, name};
use crate::body::RequestBody;
use crate::store::Content;

/// Most room that is made for the bytes of an upload before they come.
const ROOM_MAX: u64 = 64 << 20;

/// The uploads that are open, by id.
#[derive(Default)]
pub(super) struct Uploads {
    open: std::sync::Mutex<HashMap<String, Open>>,
    started: std::sync::atomic::AtomicU64,
}

#[derive(Clone)]
struct Open {
    repository: String,
    upload: Arc<Mutex<Upload>>,
}

/// What has come so far. Bytes stay when the client goes away, so that it can go on where it was cut.
struct Upload {
    hasher: Hasher,
    length: u64,
    /// The bytes, until they are more than may be kept.
    kept: Option<BytesMut>,
    /// Whether a chunk was shorter than the least length; it must be the last.
    had_short_chunk: bool,
}

impl Uploads {
    fn start(&self, repository: &str) -> String {
        let number = self.started.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let id = Digest::of(format!("{repository} upload {number}").as_bytes()).short().to_owned();
        let open = Open { repository: repository.to_owned(), upload: Arc::new(Mutex::new(Upload::new())) };
        self.open().insert(id.clone(), open);
        id
    }

    fn get(&self, repository: &str, id: &str) -> Result<Arc<Mutex<Upload>>, Box<Answer>> {
        let found = self.open().get(id).filter(|open| open.repository == repository).map(|open| open.upload.clone());
        let unknown =
            || Answer::error(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "upload unknown to registry").into();
        found.ok_or_else(unknown)
    }

    fn end(&self, id: &str) -> bool {
        self.open().remove(id).is_some()
    }

    pub(super) fn count(&self) -> usize {
        self.open().len()
    }

    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upload {
    fn new() -> Self {
        Self { hasher: Hasher::sha256(), length: 0, kept: Some(BytesMut::new()), had_short_chunk: false }
    }

    /// Takes the body of a request; `false` if the client went away before its end.
    async fn take(&mut self, mut body: RequestBody, keep_max: u64) -> bool {
        if let Some(kept) = &mut self.kept {
            // Else the bytes of a large blob are copied again and again while the room for them grows.
            kept.reserve(body.expected().min(keep_max).min(ROOM_MAX) as usize);
        }
        while let Some(bytes) = body.next().await {
            let Ok(bytes) = bytes else { return false };
            self.hasher.update(&bytes);
            self.length += bytes.len() as u64;
            match &mut self.kept {
                Some(_) if self.length > keep_max => self.kept = None,
                Some(kept) => kept.extend_from_slice(&bytes),
                None => {}
            }
        }
        true
    }

    /// The content, if it has this digest. Other algorithms than SHA-256 need the bytes.
    fn content(&mut self, digest: &Digest) -> Option<Content> {
        let kept = self.kept.take().map(BytesMut::freeze);
        let agrees = match (digest.algorithm(), &kept) {
            ("sha256", _) => self.hasher.clone().finish() == *digest,
            (_, Some(bytes)) => digest.matches(bytes),
            (_, None) => false,
        };
        agrees.then(|| kept.map_or(Content::Discarded(self.length), Content::Kept))
    }
}

impl RegistryService {
    /// POST: a mount, a whole blob, or the start of an upload.
    pub(super) async fn start_upload(
        &self,
        repository: &str,
        head: &Parts,
        query: &Query,
        body: RequestBody,
    ) -> Handled {
        if let Some(mount) = query.get("mount") {
            let digest = parse_digest(mount)?;
            let is_mounted = self.mount(repository, query.get("from"), &digest, head);
            return Ok(if is_mounted { created(repository, &digest) } else { self.opened(repository) });
        }
        match query.get("digest") {
            Some(digest) if self.features().single_post => {
                let digest = parse_digest(digest)?;
                // Nobody is told of this upload, so nobody could go on with it.
                let mut upload = Upload::new();
                let is_whole = upload.take(body, self.keep_blob_bytes).await;
                if is_whole { self.keep(repository, &digest, &mut upload) } else { Err(broken_off().into()) }
            }
            _ => Ok(self.opened(repository)),
        }
    }

    /// GET: how far an upload is.
    pub(super) async fn upload_status(&self, repository: &str, id: &str) -> Handled {
        let length = self.uploads.get(repository, id)?.lock().await.length;
        Ok(self.at(StatusCode::NO_CONTENT, repository, id, length))
    }

    /// PATCH: one more chunk.
    pub(super) async fn take_chunk(&self, repository: &str, id: &str, head: &Parts, body: RequestBody) -> Handled {
        let features = self.features();
        if !features.chunked {
            return Err(unsupported().into());
        }
        let upload = self.uploads.get(repository, id)?;
        let mut upload = upload.lock().await;
        if out_of_order(head, upload.length) {
            return Err(self.at(StatusCode::RANGE_NOT_SATISFIABLE, repository, id, upload.length).into());
        }
        if upload.had_short_chunk {
            let why = "a chunk before was shorter than OCI-Chunk-Min-Length";
            return Err(Answer::error(StatusCode::BAD_REQUEST, "SIZE_INVALID", why).into());
        }
        let before = upload.length;
        if !upload.take(body, self.keep_blob_bytes).await {
            return Err(broken_off().into());
        }
        // The last chunk may be short, so only a next one will show that this was not the last.
        upload.had_short_chunk = features.chunk_min.is_some_and(|min| upload.length - before < min);
        Ok(self.at(StatusCode::ACCEPTED, repository, id, upload.length))
    }

    /// PUT: the last chunk or none, and the digest of all.
    pub(super) async fn end_upload(
        &self,
        repository: &str,
        id: &str,
        head: &Parts,
        query: &Query,
        body: RequestBody,
    ) -> Handled {
        let digest = parse_digest(query.get("digest").unwrap_or_default())?;
        let length = self.uploads.get(repository, id)?.lock().await.length;
        if out_of_order(head, length) {
            return Err(self.at(StatusCode::RANGE_NOT_SATISFIABLE, repository, id, length).into());
        }
        if self.features().put_body_max.is_some_and(|max| content_length(head).is_none_or(|length| length > max)) {
            let answer = Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "send large blobs in chunks");
            return Err(answer.with(header::CONNECTION, "close").into());
        }
        self.finish(repository, id, &digest, body).await
    }

    /// DELETE: the upload is given up.
    pub(super) fn cancel_upload(&self, repository: &str, id: &str) -> Handled {
        self.uploads.get(repository, id)?;
        self.uploads.end(id);
        Ok(Answer::new(StatusCode::NO_CONTENT))
    }

    fn mount(&self, repository: &str, from: Option<&str>, digest: &Digest, head: &Parts) -> bool {
        let features = self.features();
        match from {
            Some(from) => features.mount && self.store.mount(repository, from, digest),
            None if features.mount_without_from => {
                let names = self.store.repositories();
                let mut readable = names.iter().filter(|from| self.door.may_pull(head, from));
                readable.any(|from| self.store.mount(repository, from, digest))
            }
            None => false,
        }
    }

    async fn finish(&self, repository: &str, id: &str, digest: &Digest, body: RequestBody) -> Handled {
        let upload = self.uploads.get(repository, id)?;
        let mut upload = upload.lock().await;
        if !upload.take(body, self.keep_blob_bytes).await {
            return Err(broken_off().into());
        }
        self.uploads.end(id);
        self.keep(repository, digest, &mut upload)
    }

    /// What came becomes a blob, if it has its digest.
    fn keep(&self, repository: &str, digest: &Digest, upload: &mut Upload) -> Handled {
        let mismatch = || Answer::error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "digest did not match the content");
        let content = upload.content(digest).ok_or_else(mismatch)?;
        self.store.insert_blob(repository, digest, content);
        Ok(created(repository, digest))
    }

    fn opened(&self, repository: &str) -> Answer {
        let id = self.uploads.start(repository);
        let answer = self.at(StatusCode::ACCEPTED, repository, &id, 0);
        match self.features().chunk_min {
            Some(min) => answer.with(name::CHUNK_MIN_LENGTH, min.to_string()),
            None => answer,
        }
    }

    /// An answer about an upload of which `length` bytes are there.
    fn at(&self, status: StatusCode, repository: &str, id: &str, length: u64) -> Answer {
        let base = if self.features().absolute_locations { self.url.as_str() } else { "" };
        // The query shows clients that put `?digest=` behind every location.
        let location = format!("{base}/v2/{repository}/blobs/uploads/{id}?_state={length}");
        let answer = Answer::new(status).with(header::LOCATION, location).with(name::UPLOAD_ID, id);
        answer.with(header::RANGE, format!("0-{}", length.saturating_sub(1)))
    }
}

fn created(repository: &str, digest: &Digest) -> Answer {
    let answer = Answer::new(StatusCode::CREATED).with(name::DIGEST, digest.as_str());
    answer.with(header::LOCATION, format!("/v2/{repository}/blobs/{digest}"))
}

fn broken_off() -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", "the body ended early")
}

/// Whether a `Content-Range` is there and does not go on where the upload stands.
fn out_of_order(head: &Parts, length: u64) -> bool {
    let Some(range) = head.headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let Some((first, last)) = range.split_once('-') else { return true };
    let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else { return true };
    let length_of_range = last.checked_sub(first).map(|distance| distance + 1);
    first != length || content_length(head).is_some_and(|announced| length_of_range != Some(announced))
}

fn content_length(head: &Parts) -> Option<u64> {
    head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
