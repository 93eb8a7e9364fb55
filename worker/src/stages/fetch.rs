//! Reads the manifests of an image: its own, its children's, and those of all that refers to it.

use std::collections::HashSet;

use futures_util::future::try_join;
use proto::limits::{IMAGE_MANIFEST_BYTES_MAX, INDEX_DEPTH_MAX, MANIFESTS_PER_IMAGE_MAX};
use proto::{Descriptor, Digest, Manifest, Reference, Tag};
use registry::Place;

use crate::failure::StageError;
use crate::stage::concurrently;
use crate::stages::resolve::Source;

/// Manifests asked for at once.
const CONCURRENCY: usize = 4;

/// An image as it is to be pushed.
pub(crate) struct Image {
    /// The manifest that gets the name.
    pub(crate) top: Manifest,
    /// All other manifests by level: children, referrers, and theirs. A level is pushed before the one above it.
    pub(crate) below: Vec<Vec<Part>>,
}

/// A manifest below the top one.
pub(crate) struct Part {
    pub(crate) manifest: Manifest,
    /// The tag by which cosign finds it, if it is a signature, an attestation or an SBOM in that form.
    pub(crate) sidecar: Option<Tag>,
}

/// What a manifest leads to.
struct Pointer {
    digest: Digest,
    sidecar: Option<Tag>,
}

impl Image {
    /// All distinct blobs, those of the top manifest first.
    pub(crate) fn blobs(&self) -> Vec<&Descriptor> {
        let mut seen = HashSet::new();
        let parts = self.below.iter().flatten().map(|part| &part.manifest);
        let all = std::iter::once(&self.top).chain(parts).flat_map(Manifest::blobs);
        all.filter(|blob| seen.insert(&blob.digest)).collect()
    }
}

/// Reads everything breadth first: parents before children, so that the levels backwards are an order to push in.
pub(crate) async fn run(source: &Source) -> Result<Image, StageError> {
    let place = &source.place;
    let top = read(place, &source.digest).await?;
    let mut seen = HashSet::from([top.digest.clone()]);
    let mut bytes = top.raw.len();
    let mut next = pointers(place, &top).await?;
    let mut below = Vec::new();
    while !next.is_empty() {
        next.retain(|pointer| seen.insert(pointer.digest.clone()));
        if below.len() > INDEX_DEPTH_MAX || seen.len() > MANIFESTS_PER_IMAGE_MAX || bytes > IMAGE_MANIFEST_BYTES_MAX {
            return Err(StageError::TooLarge);
        }
        let level = concurrently(CONCURRENCY, next.into_iter().map(|pointer| follow(place, pointer))).await?;
        bytes += level.iter().map(|part| part.manifest.raw.len()).sum::<usize>();
        let found = concurrently(CONCURRENCY, level.iter().map(|part| pointers(place, &part.manifest))).await?;
        next = found.into_iter().flatten().collect();
        below.push(level);
    }
    Ok(Image { top, below })
}

async fn follow(place: &Place, pointer: Pointer) -> Result<Part, StageError> {
    let manifest = read(place, &pointer.digest).await?;
    Ok(Part { manifest, sidecar: pointer.sidecar })
}

async fn read(place: &Place, digest: &Digest) -> Result<Manifest, StageError> {
    place.manifest(&Reference::Digest(digest.clone())).await.map_err(StageError::Source)
}

/// The children of a manifest and what refers to it, in both forms: referrers and cosign's tags.
async fn pointers(place: &Place, manifest: &Manifest) -> Result<Vec<Pointer>, StageError> {
    let children = manifest.children().iter().filter(|child| child.is_manifest());
    let mut found: Vec<Pointer> = children.map(|c| Pointer { digest: c.digest.clone(), sidecar: None }).collect();
    let asked = try_join(place.referrers(&manifest.digest), place.cosign_tags(&manifest.digest));
    let (referrers, sidecars) = asked.await.map_err(StageError::Source)?;
    found.extend(referrers.into_iter().map(|referrer| Pointer { digest: referrer.digest, sidecar: None }));
    found.extend(sidecars.into_iter().map(|(tag, head)| Pointer { digest: head.digest, sidecar: Some(tag) }));
    Ok(found)
}
