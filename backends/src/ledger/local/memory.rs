//! What a local Ledger has in memory: all it knows, or what its file was last told and asked.

use std::collections::HashMap;

use proto::{Digest, Host, Repository};

use super::bounded::Bounded;
use crate::ledger::kept::Kept;
use crate::ledger::{BESIDE_MAX, Holders};

const LEARNED_ROOM: usize = 4 * 1024 * 1024;
const REPOSITORIES_MAX: usize = 20_000;

/// Digests of images under way.
const TOLD_MAX: usize = 2_000;

/// What a manifest or a text costs beside its bytes, about.
const OVERHEAD: usize = 512;

/// How much is kept.
pub(super) struct Room {
    /// Notes of one digest in one repository.
    pub(super) notes: usize,
    pub(super) manifest_bytes: usize,
}

pub(super) struct Memory {
    /// Whether a repository holds a digest.
    here: Bounded<(Repository, Digest), bool>,
    /// Which repositories of a registry hold a digest, newest first.
    holders: Bounded<(Host, Digest), Vec<Repository>>,
    /// What the file last told of a digest in a repository: whoever asks for an image asks again for each of its blobs. What
    /// was noted since is newer.
    told: Bounded<(Repository, Digest), Told>,
    repositories: Bounded<Repository, ()>,
    manifests: Bounded<Digest, Kept>,
    learned: Bounded<Host, String>,
}

/// What a file tells of a digest in a repository.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// Whether the repository holds it.
    pub(super) here: bool,
    /// Other repositories of the registry that do, newest first.
    pub(super) beside: Vec<Repository>,
}

/// What a file tells when it is asked.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Whether anything was noted of the repository.
    pub(super) knows_repository: bool,
    /// Of each digest that was asked for.
    pub(super) told: HashMap<Digest, Told>,
}

impl Memory {
    pub(super) fn new(room: &Room) -> Self {
        Self {
            here: Bounded::new(room.notes),
            holders: Bounded::new(room.notes),
            told: Bounded::new(TOLD_MAX),
            repositories: Bounded::new(REPOSITORIES_MAX),
            manifests: Bounded::new(room.manifest_bytes),
            learned: Bounded::new(LEARNED_ROOM),
        }
    }

    /// Notes whether `repository` holds `content`.
    pub(super) fn note(&mut self, repository: &Repository, content: &[Digest], held: bool) {
        self.repositories.put(repository.clone(), (), 1);
        for digest in content {
            self.here.put((repository.clone(), digest.clone()), held, 1);
            let key = (repository.host().clone(), digest.clone());
            let mut holders = self.holders.remove(&key).unwrap_or_default();
            holders.retain(|holder| holder != repository);
            if held {
                holders.insert(0, repository.clone());
                // One more than is told, since who asks may be among them.
                holders.truncate(BESIDE_MAX + 1);
            }
            if !holders.is_empty() {
                let weight = holders.len();
                self.holders.put(key, holders, weight);
            }
        }
    }

    /// Whether `repository` holds `digest`; none if nothing is known.
    pub(super) fn holds(&self, repository: &Repository, digest: &Digest) -> Option<bool> {
        self.here.get(&(repository.clone(), digest.clone())).copied()
    }

    /// What is known of `wanted` here, and by the file that was asked now; beside may be more than is told, and the
    /// repository itself.
    pub(super) fn holders(&self, repository: &Repository, wanted: &[Digest], file: &Found) -> Holders {
        let knows_repository = file.knows_repository || self.repositories.get(repository).is_some();
        let mut found = Holders { knows_repository, ..Holders::default() };
        for digest in wanted {
            let told = file.told.get(digest).or_else(|| self.told.get(&(repository.clone(), digest.clone())));
            if self.holds(repository, digest).or(told.map(|told| told.here)) == Some(true) {
                found.here.insert(digest.clone());
                continue;
            }
            let noted = self.holders.get(&(repository.host().clone(), digest.clone()));
            let mut beside = noted.cloned().unwrap_or_default();
            for holder in told.iter().flat_map(|told| &told.beside) {
                if !beside.contains(holder) && self.holds(holder, digest) != Some(false) {
                    beside.push(holder.clone());
                }
            }
            if !beside.is_empty() {
                found.beside.insert(digest.clone(), beside);
            }
        }
        found
    }

    /// Those of `wanted` that are not known here to be in `repository`, and of which the file has told nothing.
    pub(super) fn not_told(&self, repository: &Repository, wanted: &[Digest]) -> Vec<Digest> {
        let is_told = |digest: &&Digest| {
            let key = (repository.clone(), (*digest).clone());
            self.here.get(&key) == Some(&true) || self.told.get(&key).is_some()
        };
        wanted.iter().filter(|digest| !is_told(digest)).cloned().collect()
    }

    /// Notes what the file told.
    pub(super) fn note_told(&mut self, repository: &Repository, found: Found) {
        if found.knows_repository {
            self.repositories.put(repository.clone(), (), 1);
        }
        for (digest, told) in found.told {
            self.told.put((repository.clone(), digest), told, 1);
        }
    }

    pub(super) fn manifest(&mut self, digest: &Digest) -> Option<Kept> {
        self.manifests.use_of(digest).cloned()
    }

    pub(super) fn keep_manifest(&mut self, digest: &Digest, kept: Kept) {
        let weight = kept.raw.len() + OVERHEAD;
        self.manifests.put(digest.clone(), kept, weight);
    }

    pub(super) fn learned(&mut self, registry: &Host) -> Option<String> {
        self.learned.use_of(registry).cloned()
    }

    pub(super) fn keep_learned(&mut self, registry: &Host, learned: &str) {
        self.learned.put(registry.clone(), learned.to_owned(), learned.len() + OVERHEAD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::LEARNED_BYTES_MAX;

    #[test]
    fn memory_is_bounded_whatever_is_noted() {
        let room = Room { notes: 100, manifest_bytes: 10 * (OVERHEAD + 100) };
        let mut memory = Memory::new(&room);
        let registry: Host = "registry.example.com".parse().unwrap();
        let digest = |n: usize| Digest::of(&n.to_be_bytes());
        for n in 0..REPOSITORIES_MAX + 10 {
            let repository = Repository::new(registry.clone(), &format!("app{n}")).unwrap();
            memory.note(&repository, &[digest(0), digest(n)], true);
            memory.note(&repository, &[digest(n + 1)], false);
            memory.keep_manifest(&digest(n), Kept { media_type: String::new(), raw: vec![0; 100].into() });
            let host = format!("registry{n}.example.com").parse().unwrap();
            memory.keep_learned(&host, &"x".repeat(LEARNED_BYTES_MAX));
        }
        let Memory { here, holders, told: _, repositories, manifests, learned } = &memory;
        let counts = [here.len(), repositories.len(), manifests.len()];
        assert_eq!(counts, [100, REPOSITORIES_MAX, 10]);
        assert!(holders.len() <= 100 && learned.len() <= LEARNED_ROOM / LEARNED_BYTES_MAX);
    }
}
