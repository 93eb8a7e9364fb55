//! A view of a manifest over its raw bytes, which are kept: a copy must send exactly what was read.
//!
//! Reads OCI images and indexes (image-spec, manifest.md and image-index.md) and their Docker forms (schema 2).

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::limits;
use crate::platform::{self, Platform};

mod rewrite;

/// Media types of manifests.
pub mod media_type {
    /// An OCI image.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI index: several images under one name.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// A Docker image, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// A Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

    /// All that we read, in the order in which we ask. HEAD and GET must send the same list, or a registry that
    /// negotiates answers with two digests.
    pub const ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST];
}

/// A pointer to content: media type, digest, size in bytes (image-spec, descriptor.md).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Length of the content in bytes.
    pub size: u64,
    /// For a child of an index: what it is for.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient_platform")]
    pub platform: Option<Platform>,
    /// For a referrer: what kind of artifact it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Free notes of whoever made it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
    /// Where else the content may be had; a layer with these may be missing in registries.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub urls: Vec<String>,
}

impl Descriptor {
    /// A descriptor with the three required fields.
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            platform: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
            urls: Vec::new(),
        }
    }

    /// Whether registries may leave this layer out: its licence forbids pushing it.
    pub fn is_foreign(&self) -> bool {
        !self.urls.is_empty() && (self.media_type.contains("nondistributable") || self.media_type.contains("foreign"))
    }

    /// Whether this points to an index.
    pub fn is_index(&self) -> bool {
        [media_type::OCI_INDEX, media_type::DOCKER_LIST].contains(&self.media_type.as_str())
    }

    /// Whether this points to a manifest and not to a blob.
    pub fn is_manifest(&self) -> bool {
        media_type::ACCEPTED.contains(&self.media_type.as_str())
    }
}

/// A manifest: its raw bytes, their digest, and what we read in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Media type, from the document itself if it says one, else from the transport.
    pub media_type: String,
    /// Digest of [`raw`](Self::raw).
    pub digest: Digest,
    /// The bytes as they were read.
    pub raw: Bytes,
    /// What it holds.
    pub content: Content,
    /// The manifest that this one refers to: then this is a referrer (signature, SBOM, attestation).
    pub subject: Option<Descriptor>,
    /// Kind of artifact: `artifactType`, else the media type of the config.
    pub artifact_type: Option<String>,
    /// The manifest's own annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What a manifest holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Several manifests under one name.
    Index(Vec<Descriptor>),
    /// One image, or any artifact in the form of one.
    Image {
        /// The image's configuration.
        config: Descriptor,
        /// Its layers, lowest first.
        layers: Vec<Descriptor>,
    },
}

/// Why bytes are not a manifest that can be copied.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// More bytes than any registry must accept.
    #[error("manifest of {0} bytes exceeds {max}", max = limits::MANIFEST_BYTES_MAX)]
    TooLarge(usize),
    /// Not JSON, or not of the form of a manifest.
    #[error("manifest is not readable")]
    Malformed(#[source] serde_json::Error),
    /// Index and image at once, or neither: readers disagree on such documents (CVE-2021-41190).
    #[error("manifest is ambiguous: {0}")]
    Ambiguous(&'static str),
    /// A form that we do not copy.
    #[error("manifest of type `{0}` is not supported: expected an OCI or Docker (schema 2) image or index")]
    Unsupported(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Reads a manifest; `content_type` is what the transport said of it, if anything.
    ///
    /// # Errors
    /// See [`ManifestError`]; the bytes are hostile until this returns.
    pub fn parse(raw: Bytes, content_type: Option<&str>) -> Result<Self, ManifestError> {
        if raw.len() > limits::MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge(raw.len()));
        }
        let document: Document = serde_json::from_slice(&raw).map_err(ManifestError::Malformed)?;
        if document.schema_version == Some(1) {
            return Err(ManifestError::Unsupported("Docker image manifest, schema 1".into()));
        }
        let from_transport = content_type.map(|value| value.split(';').next().unwrap_or(value).trim());
        let said = document.media_type.as_deref().or(from_transport.filter(|t| media_type::ACCEPTED.contains(t)));
        let (content, assumed) = match (document.manifests, document.config, document.layers) {
            (Some(children), None, None) => (Content::Index(children), media_type::OCI_INDEX),
            (None, Some(config), layers) => {
                let layers = layers.unwrap_or_default();
                (Content::Image { config, layers }, media_type::OCI_MANIFEST)
            }
            (Some(_), ..) => return Err(ManifestError::Ambiguous("it has both `manifests` and `config` or `layers`")),
            // Programs in Go write an empty list as `null`.
            (None, None, None) if matches!(said, Some(media_type::OCI_INDEX | media_type::DOCKER_LIST)) => {
                (Content::Index(Vec::new()), media_type::OCI_INDEX)
            }
            (None, None, _) => return Err(ManifestError::Ambiguous("it has neither `manifests` nor `config`")),
        };
        let media_type = said.unwrap_or(assumed);
        let is_index = matches!(content, Content::Index(_));
        match media_type {
            media_type::OCI_INDEX | media_type::DOCKER_LIST if is_index => {}
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST if !is_index => {}
            known if media_type::ACCEPTED.contains(&known) => {
                return Err(ManifestError::Ambiguous("its media type and its content disagree"));
            }
            other => return Err(ManifestError::Unsupported(crate::digest::excerpt(other))),
        }
        let artifact_type = document.artifact_type.or_else(|| match &content {
            Content::Image { config, .. } => Some(config.media_type.clone()),
            Content::Index(_) => None,
        });
        Ok(Self {
            media_type: media_type.to_owned(),
            digest: Digest::of(&raw),
            content,
            subject: document.subject,
            artifact_type,
            annotations: document.annotations.unwrap_or_default(),
            raw,
        })
    }

    /// The manifest's descriptor, without platform.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest.clone(), self.raw.len() as u64)
    }

    /// The manifests of an index; nothing for an image.
    pub fn children(&self) -> &[Descriptor] {
        match &self.content {
            Content::Index(children) => children,
            Content::Image { .. } => &[],
        }
    }

    /// The blobs that this names, foreign layers left out: an image's config and layers; those children of an index
    /// that are no manifests (build caches are such).
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, rest) = match &self.content {
            Content::Image { config, layers } => (Some(config), layers.as_slice()),
            Content::Index(children) => (None, children.as_slice()),
        };
        let is_index = self.is_index();
        config.into_iter().chain(rest).filter(move |blob| !(blob.is_foreign() || is_index && blob.is_manifest()))
    }

    /// Whether this is an index.
    pub fn is_index(&self) -> bool {
        matches!(self.content, Content::Index(_))
    }
}

