//! Reads the manifests of an image: its own, its children's, and those of all that refers to it, as far as they are
//! wanted.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::try_join;
use proto::content::{Content, ReferrerKind, Referrers};
use proto::limits::{INDEX_DEPTH_MAX, MANIFESTS_PER_IMAGE_MAX};
use proto::{Descriptor, Digest, Manifest, Tag};
use registry::Kind;

use crate::context::TaskContext;
use crate::failure::StageError;
use crate::platforms::{Narrowed, narrow};
use crate::source::Source;
use crate::stage::concurrently;

/// Manifests asked for at once.
const CONCURRENCY: usize = 4;

/// An image as it is to be pushed.
pub(crate) struct Image {
    /// The manifest that gets the name.
    pub(crate) top: Arc<Manifest>,
    /// All other manifests in the order in which to push them: none of a level has children in its own or a later one.
    pub(crate) below: Vec<Vec<Part>>,
    /// Whether an index names what is not carried.
    is_sparse: bool,
}

/// A manifest below the top one.
pub(crate) struct Part {
    pub(crate) manifest: Arc<Manifest>,
    /// The tags by which cosign finds it, if it is a signature, an attestation or an SBOM in that form.
    pub(crate) sidecars: Vec<Tag>,
}

/// What a manifest leads to: digests, each with the tags that name it.
type Pointers = BTreeMap<Digest, Vec<Tag>>;

impl Image {
    /// All distinct blobs, those of the top manifest first.
    pub(crate) fn blobs(&self) -> Vec<&Descriptor> {
        let mut seen = HashSet::new();
        let parts = self.below.iter().flatten().map(|part| &*part.manifest);
        let all = std::iter::once(&*self.top).chain(parts).flat_map(Manifest::blobs);
        all.filter(|blob| seen.insert(&blob.digest)).collect()
    }

    /// The blob of this digest, if it is of the image.
    pub(crate) fn blob(&self, digest: &Digest) -> Option<&Descriptor> {
        self.blobs().into_iter().find(|blob| blob.digest == *digest)
    }

    /// The manifest of this digest, if it is below the top one.
    pub(crate) fn part(&self, digest: &Digest) -> Option<&Part> {
        self.below.iter().flatten().find(|part| part.manifest.digest == *digest)
    }

    /// Of all that it consists of, blobs and manifests.
    pub(crate) fn digests(&self) -> Vec<Digest> {
        let blobs = self.blobs().into_iter().map(|blob| blob.digest.clone());
        self.digests_of_manifests().into_iter().chain(blobs).collect()
    }

    /// Of its manifests, the top one first.
    pub(crate) fn digests_of_manifests(&self) -> Vec<Digest> {
        let parts = self.below.iter().flatten().map(|part| &part.manifest.digest);
        std::iter::once(&self.top.digest).chain(parts).cloned().collect()
    }

    /// How many manifests and blobs it consists of.
    pub(crate) fn parts(&self) -> u32 {
        u32::try_from(self.digests().len()).unwrap_or(u32::MAX)
    }

    /// What no manifest names: referrers, what cosign finds by a tag, and what is only theirs.
    pub(crate) fn referring(&self) -> HashSet<Digest> {
        let is_referring = |part: &&Part| part.manifest.subject.is_some() || !part.sidecars.is_empty();
        let parts = self.below.iter().flatten().filter(is_referring);
        let own = parts.clone().map(|part| part.manifest.digest.clone());
        own.chain(parts.flat_map(|part| part.manifest.blobs()).map(|blob| blob.digest.clone())).collect()
    }

    /// What it means that the destination did not take `manifest`.
    pub(crate) fn not_taken(&self, manifest: &Manifest, error: registry::Error) -> StageError {
        let is_refused = matches!(error.kind(), Kind::Refused | Kind::NotFound);
        if self.is_sparse && manifest.is_index() && is_refused {
            StageError::Sparse(error)
        } else {
            StageError::Destination(error)
        }
    }
}

