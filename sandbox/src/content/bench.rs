//! The source of the bench: repositories of images whose layers are shared as much as they are in practice.

use bytes::Bytes;
use proto::{Digest, Platform};
use serde_json::Value;

use super::{Image, ImageBuilder, Layer, image, index};
use crate::store::{Content, Store};

/// Bytes of the file in each layer that all images share, in each of a repository, and in that of an image.
const SIZES: [usize; 3] = [2 << 20, 512 << 10, 64 << 10];
const SHARED: u64 = 3;
const PER_REPOSITORY: u64 = 2;
/// One tag of so many is an index, of an image for each of [`PLATFORMS`].
const INDEX_EVERY: u64 = 5;
const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];
/// One tag of so many moves: 2 %.
const MOVED_EVERY: u64 = 50;

/// Repositories `bench/app-NNN` with the same number of tags each, the same for the same seed.
///
/// Every fifth tag is an index of two images, the others are images. An image has three layers of 2 MiB that all
/// images share, two of 512 KiB of its repository, one of 64 KiB that is its own, and a configuration. The two images
/// of an index have a layer of their own each. What is in the layers does not compress.
///
/// Of each 50 tags one can [move](Self::moved), again and again: a generation is how often it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bench {
    /// How many repositories.
    pub repositories: u64,
    /// How many tags each of them has.
    pub tags: u64,
    /// The layers have a fraction of their size, where it is their number that counts; 1 for the full size.
    pub divisor: usize,
    /// Other seeds give other images.
    pub seed: u64,
}

/// A layer and the digest of its bytes.
type Hashed = (Layer, Digest);

/// An image of the bench, and where it lies.
#[derive(Debug, Clone)]
pub struct Tagged {
    /// The repository's name.
    pub repository: String,
    /// The tag's name.
    pub tag: String,
    /// What the tag points to.
    pub image: Image,
}

impl Tagged {
    /// The manifests in the order in which a registry takes them: what an index names comes before it.
    pub fn manifests(&self) -> impl Iterator<Item = &Image> {
        self.image.children.iter().chain([&self.image])
    }

    /// The blobs of all manifests, some several times, by the digests that these name: to hash them all would take
    /// seconds.
    pub fn blobs(&self) -> Vec<(Digest, Bytes)> {
        let of = |image: &Image| {
            let document = serde_json::from_slice::<Value>(&image.raw).unwrap_or_default();
            let layers = document["layers"].as_array().cloned().unwrap_or_default();
            let digests = document.get("config").into_iter().chain(&layers);
            let digests = digests.filter_map(|blob| blob["digest"].as_str()?.parse::<Digest>().ok());
            digests.zip(image.blobs.iter().map(|(_, bytes)| bytes.clone())).collect::<Vec<_>>()
        };
        self.manifests().flat_map(of).collect()
    }
}

impl Bench {
    /// So many repositories and tags in full size.
    pub fn new(repositories: u64, tags: u64) -> Self {
        Self { repositories, tags, divisor: 1, seed: 1 }
    }

    /// The name of a repository, counted from 0.
    pub fn repository(repository: u64) -> String {
        format!("bench/app-{repository:03}")
    }

    /// All tags, repository by repository, after they moved `generation` times.
    pub fn images(self, generation: u64) -> impl Iterator<Item = Tagged> {
        let shared = self.shared();
        (0..self.repositories).flat_map(move |repository| {
            let below = self.below(&shared, repository);
            let tags: Vec<_> = (0..self.tags).map(|tag| self.tagged(&below, repository, tag, generation)).collect();
            tags
        })
    }

    /// The tags that move, as they are after they moved `generation` times.
    ///
    /// Of each 50 tags, counted through all repositories, one moves; which one differs, so that plain images and
    /// indexes are among them as they are in the whole.
    pub fn moved(self, generation: u64) -> impl Iterator<Item = Tagged> {
        let shared = self.shared();
        (0..self.repositories * self.tags).filter(|number| is_moving(*number)).map(move |number| {
            let (repository, tag) = (number / self.tags, number % self.tags);
            self.tagged(&self.below(&shared, repository), repository, tag, generation)
        })
    }

