//! Images, indexes and artifacts, the same for the same seed, with layers that other tools can unpack.

use bytes::Bytes;
use proto::manifest::media_type;
use proto::{Descriptor, Digest, Platform};
use serde_json::{Value, json};

mod layer;

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

/// How an image is made.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    seed: u64,
    layers: Vec<Layer>,
    platform: Platform,
    is_docker: bool,
    is_odd: bool,
    annotations: Vec<(String, String)>,
}

/// Begins an image of two small layers for `linux/amd64`; other seeds give other images.
pub fn image(seed: u64) -> ImageBuilder {
    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
    ImageBuilder { seed, layers: Vec::new(), platform, is_docker: false, is_odd: false, annotations: Vec::new() }
}

impl ImageBuilder {
    /// Adds a layer, which may be in other images too; with any, the default ones are left out.
    #[must_use]
    pub fn layer(mut self, layer: &Layer) -> Self {
        self.layers.push(layer.clone());
        self
    }

    /// For another platform.
    #[must_use]
    pub fn platform(mut self, platform: &Platform) -> Self {
        self.platform = platform.clone();
        self
    }

    /// In Docker's form (schema 2).
    #[must_use]
    pub fn docker(mut self) -> Self {
        self.is_docker = true;
        self
    }

    /// With a manifest formatted as no tool would write it, so that a copy that writes it anew is found out.
    #[must_use]
    pub fn oddly_formatted(mut self) -> Self {
        self.is_odd = true;
        self
    }

    /// With an annotation on the manifest.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Makes the image.
    pub fn build(self) -> Image {
        let layers = match self.layers.as_slice() {
            [] => vec![Layer::new(self.seed.wrapping_mul(2), 2_000), Layer::new(self.seed.wrapping_mul(2) + 1, 5_000)],
            layers => layers.to_vec(),
        };
        let mut config = json!({
            "created": "2024-01-01T00:00:00Z",
            "architecture": self.platform.architecture,
            "os": self.platform.os,
            "config": { "Env": ["PATH=/usr/bin:/bin"], "Cmd": ["/bin/true"], "Labels": { "seed": self.seed.to_string() } },
            "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| layer.diff_id.as_str()).collect::<Vec<_>>() },
            "history": layers.iter().map(|_| json!({ "created": "2024-01-01T00:00:00Z", "created_by": "sandbox" })).collect::<Vec<_>>(),
        });
        if let Some(variant) = &self.platform.variant {
            config["variant"] = variant.as_str().into();
        }
        let (manifest_type, config_type, layer_type) = match self.is_docker {
            true => (media_type::DOCKER_MANIFEST, kind::DOCKER_CONFIG, kind::DOCKER_LAYER),
            false => (media_type::OCI_MANIFEST, kind::OCI_CONFIG, kind::OCI_LAYER),
        };
        let layers = layers.into_iter().map(|layer| (layer_type.to_owned(), layer.bytes));
        let blobs: Vec<_> =
            [(config_type.to_owned(), Bytes::from(config.to_string()))].into_iter().chain(layers).collect();
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": manifest_type,
            "config": describe(&blobs[0]), "layers": blobs[1..].iter().map(describe).collect::<Vec<_>>(),
        });
        for (key, value) in self.annotations {
            manifest["annotations"][key] = value.into();
        }
        finish(&manifest, blobs, Vec::new(), self.is_odd)
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

/// An artifact of any type with one blob.
pub fn artifact(artifact_type: &str, bytes: &[u8]) -> Image {
    refer(artifact_type, artifact_type, bytes, None)
}

/// An artifact of any type with one blob that refers to `subject`.
pub fn referrer(subject: &Image, artifact_type: &str, bytes: &[u8]) -> Image {
    refer(artifact_type, artifact_type, bytes, Some(subject))
}

/// An SBOM (SPDX) that refers to `subject`.
pub fn sbom(subject: &Image) -> Image {
    let name = subject.digest().short().to_owned();
    let document = json!({ "spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": name, "packages": [] });
    referrer(subject, kind::SPDX, document.to_string().as_bytes())
}

/// The tag under which cosign keeps what belongs to a digest; `kind` is `sig`, `att` or `sbom`.
pub fn cosign_tag(digest: &Digest, kind: &str) -> String {
    format!("{}-{}.{kind}", digest.algorithm(), digest.hex())
}

/// What cosign would put under the `sig` tag of `subject`; the signature itself is noise.
pub fn cosign_signature(subject: &Image) -> Image {
    let payload = json!({
        "critical": {
            "identity": { "docker-reference": "" },
            "image": { "docker-manifest-digest": subject.digest().as_str() },
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    let layer = (kind::COSIGN_SIGNATURE.to_owned(), Bytes::from(payload.to_string()));
    let config = json!({ "architecture": "", "os": "", "config": {}, "rootfs": {
        "type": "layers", "diff_ids": [Digest::of(&layer.1).as_str()],
    } });
    let blobs = vec![(kind::OCI_CONFIG.to_owned(), Bytes::from(config.to_string())), layer];
    let mut descriptor = describe(&blobs[1]);
    descriptor["annotations"] = json!({ "dev.cosignproject.cosign/signature": "bm90IGEgc2lnbmF0dXJl" });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": describe(&blobs[0]), "layers": [descriptor],
    });
    finish(&manifest, blobs, Vec::new(), false)
}

fn refer(artifact_type: &str, layer_type: &str, bytes: &[u8], subject: Option<&Image>) -> Image {
    let blobs = vec![
        (kind::EMPTY.to_owned(), Bytes::from_static(b"{}")),
        (layer_type.to_owned(), Bytes::copy_from_slice(bytes)),
    ];
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": artifact_type,
        "config": describe(&blobs[0]), "layers": [describe(&blobs[1])],
    });
    if let Some(subject) = subject {
        manifest["subject"] =
            json!({ "mediaType": subject.media_type, "digest": subject.digest().as_str(), "size": subject.raw.len() });
    }
    finish(&manifest, blobs, Vec::new(), false)
}

fn describe((media_type, bytes): &(String, Bytes)) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes).as_str(), "size": bytes.len() })
}

fn finish(document: &Value, blobs: Vec<(String, Bytes)>, children: Vec<Image>, is_odd: bool) -> Image {
    let media_type = document["mediaType"].as_str().unwrap_or_default().to_owned();
    let raw = if is_odd { format!("\n{document:#} \t\n\n").replace("\": ", "\"  :\t") } else { document.to_string() };
    Image { media_type, raw: raw.into(), blobs, children, referrers: Vec::new() }
}
