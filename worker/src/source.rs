//! The source of an attempt: what it shows, and its manifests, each read once for all destinations.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use proto::limits::{IMAGE_MANIFEST_BYTES_MAX, MANIFESTS_PER_IMAGE_MAX};
use proto::{Digest, Manifest, Reference};
use registry::Place;
use tokio::sync::OnceCell;

use crate::failure::StageError;

/// The source, and the digest that this attempt copies whatever the tag does meanwhile.
pub(crate) struct Source {
    pub(crate) place: Place,
    pub(crate) digest: Digest,
    manifests: Mutex<HashMap<Digest, Arc<OnceCell<Arc<Manifest>>>>>,
    /// Of all manifests read.
    bytes: AtomicUsize,
}

impl Source {
    pub(crate) fn new(place: Place, digest: Digest) -> Self {
        Self { place, digest, manifests: Mutex::default(), bytes: AtomicUsize::new(0) }
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
        let manifest = self.place.manifest(&Reference::Digest(digest.clone())).await.map_err(StageError::Source)?;
        let before = self.bytes.fetch_add(manifest.raw.len(), Ordering::Relaxed);
        if before + manifest.raw.len() > IMAGE_MANIFEST_BYTES_MAX {
            return Err(StageError::TooLarge);
        }
        Ok(Arc::new(manifest))
    }
}