    /// Puts all images into `store`.
    pub fn fill(self, store: &Store) {
        put(store, self.images(0));
    }

    /// Moves the 2 %; how many tags these are.
    pub fn move_on(self, store: &Store, generation: u64) -> usize {
        put(store, self.moved(generation))
    }

    fn tagged(self, below: &[Hashed], repository: u64, tag: u64, generation: u64) -> Tagged {
        let number = repository * self.tags + tag;
        let generation = if is_moving(number) { generation } else { 0 };
        // No layer of one tag, generation and platform is that of another.
        let seed = self.seed + ((generation * self.repositories * self.tags + number + 1) << 20);
        let build = |seed: u64, platform: Option<Platform>| {
            let own = self.layer(seed, SIZES[2]);
            let builder = below
                .iter()
                .chain([&own])
                .fold(image(seed), |builder, (layer, digest)| builder.hashed_layer(layer, digest));
            platform.iter().fold(builder, ImageBuilder::platform).build()
        };
        let made = if tag % INDEX_EVERY == INDEX_EVERY - 1 {
            let platforms = PLATFORMS.iter().map(|text| text.parse::<Platform>().ok());
            let images: Vec<_> = (seed..).step_by(1 << 18).zip(platforms).map(|(seed, on)| build(seed, on)).collect();
            index(&images)
        } else {
            build(seed, None)
        };
        Tagged { repository: Self::repository(repository), tag: format!("1.{tag}"), image: made }
    }

    /// The layers that all images share.
    fn shared(self) -> Vec<Hashed> {
        (0..SHARED).map(|number| self.layer(self.seed + (number << 8), SIZES[0])).collect()
    }

    /// The layers of all images of a repository.
    fn below(self, shared: &[Hashed], repository: u64) -> Vec<Hashed> {
        let first = (1 + repository) * PER_REPOSITORY;
        let own = (first..first + PER_REPOSITORY).map(|number| self.layer(self.seed + (number << 40), SIZES[1]));
        shared.iter().cloned().chain(own).collect()
    }

    fn layer(self, seed: u64, size: usize) -> Hashed {
        let layer = Layer::new(seed, size / self.divisor.max(1));
        let digest = Digest::of(&layer.bytes);
        (layer, digest)
    }
}

/// As `40x25`, or `40x25/64` for layers of a 64th of their size.
impl std::str::FromStr for Bench {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not REPOSITORIESxTAGS, such as `40x25`, or `40x25/64` for smaller layers");
        let (shape, divisor) = text.split_once('/').unwrap_or((text, "1"));
        let (repositories, tags) = shape.split_once('x').ok_or_else(wrong)?;
        let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0).ok_or_else(wrong);
        let divisor = usize::try_from(number(divisor)?).map_err(|_| wrong())?;
        Ok(Self { divisor, ..Self::new(number(repositories)?, number(tags)?) })
    }
}

impl std::fmt::Display for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { repositories, tags, divisor, .. } = self;
        match divisor {
            1 => write!(f, "{repositories}x{tags}"),
            _ => write!(f, "{repositories}x{tags}/{divisor}"),
        }
    }
}

fn is_moving(number: u64) -> bool {
    let (fifty, place) = (number / MOVED_EVERY, number % MOVED_EVERY);
    fifty % MOVED_EVERY == place
}

/// Puts images into `store`; how many.
fn put(store: &Store, images: impl Iterator<Item = Tagged>) -> usize {
    let mut count = 0;
    for at in images {
        for (digest, bytes) in at.blobs() {
            store.insert_blob(&at.repository, &digest, Content::Kept(bytes));
        }
        for image in &at.image.children {
            store.put_manifest(&at.repository, &image.media_type, image.raw.clone());
        }
        let digest = store.put_manifest(&at.repository, &at.image.media_type, at.image.raw.clone());
        store.put_tag(&at.repository, &at.tag, &digest);
        count += 1;
    }
    count
}
