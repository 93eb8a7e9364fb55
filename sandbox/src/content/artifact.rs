//! What is no image and yet lies in registries: artifacts, referrers, signatures.

use bytes::Bytes;
use proto::Digest;
use proto::manifest::media_type;
use serde_json::json;

use super::{Image, describe, finish, kind};

/// An artifact of any type with one blob.
pub fn artifact(artifact_type: &str, bytes: &[u8]) -> Image {
    make(artifact_type, bytes, None)
}

/// An artifact of any type with one blob that refers to `subject`.
pub fn referrer(subject: &Image, artifact_type: &str, bytes: &[u8]) -> Image {
    make(artifact_type, bytes, Some(subject))
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

fn make(artifact_type: &str, bytes: &[u8], subject: Option<&Image>) -> Image {
    let blobs = vec![
        (kind::EMPTY.to_owned(), Bytes::from_static(b"{}")),
        (artifact_type.to_owned(), Bytes::copy_from_slice(bytes)),
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