/// `platform` as an object of the image-spec; an odd one is dropped, since only our selection needs it.
fn lenient_platform<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Platform>, D::Error> {
    Ok(Option::<platform::Wire>::deserialize(deserializer)?.and_then(platform::Wire::platform))
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn descriptor(media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": Digest::of(b"").as_str(), "size": 0 })
    }

    fn parse(document: &Value) -> Result<Manifest, ManifestError> {
        Manifest::parse(document.to_string().into(), None)
    }

    #[test]
    fn an_image_lists_its_blobs_config_first_without_foreign_layers() {
        let mut foreign = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        foreign["urls"] = json!(["https://example.com/layer"]);
        let manifest = parse(&json!({
            "schemaVersion": 2, "mediaType": media_type::DOCKER_MANIFEST,
            "config": descriptor("config"), "layers": [descriptor("layer"), foreign],
        }))
        .unwrap();
        let blobs: Vec<_> = manifest.blobs().map(|blob| blob.media_type.as_str()).collect();
        assert_eq!(blobs, ["config", "layer"]);
        assert_eq!(manifest.artifact_type.as_deref(), Some("config"));
    }

    #[test]
    fn an_index_lists_its_children_with_platforms() {
        let mut child = descriptor(media_type::OCI_MANIFEST);
        child["platform"] = json!({ "os": "linux", "architecture": "arm", "variant": "v7" });
        let manifest = parse(&json!({ "schemaVersion": 2, "manifests": [child] })).unwrap();
        assert_eq!(manifest.media_type, media_type::OCI_INDEX);
        assert_eq!(manifest.children()[0].platform.as_ref().unwrap().to_string(), "linux/arm/v7");
    }

    #[test]
    fn an_index_whose_list_is_null_is_empty() {
        let empty = parse(&json!({ "mediaType": media_type::OCI_INDEX, "manifests": null })).unwrap();
        assert_eq!((empty.children(), empty.media_type.as_str()), (&[][..], media_type::OCI_INDEX));
        let untyped = json!({ "schemaVersion": 2, "manifests": null });
        assert!(matches!(parse(&untyped), Err(ManifestError::Ambiguous(_))));
    }

    #[test]
    fn ambiguous_and_unsupported_documents_are_refused() {
        let both = json!({ "manifests": [], "config": descriptor("c"), "layers": [] });
        assert!(matches!(parse(&both), Err(ManifestError::Ambiguous(_))));
        assert!(matches!(parse(&json!({})), Err(ManifestError::Ambiguous(_))));
        let lying = json!({ "mediaType": media_type::OCI_INDEX, "config": descriptor("c"), "layers": [] });
        assert!(matches!(parse(&lying), Err(ManifestError::Ambiguous(_))));
        let old = json!({ "schemaVersion": 1, "fsLayers": [] });
        assert!(matches!(parse(&old), Err(ManifestError::Unsupported(_))));
        let huge = vec![b' '; limits::MANIFEST_BYTES_MAX + 1];
        assert!(matches!(Manifest::parse(huge.into(), None), Err(ManifestError::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn the_bytes_are_kept_whatever_their_formatting(indent in 0usize..5, note: String) {
            let document = json!({
                "schemaVersion": 2, "config": descriptor("c"), "layers": [], "annotations": { "note": note },
            });
            let raw = format!("{}{document:#}\n", " ".repeat(indent));
            let manifest = Manifest::parse(raw.clone().into(), Some("application/json; charset=utf-8")).unwrap();
            prop_assert_eq!(&manifest.raw[..], raw.as_bytes());
            prop_assert_eq!(manifest.digest, Digest::of(raw.as_bytes()));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = Manifest::parse(bytes.into(), None);
        }
    }
}
