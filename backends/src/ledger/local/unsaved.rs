//! What was noted and is not in the file yet.

use std::collections::{HashMap, HashSet};

use proto::{Digest, Host, Manifest, Repository};

use crate::ledger::kept::Kept;

/// From so many entries on, they are written at once.
const ENOUGH: usize = 500;

/// What waits at most while the disk is slow: what comes then is not written.
const NOTES_MAX: usize = 20_000;
const MANIFEST_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Unsaved {
    /// Whether a repository holds a digest, each with its place in the order of notes.
    pub(super) notes: HashMap<(Repository, Digest), (usize, bool)>,
    pub(super) repositories: HashSet<Repository>,
    pub(super) manifests: HashMap<Digest, Kept>,
    manifest_bytes: usize,
    /// Manifests that were read.
    pub(super) used: HashSet<Digest>,
    pub(super) learned: HashMap<Host, String>,
    noted: usize,
}

impl Unsaved {
    pub(super) fn note(&mut self, repository: &Repository, content: &[Digest], held: bool) {
        if self.notes.len() + self.repositories.len() >= NOTES_MAX {
            return;
        }
        self.repositories.insert(repository.clone());
        for digest in content {
            self.notes.insert((repository.clone(), digest.clone()), (self.noted, held));
            self.noted += 1;
        }
    }

    pub(super) fn keep_manifest(&mut self, manifest: &Manifest) {
        let size = manifest.raw.len();
        let is_new = !self.manifests.contains_key(&manifest.digest);
        if is_new && self.manifest_bytes + size <= MANIFEST_BYTES_MAX {
            self.manifest_bytes += size;
            self.manifests.insert(manifest.digest.clone(), Kept::of(manifest));
        }
    }

    pub(super) fn use_manifest(&mut self, digest: &Digest) {
        if self.used.len() < NOTES_MAX {
            self.used.insert(digest.clone());
        }
    }

    pub(super) fn keep_learned(&mut self, registry: &Host, learned: &str) {
        self.learned.insert(registry.clone(), learned.to_owned());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Whether to write now, and not a moment later.
    pub(super) fn is_enough(&self) -> bool {
        self.count() >= ENOUGH || self.manifest_bytes >= MANIFEST_BYTES_MAX / 4
    }

    fn count(&self) -> usize {
        self.notes.len() + self.repositories.len() + self.manifests.len() + self.used.len() + self.learned.len()
    }
}
