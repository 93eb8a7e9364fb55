//! The source of an attempt: what it shows, and its content, each part read once for all destinations.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use proto::limits::{IMAGE_MANIFEST_BYTES_MAX, MANIFESTS_PER_IMAGE_MAX};
use proto::task::{Destination, Fingerprint, Sidecars};
use proto::{Class, Descriptor, Digest, Manifest, Reference};
use registry::{BlobSource, BlobStream, Kind, Place};
use tokio::sync::OnceCell;

use crate::context::TaskContext;
use crate::failure::StageError;

/// The source, and the digest that this attempt copies whatever the tag does meanwhile.
pub(crate) struct Source<'c> {
    cx: &'c TaskContext,
    pub(crate) place: Place,
    pub(crate) digest: Digest,
    /// The tags that hold what refers to its images.
    pub(crate) sidecars: Sidecars,
    /// Where else the same content is found; asked by digest, so it cannot be another.
    others: Vec<Place>,
    /// Whether the digest is a listing's, which may be older than what is there now.
    is_listed: bool,
    /// Whether the source has this digest; not known where it was named and nothing was asked.
    is_there: OnceCell<bool>,
    manifests: Mutex<HashMap<Digest, Arc<OnceCell<Arc<Manifest>>>>>,
    /// Of all manifests read.
    bytes: AtomicUsize,
}

impl<'c> Source<'c> {
    /// The source of this digest.
    pub(crate) fn new(cx: &'c TaskContext, place: Place, digest: Digest, sidecars: Sidecars) -> Self {
        let (others, is_listed, is_there) = (place.alternatives(), false, OnceCell::new_with(Some(true)));
        let (manifests, bytes) = (Mutex::default(), AtomicUsize::new(0));
        Self { cx, place, digest, sidecars, others, is_listed, is_there, manifests, bytes }
    }

    /// The same, where nobody has asked whether there is such a digest.
    pub(crate) fn pinned(self) -> Self {
        Self { is_there: OnceCell::new(), ..self }
    }

    /// The same, where a listing gave the digest.
    pub(crate) fn listed(self) -> Self {
        Self { is_listed: true, ..self }
    }

    /// The same, where the manifest was read already.
    pub(crate) fn with(self, manifest: Manifest) -> Self {
        let cell = OnceCell::new_with(Some(Arc::new(manifest)));
        let manifests = Mutex::new(HashMap::from([(self.digest.clone(), Arc::new(cell))]));
        Self { manifests, ..self }
    }

    /// The fingerprint of what is made of it for a destination.
    pub(crate) fn fingerprint(&self, destination: &Destination) -> Fingerprint {
        Fingerprint::of_copy(&self.digest, &destination.content)
    }

    /// Whether the source has the digest; it is asked once, unless it gave the manifest or named the digest itself.
    pub(crate) async fn is_there(&self) -> Result<bool, StageError> {
        let ask =
            || async { self.place.head(&Reference::Digest(self.digest.clone())).await.map(|head| head.is_some()) };
        self.is_there.get_or_try_init(ask).await.copied().map_err(StageError::Source)
    }

    /// A manifest, unless those of the image are too many, or together too large to be held.
    pub(crate) async fn manifest(&self, digest: &Digest) -> Result<Arc<Manifest>, StageError> {
        let cell = {
            let mut manifests = self.manifests.lock().unwrap_or_else(PoisonError::into_inner);
            // Also what is read only to see whether it is wanted.
            if manifests.len() > MANIFESTS_PER_IMAGE_MAX && !manifests.contains_key(digest) {
                return Err(StageError::TooLarge);
            }
            manifests.entry(digest.clone()).or_default().clone()
        };
        cell.get_or_try_init(|| self.read(digest)).await.cloned()
    }

    async fn read(&self, digest: &Digest) -> Result<Arc<Manifest>, StageError> {
        let manifest = match self.cx.tools.ledger.manifest(digest).await {
            Some(manifest) => manifest,
            None => {
                let manifest = self.ask(digest).await?;
                self.cx.tools.ledger.keep_manifest(&manifest).await;
                manifest
            }
        };
        let before = self.bytes.fetch_add(manifest.raw.len(), Ordering::Relaxed);
        if before + manifest.raw.len() > IMAGE_MANIFEST_BYTES_MAX {
            return Err(StageError::TooLarge);
        }
        Ok(Arc::new(manifest))
    }

    async fn ask(&self, digest: &Digest) -> Result<Manifest, StageError> {
        let name = Reference::Digest(digest.clone());
        let error = match self.place.manifest(&name).await {
            Ok(manifest) => {
                if *digest == self.digest {
                    // Known before, it says the same.
                    let _ = self.is_there.set(true);
                }
                return Ok(manifest);
            }
            Err(error) => error,
        };
        if self.is_outdated(&error) {
            return Err(StageError::Outdated(digest.clone()));
        }
        for other in self.others.iter().filter(|_| is_for_others(&error)) {
            match other.manifest(&name).await {
                Ok(manifest) => {
                    self.tell_of(other, &error);
                    return Ok(manifest);
                }
                Err(refused) => tracing::debug!(%refused, "an alternative has it neither"),
            }
        }
        Err(StageError::Source(error))
    }

    /// What it means that a blob did not come.
    pub(crate) fn without_blob(&self, blob: &Descriptor, error: registry::Error) -> StageError {
        match self.is_outdated(&error) {
            true => StageError::Outdated(blob.digest.clone()),
            false => StageError::Source(error),
        }
    }

    /// Whether it lacks something, and it may be that the listing is older than what is there now.
    fn is_outdated(&self, error: &registry::Error) -> bool {
        self.is_listed && error.kind() == Kind::NotFound
    }

    /// Says once in a run from where content came instead.
    fn tell_of(&self, other: &Place, error: &registry::Error) {
        if let (Some(own), Some(other)) = (self.place.repository(), other.repository()) {
            let why = match error.kind() {
                Kind::RateLimited => "allows no more for now",
                _ => "did not answer",
            };
            self.cx.warn(format!("{} {why}: content was read from {} instead, by digest", own.host(), other.host()));
        }
    }
}

/// Whether another place may do what this one did not: it is throttled, or down.
fn is_for_others(error: &registry::Error) -> bool {
    error.class() == Class::Defer
        || matches!(error.kind(), Kind::RateLimited | Kind::Unavailable | Kind::Stalled | Kind::Untrusted)
}

#[async_trait]
impl BlobSource for Source<'_> {
    async fn open(&self, blob: &Descriptor) -> Result<BlobStream, registry::Error> {
        let error = match self.place.open(blob).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        for other in self.others.iter().filter(|_| is_for_others(&error)) {
            if let Ok(stream) = other.open(blob).await {
                self.tell_of(other, &error);
                return Ok(stream);
            }
        }
        Err(error)
    }
}
