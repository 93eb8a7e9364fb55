//! What a registry holds, in memory: blobs by digest, and per repository its blobs, manifests and tags.
//!
//! Tests fill and read it here, without HTTP; two registries are the same if their [`Store::tags`] are.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use proto::{Descriptor, Digest};

use crate::content::Image;
use crate::synthetic::Synthetic;

/// Before all tags: 2024-01-01.
const FIRST_TAG: Timestamp = Timestamp::constant(1_704_067_200, 0);

/// A registry's content. Cloning gives another handle to the same content.
#[derive(Debug, Clone, Default)]
pub struct Store(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    blobs: HashMap<Digest, Content>,
    repositories: BTreeMap<String, Repository>,
    /// Tags that were set so far: their pretended clock.
    tags_set: i64,
}

#[derive(Debug, Default)]
struct Repository {
    blobs: HashSet<Digest>,
    manifests: BTreeMap<Digest, StoredManifest>,
    tags: BTreeMap<String, Digest>,
    times: BTreeMap<String, Timestamp>,
    /// Subject and referrer, for every manifest that has a subject.
    referrers: BTreeSet<(Digest, Digest)>,
}

/// A manifest as it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    /// The media type under which it was put.
    pub media_type: String,
    /// Its bytes.
    pub raw: Bytes,
}

impl StoredManifest {
    /// The digest of what it refers to, if it is a referrer.
    fn subject(&self) -> Option<Digest> {
        let document: serde_json::Value = serde_json::from_slice(&self.raw).ok()?;
        document["subject"]["digest"].as_str()?.parse().ok()
    }
}

/// A tag, and what it shows.
#[derive(Debug, Clone)]
pub(crate) struct Tagged {
    pub(crate) name: String,
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
    pub(crate) time: Timestamp,
}

/// The bytes of a blob.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Kept(Bytes),
    Synthetic(Synthetic),
    /// Only counted and hashed: too large to be kept.
    Discarded(u64),
}

