//! The fewest requests that bring images into an empty registry, and that read them out of one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use sandbox::content::Tagged;

/// What is to be sent, each thing once.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Unique blobs, each into the first repository that needs it; large ones first.
    pub(crate) blobs: Vec<Blob>,
    /// The other repositories that need them.
    pub(crate) mounts: Vec<Mount>,
    /// What names no other manifest, and then the indexes.
    pub(crate) manifests: [Vec<Manifest>; 2],
    repositories: BTreeSet<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) repository: String,
    pub(crate) digest: String,
    pub(crate) bytes: Bytes,
}

#[derive(Debug, Clone)]
pub(crate) struct Mount {
    pub(crate) repository: String,
    pub(crate) from: String,
    pub(crate) digest: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    pub(crate) repository: String,
    /// The tag, or of a child the digest.
    pub(crate) reference: String,
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
}

impl Plan {
    pub(crate) fn of(images: impl Iterator<Item = Tagged>) -> Self {
        let mut plan = Self::default();
        let (mut first, mut placed) = (BTreeMap::new(), BTreeSet::new());
        for at in images {
            plan.repositories.insert(at.repository.clone());
            for (digest, bytes) in at.blobs() {
                let (repository, digest) = (at.repository.clone(), digest.to_string());
                if !placed.insert((repository.clone(), digest.clone())) {
                    continue;
                }
                match first.get(&digest).cloned() {
                    Some(from) => plan.mounts.push(Mount { repository, from, digest }),
                    None => {
                        first.insert(digest.clone(), repository.clone());
                        plan.blobs.push(Blob { repository, digest, bytes });
                    }
                }
            }
            for (image, is_top) in at.image.children.iter().zip(std::iter::repeat(false)).chain([(&at.image, true)]) {
                plan.manifests[usize::from(!image.children.is_empty())].push(Manifest {
                    repository: at.repository.clone(),
                    reference: if is_top { at.tag.clone() } else { image.digest().to_string() },
                    media_type: image.media_type.clone(),
                    bytes: image.raw.clone(),
                });
            }
        }
        plan.blobs.sort_by_key(|blob| std::cmp::Reverse(blob.bytes.len()));
        plan
    }

    /// Bytes of all unique blobs.
    pub(crate) fn blob_bytes(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.bytes.len() as u64).sum()
    }

    /// The fewest requests to the source, with a list of the tags of each repository.
    pub(crate) fn to_source(&self) -> usize {
        self.repositories.len() + self.manifest_count() + self.blobs.len()
    }

    /// The fewest requests to the destination, where a blob takes POST and PUT.
    pub(crate) fn to_destination(&self) -> usize {
        2 * self.blobs.len() + self.mounts.len() + self.manifest_count()
    }

    fn manifest_count(&self) -> usize {
        self.manifests.iter().map(Vec::len).sum()
    }
}

/// `10406 requests: 3923 to the source (40 lists, …), 6483 to the destination (…)`
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lists, manifests, blobs) = (self.repositories.len(), self.manifest_count(), self.blobs.len());
        let (source, destination) = (self.to_source(), self.to_destination());
        write!(
            f,
            "{} requests: {source} to the source ({lists} lists, {manifests} manifests, {blobs} blobs), {destination} to the \
             destination ({blobs} blobs at two, {} mounts, {manifests} manifests); {:.1} MB of blobs",
            source + destination,
            self.mounts.len(),
            self.blob_bytes() as f64 / 1e6,
        )
    }
}

#[cfg(test)]
mod tests {
    use sandbox::content::Bench;

    use super::*;

    #[test]
    fn the_floor_of_the_full_catalogue_is_known() {
        let plan = Plan::of(Bench { divisor: 1024, ..Bench::new(40, 25) }.images(0));
        let said = plan.to_string();
        let expected = "10406 requests: 3923 to the source (40 lists, 1400 manifests, 2483 blobs), \
                        6483 to the destination (2483 blobs at two, 117 mounts, 1400 manifests); ";
        assert!(said.starts_with(expected), "{said}");
        let sizes: Vec<_> = plan.blobs.iter().map(|blob| blob.bytes.len()).collect();
        assert!(sizes.is_sorted_by(|one, next| one >= next), "large blobs go first");
    }
}
