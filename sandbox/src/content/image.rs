//! Images of layers, with configurations that fit them.

use bytes::Bytes;
use proto::manifest::media_type;
use proto::{Descriptor, Digest, Platform};
use serde_json::json;

use super::{Image, Layer, describe, finish, kind};

/// How an image is made.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    seed: u64,
    layers: Vec<Part>,
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
        self.layers.push(Part::here(layer.clone()));
        self
    }

    /// Adds a layer of this digest: one that is in thousands of images is hashed once.
    #[must_use]
    pub(super) fn hashed_layer(mut self, layer: &Layer, digest: &Digest) -> Self {
        self.layers.push(Part::Here(layer.clone(), digest.clone()));
        self
    }

    /// Adds an uncompressed layer whose bytes are put by other means, such as
    /// [`Store::put_synthetic_blob`](crate::Store::put_synthetic_blob).
    #[must_use]
    pub fn layer_elsewhere(mut self, layer: &Descriptor) -> Self {
        self.layers.push(Part::Elsewhere(layer.clone()));
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
        let (manifest_type, config_type, layer_type) = if self.is_docker {
            (media_type::DOCKER_MANIFEST, kind::DOCKER_CONFIG, kind::DOCKER_LAYER)
        } else {
            (media_type::OCI_MANIFEST, kind::OCI_CONFIG, kind::OCI_LAYER)
        };
        let layers = if self.layers.is_empty() {
            let seed = self.seed.wrapping_mul(2);
            [(seed, 2_000), (seed.wrapping_add(1), 5_000)]
                .map(|(seed, size)| Part::here(Layer::new(seed, size)))
                .to_vec()
        } else {
            self.layers.clone()
        };
        let mut blobs = vec![(config_type.to_owned(), self.config(&layers))];
        let mut descriptors = Vec::new();
        for layer in layers {
            match layer {
                Part::Here(layer, digest) => {
                    descriptors.push(json!({
                        "mediaType": layer_type, "digest": digest.as_str(), "size": layer.bytes.len(),
                    }));
                    blobs.push((layer_type.to_owned(), layer.bytes));
                }
                Part::Elsewhere(layer) => descriptors.push(json!({
                    "mediaType": layer.media_type, "digest": layer.digest.as_str(), "size": layer.size,
                })),
            }
        }
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": manifest_type, "config": describe(&blobs[0]), "layers": descriptors,
        });
        for (key, value) in self.annotations {
            manifest["annotations"][key] = value.into();
        }
        finish(&manifest, blobs, Vec::new(), self.is_odd)
    }

    fn config(&self, layers: &[Part]) -> Bytes {
        let created = "2024-01-01T00:00:00Z";
        let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id().as_str()).collect();
        let history: Vec<_> = layers.iter().map(|_| json!({ "created": created, "created_by": "sandbox" })).collect();
        let mut config = json!({
            "created": created, "architecture": self.platform.architecture, "os": self.platform.os,
            "config": { "Cmd": ["/bin/true"], "Labels": { "seed": self.seed.to_string() } },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": history,
        });
        if let Some(variant) = &self.platform.variant {
            config["variant"] = variant.as_str().into();
        }
        config.to_string().into()
    }
}

#[derive(Debug, Clone)]
enum Part {
    Here(Layer, Digest),
    Elsewhere(Descriptor),
}

impl Part {
    fn here(layer: Layer) -> Self {
        let digest = Digest::of(&layer.bytes);
        Self::Here(layer, digest)
    }

    fn diff_id(&self) -> &Digest {
        match self {
            Self::Here(layer, _) => &layer.diff_id,
            // Uncompressed, so the blob is the tar.
            Self::Elsewhere(layer) => &layer.digest,
        }
    }
}