impl Content {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Kept(bytes) => bytes.len() as u64,
            Self::Synthetic(content) => content.size,
            Self::Discarded(size) => *size,
        }
    }

    /// At most `max` bytes from `offset`; fewer are not the end. What was discarded reads as zeros.
    pub(crate) fn read(&self, offset: u64, max: usize) -> Bytes {
        match self {
            Self::Kept(bytes) => {
                let start = (offset as usize).min(bytes.len());
                bytes.slice(start..(start + max).min(bytes.len()))
            }
            Self::Synthetic(content) => content.read(offset, max),
            Self::Discarded(_) => Bytes::from(vec![0; max]),
        }
    }
}

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an image with everything below it, and its referrers; under a tag, if one is given.
    pub fn put_image(&self, repository: &str, tag: Option<&str>, image: &Image) {
        for (_, bytes) in &image.blobs {
            self.put_blob(repository, bytes.clone());
        }
        for child in image.children.iter().chain(&image.referrers) {
            self.put_image(repository, None, child);
        }
        let digest = self.put_manifest(repository, &image.media_type, image.raw.clone());
        if let Some(tag) = tag {
            self.put_tag(repository, tag, &digest);
        }
    }

    /// Puts a blob into a repository.
    pub fn put_blob(&self, repository: &str, bytes: Bytes) -> Digest {
        let digest = Digest::of(&bytes);
        self.insert_blob(repository, &digest, Content::Kept(bytes));
        digest
    }

    /// Puts a blob whose `size` bytes are made from `seed` whenever they are asked for. Hashes all of them once.
    pub fn put_synthetic_blob(&self, repository: &str, seed: u64, size: u64) -> Descriptor {
        let content = Synthetic::new(seed, size);
        let digest = content.digest();
        self.insert_blob(repository, &digest, Content::Synthetic(content));
        Descriptor::new("application/vnd.oci.image.layer.v1.tar", digest, size)
    }

    /// Puts a manifest, unchecked, under its SHA-256 digest.
    pub fn put_manifest(&self, repository: &str, media_type: &str, raw: Bytes) -> Digest {
        let digest = Digest::of(&raw);
        self.insert_manifest(repository, &digest, StoredManifest { media_type: media_type.to_owned(), raw });
        digest
    }

    /// Lets a tag point to a digest, whether it is there or not. Each is set a second after the last one, however fast
    /// that goes.
    pub fn put_tag(&self, repository: &str, tag: &str, digest: &Digest) {
        let mut state = self.state();
        state.tags_set += 1;
        let time = FIRST_TAG + SignedDuration::from_secs(state.tags_set);
        let repository = state.repository(repository);
        repository.times.insert(tag.to_owned(), time);
        repository.tags.insert(tag.to_owned(), digest.clone());
    }

    /// Pretends that a tag was set then.
    pub fn set_tag_time(&self, repository: &str, tag: &str, time: Timestamp) {
        self.state().repository(repository).times.insert(tag.to_owned(), time);
    }

    /// When a tag was set, as the interfaces of vendors tell it.
    pub fn tag_time(&self, repository: &str, tag: &str) -> Option<Timestamp> {
        self.state().repositories.get(repository)?.times.get(tag).copied()
    }

    /// The tags of a repository with digests and times, sorted by name; `None` if there is no such repository.
    pub(crate) fn tagged(&self, repository: &str) -> Option<Vec<Tagged>> {
        let state = self.state();
        let repository = state.repositories.get(repository)?;
        let tagged = |(name, digest): (&String, &Digest)| Tagged {
            name: name.clone(),
            digest: digest.clone(),
            media_type: repository
                .manifests
                .get(digest)
                .map(|manifest| manifest.media_type.clone())
                .unwrap_or_default(),
            time: repository.times.get(name).copied().unwrap_or(FIRST_TAG),
        };
        Some(repository.tags.iter().map(tagged).collect())
    }

    /// All tags of all repositories with their digests.
    pub fn tags(&self) -> BTreeMap<(String, String), Digest> {
        let state = self.state();
        let tags_of = |(name, repository): (&String, &Repository)| {
            let name = name.clone();
            let tags = repository.tags.clone().into_iter();
            tags.map(move |(tag, digest)| ((name.clone(), tag), digest)).collect::<Vec<_>>()
        };
        state.repositories.iter().flat_map(tags_of).collect()
    }

    /// The digest under a tag.
    pub fn tag(&self, repository: &str, tag: &str) -> Option<Digest> {
        self.state().repositories.get(repository)?.tags.get(tag).cloned()
    }

    /// The tags of a repository, sorted; `None` if there is no such repository.
    pub fn tag_names(&self, repository: &str) -> Option<Vec<String>> {
        Some(self.state().repositories.get(repository)?.tags.keys().cloned().collect())
    }

    /// The names of all repositories, sorted.
    pub fn repositories(&self) -> Vec<String> {
        self.state().repositories.keys().cloned().collect()
    }

    /// A manifest by its digest.
    pub fn manifest(&self, repository: &str, digest: &Digest) -> Option<StoredManifest> {
        self.state().repositories.get(repository)?.manifests.get(digest).cloned()
    }

    /// All manifests of a repository by their digests.
    pub fn manifests(&self, repository: &str) -> BTreeMap<Digest, StoredManifest> {
        self.state().repositories.get(repository).map(|found| found.manifests.clone()).unwrap_or_default()
    }

    /// Whether a blob can be read in a repository.
    pub fn has_blob(&self, repository: &str, digest: &Digest) -> bool {
        self.content(repository, digest).is_some()
    }

    /// The bytes of a blob in a repository, if they are kept.
    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Bytes> {
        match self.content(repository, digest)? {
            Content::Kept(bytes) => Some(bytes),
            Content::Synthetic(_) | Content::Discarded(_) => None,
        }
    }

    /// Takes a tag away; whether it was there.
    pub fn delete_tag(&self, repository: &str, tag: &str) -> bool {
        let mut state = self.state();
        state.repositories.get_mut(repository).is_some_and(|found| found.tags.remove(tag).is_some())
    }

    /// Takes a manifest and the tags that point to it away; whether it was there.
    pub fn delete_manifest(&self, repository: &str, digest: &Digest) -> bool {
        let mut state = self.state();
        let Some(repository) = state.repositories.get_mut(repository) else { return false };
        repository.tags.retain(|_, target| target != digest);
        repository.referrers.retain(|(_, referrer)| referrer != digest);
        repository.manifests.remove(digest).is_some()
    }

    /// Takes a blob out of a repository; whether it was there. Other repositories keep it.
    pub fn delete_blob(&self, repository: &str, digest: &Digest) -> bool {
        self.state().repositories.get_mut(repository).is_some_and(|found| found.blobs.remove(digest))
    }

    pub(crate) fn insert_blob(&self, repository: &str, digest: &Digest, content: Content) {
        let mut state = self.state();
        state.blobs.entry(digest.clone()).or_insert(content);
        state.repository(repository).blobs.insert(digest.clone());
    }

    pub(crate) fn insert_manifest(&self, repository: &str, digest: &Digest, manifest: StoredManifest) {
        // Read before the store is locked.
        let subject = manifest.subject();
        let mut state = self.state();
        let repository = state.repository(repository);
        if let Some(subject) = subject {
            repository.referrers.insert((subject, digest.clone()));
        }
        repository.manifests.insert(digest.clone(), manifest);
    }

    /// The manifests whose subject is `subject`, sorted by digest.
    pub(crate) fn referrers(&self, repository: &str, subject: &Digest) -> Vec<(Digest, StoredManifest)> {
        let state = self.state();
        let Some(repository) = state.repositories.get(repository) else { return Vec::new() };
        let of_subject = repository.referrers.iter().filter(|(found, _)| found == subject);
        let with_manifest =
            |(_, referrer): &(Digest, Digest)| Some((referrer.clone(), repository.manifests.get(referrer)?.clone()));
        of_subject.filter_map(with_manifest).collect()
    }

    pub(crate) fn content(&self, repository: &str, digest: &Digest) -> Option<Content> {
        let state = self.state();
        if !state.repositories.get(repository)?.blobs.contains(digest) {
            return None;
        }
        state.blobs.get(digest).cloned()
    }

    /// Makes a blob of `from` readable in `repository`; whether there was such a blob.
    pub(crate) fn mount(&self, repository: &str, from: &str, digest: &Digest) -> bool {
        let mut state = self.state();
        let found = state.repositories.get(from).is_some_and(|source| source.blobs.contains(digest));
        if found {
            state.repository(repository).blobs.insert(digest.clone());
        }
        found
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }
}
