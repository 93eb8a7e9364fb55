//! Images, indexes and artifacts, the same for the same seed, with layers that other tools can unpack.
//!
//! The order of keys in JSON is that of the build, so digests are to be asked for, not written down.

use bytes::Bytes;
use proto::manifest::media_type;
use proto::{Descriptor, Digest, Platform};
use serde_json::{Value, json};

mod artifact;
mod bench;
mod catalogue;
mod fill;
mod image;
mod layer;

pub use artifact::{artifact, cosign_signature, cosign_tag, referrer, sbom};
pub use bench::{Bench, Tagged};
pub use catalogue::{CATALOGUE, catalogue, change_catalogue};
pub use fill::fill;
pub use image::{ImageBuilder, image};
pub use layer::Layer;

/// Media types of what is below manifests, and of artifacts.
mod kind {
    pub(super) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub(super) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    pub(super) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    pub(super) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    pub(super) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    pub(super) const COSIGN_SIGNATURE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
    pub(super) const SPDX: &str = "application/spdx+json";
}

/// A manifest, and all that belongs to it.
#[derive(Debug, Clone)]
pub struct Image {
    /// Media type of the manifest.
    pub media_type: String,
    /// The manifest's bytes.
    pub raw: Bytes,
    /// Media types and bytes of the blobs that it names.
    pub blobs: Vec<(String, Bytes)>,
    /// The images of an index.
    pub children: Vec<Image>,
    /// What has this manifest as its subject.
    pub referrers: Vec<Image>,
}

impl Image {
    /// The digest of the manifest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.raw)
    }

    /// The manifest's descriptor.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest(), self.raw.len() as u64)
    }

    /// Adds something that refers to this image and travels with it.
    #[must_use]
    pub fn with_referrer(mut self, referrer: Image) -> Self {
        self.referrers.push(referrer);
        self
    }

    /// The digests of all blobs of the image and its children, sorted, each once.
    pub fn blob_digests(&self) -> Vec<Digest> {
        let own = self.blobs.iter().map(|(_, bytes)| Digest::of(bytes));
        let mut digests: Vec<_> = own.chain(self.children.iter().flat_map(Image::blob_digests)).collect();
        digests.sort();
        digests.dedup();
        digests
    }
}

/// An index over images; the platforms are read from their configurations.
pub fn index(images: &[Image]) -> Image {
    index_of(media_type::OCI_INDEX, images)
}

/// A Docker manifest list over images.
pub fn docker_list(images: &[Image]) -> Image {
    index_of(media_type::DOCKER_LIST, images)
}

/// An index of images of two layers for each of these platforms, such as `linux/arm/v7`; those that are none are
/// left out.
pub fn multi_platform(seed: u64, platforms: &[&str]) -> Image {
    let platforms = platforms.iter().filter_map(|text| text.parse::<Platform>().ok());
    // Far apart, so that the layers of one seed are not those of the next.
    let numbered = platforms.zip(0u64..);
    let images: Vec<_> =
        numbered.map(|(platform, n)| image(seed.wrapping_mul(1_000) + n).platform(&platform).build()).collect();
    index(&images)
}

fn index_of(media_type: &str, images: &[Image]) -> Image {
    let child = |image: &Image| {
        let mut descriptor = json!({
            "mediaType": image.media_type, "digest": image.digest().as_str(), "size": image.raw.len(),
        });
        let config = image.blobs.first().and_then(|(_, bytes)| serde_json::from_slice::<Value>(bytes).ok());
        if let Some(config) = config.filter(|config| config["os"].is_string()) {
            let mut platform = json!({ "architecture": config["architecture"], "os": config["os"] });
            if config["variant"].is_string() {
                platform["variant"] = config["variant"].clone();
            }
            descriptor["platform"] = platform;
        }
        descriptor
    };
    let manifests: Vec<_> = images.iter().map(child).collect();
    let document = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
    finish(&document, Vec::new(), images.to_vec(), false)
}

fn describe((media_type, bytes): &(String, Bytes)) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes).as_str(), "size": bytes.len() })
}

fn finish(document: &Value, blobs: Vec<(String, Bytes)>, children: Vec<Image>, is_odd: bool) -> Image {
    let media_type = document["mediaType"].as_str().unwrap_or_default().to_owned();
    let raw = if is_odd { format!("\n{document:#} \t\n\n").replace("\": ", "\"  :\t") } else { document.to_string() };
    Image { media_type, raw: raw.into(), blobs, children, referrers: Vec::new() }
}
