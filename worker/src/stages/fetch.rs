//! Reads the manifests of an image: its own, its children's, and those of all that refers to it.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

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
    /// All other manifests in the order in which to push them: none of a level has children in its own or a later one.
    pub(crate) below: Vec<Vec<Part>>,
}

/// A manifest below the top one.
pub(crate) struct Part {
    pub(crate) manifest: Manifest,
    /// The tags by which cosign finds it, if it is a signature, an attestation or an SBOM in that form.
    pub(crate) sidecars: Vec<Tag>,
}

/// What a manifest leads to: digests, each with the tags that name it.
type Pointers = BTreeMap<Digest, Vec<Tag>>;

impl Image {
    /// All distinct blobs, those of the top manifest first.
    pub(crate) fn blobs(&self) -> Vec<&Descriptor> {
        let mut seen = HashSet::new();
        let parts = self.below.iter().flatten().map(|part| &part.manifest);
        let all = std::iter::once(&self.top).chain(parts).flat_map(Manifest::blobs);
        all.filter(|blob| seen.insert(&blob.digest)).collect()
    }
}

/// Reads everything, each manifest once, breadth first.
pub(crate) async fn run(source: &Source) -> Result<Image, StageError> {
    let place = &source.place;
    let bytes = AtomicUsize::new(0);
    let top = read(place, &source.digest, &bytes).await?;
    let mut parts: BTreeMap<Digest, Part> = BTreeMap::new();
    let mut next = pointers(place, &top).await?;
    for _depth in 0..=INDEX_DEPTH_MAX {
        next.remove(&top.digest);
        let mut new = Vec::new();
        for (digest, sidecars) in std::mem::take(&mut next) {
            match parts.get_mut(&digest) {
                Some(known) => known.sidecars.extend(sidecars),
                None => new.push((digest, sidecars)),
            }
        }
        if new.is_empty() {
            return Ok(Image { top, below: in_levels(parts) });
        }
        if parts.len() + new.len() > MANIFESTS_PER_IMAGE_MAX {
            return Err(StageError::TooLarge);
        }
        let level = concurrently(CONCURRENCY, new.iter().map(|(digest, _)| read(place, digest, &bytes))).await?;
        for found in concurrently(CONCURRENCY, level.iter().map(|manifest| pointers(place, manifest))).await? {
            for (digest, sidecars) in found {
                next.entry(digest).or_default().extend(sidecars);
            }
        }
        let level =
            level.into_iter().zip(new).map(|(manifest, (digest, sidecars))| (digest, Part { manifest, sidecars }));
        parts.extend(level);
    }
    Err(StageError::TooLarge)
}

/// Reads one manifest, unless those of the image together become too large to be held.
async fn read(place: &Place, digest: &Digest, bytes: &AtomicUsize) -> Result<Manifest, StageError> {
    let manifest = place.manifest(&Reference::Digest(digest.clone())).await.map_err(StageError::Source)?;
    let before = bytes.fetch_add(manifest.raw.len(), Ordering::Relaxed);
    if before + manifest.raw.len() > IMAGE_MANIFEST_BYTES_MAX {
        return Err(StageError::TooLarge);
    }
    Ok(manifest)
}

/// The children of a manifest and what refers to it, in both forms: referrers and cosign's tags.
async fn pointers(place: &Place, manifest: &Manifest) -> Result<Pointers, StageError> {
    let (referrers, sidecars) =
        futures_util::future::try_join(place.referrers(&manifest.digest), place.cosign_tags(&manifest.digest))
            .await
            .map_err(StageError::Source)?;
    let children = manifest.children().iter().filter(|child| child.is_manifest());
    let mut found = Pointers::new();
    for descriptor in children.chain(&referrers) {
        found.entry(descriptor.digest.clone()).or_default();
    }
    for (tag, head) in sidecars {
        found.entry(head.digest).or_default().push(tag);
    }
    Ok(found)
}

/// Sorts manifests so that all children of one are in levels before it.
fn in_levels(mut parts: BTreeMap<Digest, Part>) -> Vec<Vec<Part>> {
    let mut levels = Vec::new();
    while !parts.is_empty() {
        let has_children_here =
            |part: &Part| part.manifest.children().iter().any(|child| parts.contains_key(&child.digest));
        let ready: Vec<Digest> =
            parts.iter().filter(|(_, part)| !has_children_here(part)).map(|(digest, _)| digest.clone()).collect();
        // A digest cannot be below itself, so some are always ready.
        levels.push(ready.iter().filter_map(|digest| parts.remove(digest)).collect());
    }
    levels
}