/// Reads everything, each manifest once, breadth first.
pub(crate) async fn run(cx: &TaskContext, source: &Source<'_>, content: &Content) -> Result<Image, StageError> {
    let narrowed = narrow(cx, source, &content.platforms).await?;
    let top = narrowed.top.clone();
    let reading = Reading { source, narrowed: &narrowed, wanted: &content.referrers, left_behind: AtomicUsize::new(0) };
    let below = reading.below(&top).await?;
    let left_behind = reading.left_behind.into_inner();
    if left_behind > 0 {
        cx.warn(format!(
            "the index was written anew with {}: {left_behind} signatures and other referrers of {} do not fit it and \
             were left behind",
            content.platforms, source.digest
        ));
    }
    Ok(Image { top, below, is_sparse: narrowed.is_sparse })
}

struct Reading<'a> {
    source: &'a Source<'a>,
    narrowed: &'a Narrowed,
    wanted: &'a Referrers,
    /// What refers to indexes at the source that were written anew.
    left_behind: AtomicUsize,
}

impl Reading<'_> {
    async fn below(&self, top: &Manifest) -> Result<Vec<Vec<Part>>, StageError> {
        let mut parts: BTreeMap<Digest, Part> = BTreeMap::new();
        let mut next = self.pointers(top).await?;
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
                return Ok(in_levels(parts));
            }
            if parts.len() + new.len() > MANIFESTS_PER_IMAGE_MAX {
                return Err(StageError::TooLarge);
            }
            let level = concurrently(CONCURRENCY, new.iter().map(|(digest, _)| self.manifest(digest))).await?;
            for found in concurrently(CONCURRENCY, level.iter().map(|manifest| self.pointers(manifest))).await? {
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

    /// A manifest as it goes to the destination.
    async fn manifest(&self, digest: &Digest) -> Result<Arc<Manifest>, StageError> {
        match self.narrowed.indexes.get(digest) {
            Some(index) => Ok(index.clone()),
            None => self.source.manifest(digest).await,
        }
    }

    /// The children of a manifest, and what refers to it.
    async fn pointers(&self, manifest: &Manifest) -> Result<Pointers, StageError> {
        let mut found = match self.narrowed.rewritten.get(&manifest.digest) {
            None => self.referring(&manifest.digest).await?,
            Some(before) => {
                let left_behind = self.referring(before).await?.len();
                self.left_behind.fetch_add(left_behind, Ordering::Relaxed);
                Pointers::new()
            }
        };
        for child in manifest.children().iter().filter(|child| child.is_manifest()) {
            found.entry(child.digest.clone()).or_default();
        }
        Ok(found)
    }

    /// What refers to a manifest and is wanted, in both forms: referrers and cosign's tags.
    async fn referring(&self, subject: &Digest) -> Result<Pointers, StageError> {
        if self.wanted.wants_nothing() {
            return Ok(Pointers::new());
        }
        let Source { place, sidecars, .. } = self.source;
        let referrers = place.referrers(subject, sidecars);
        let tags = place.cosign_tags(subject, self.wanted, sidecars);
        let (referrers, tags) = try_join(referrers, tags).await.map_err(StageError::Source)?;
        let is_wanted = concurrently(CONCURRENCY, referrers.iter().map(|referrer| self.is_wanted(referrer))).await?;
        let referrers = referrers.into_iter().zip(is_wanted).filter(|(_, is_wanted)| *is_wanted);
        let mut found: Pointers = referrers.map(|(referrer, _)| (referrer.digest, Vec::new())).collect();
        for (tag, head) in tags {
            found.entry(head.digest).or_default().push(tag);
        }
        Ok(found)
    }

    /// Whether a referrer is of a wanted kind; it is read where its type alone does not tell.
    async fn is_wanted(&self, referrer: &Descriptor) -> Result<bool, StageError> {
        if *self.wanted == Referrers::All {
            return Ok(true);
        }
        let kind = match referrer.artifact_type.as_deref().and_then(ReferrerKind::of_type) {
            Some(kind) => kind,
            None => ReferrerKind::of(&*self.source.manifest(&referrer.digest).await?),
        };
        Ok(self.wanted.wants(kind))
    }
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
