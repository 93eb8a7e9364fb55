//! What kind of thing refers to an image: told by its type, or else by what is noted in it.
//!
//! Types are not registered anywhere, so this is a table of those that tools are known to write.

use crate::content::{ReferrerKind, Referrers};
use crate::manifest::{Content, Manifest};

/// Beginnings of types of signatures: Notary's (notaryproject/specifications, signature-specification.md), cosign's as
/// a referrer, and the payload of cosign's (sigstore/cosign, SIGNATURE_SPEC.md).
const SIGNATURES: &[&str] = &[
    "application/vnd.cncf.notary.signature",
    "application/vnd.dev.cosign.artifact.sig.",
    "application/vnd.dev.cosign.simplesigning.",
];

/// Beginnings of types of SBOMs: those of `cosign attach sbom` and `oras attach` (sigstore/cosign, SBOM_SPEC.md), and
/// the types that SPDX, CycloneDX and syft have for files.
const SBOMS: &[&str] = &[
    "application/vnd.dev.cosign.artifact.sbom.",
    "application/spdx",
    "text/spdx",
    "application/vnd.cyclonedx",
    "application/vnd.syft",
];

/// Beginnings of types that do not tell the kind: wraps of any statement (sigstore/cosign, BUNDLE_SPEC.md; in-toto;
/// DSSE), and what stands in place of a type where none is given (image-spec, manifest.md, "Guidelines for Artifact
/// Usage").
const WRAPS: &[&str] = &[
    "application/vnd.dev.sigstore.bundle",
    "application/vnd.in-toto",
    "application/vnd.dsse.envelope",
    "application/vnd.oci.empty.",
    "application/vnd.oci.image.config.",
];

/// Where a wrap notes what it states: sigstore's bundles in the manifest, in-toto's (BuildKit) and cosign's in a layer.
const PREDICATES: &[&str] = &["dev.sigstore.bundle.predicateType", "in-toto.io/predicate-type", "predicateType"];

/// The statement of cosign 3 that it signed an image.
const SIGNED: &str = "https://sigstore.dev/cosign/sign/";

/// Beginnings of statements that are SBOMs (in-toto/attestation, spec/predicates).
const SBOM_PREDICATES: &[&str] = &["https://spdx.dev/Document", "https://cyclonedx.org/", "https://syft.dev/bom"];

/// Where sigstore notes what a bundle holds, and what it says there of one that states nothing but a signature.
const BUNDLE_CONTENT: (&str, &str) = ("dev.sigstore.bundle.content", "message-signature");

impl ReferrerKind {
    /// How a tag ends under which cosign keeps this kind (sigstore/cosign, SIGNATURE_SPEC.md).
    pub fn cosign_suffix(self) -> &'static str {
        match self {
            Self::Signature => "sig",
            Self::Sbom => "sbom",
            Self::Attestation => "att",
        }
    }

    /// The kind of what has this type; none if the type does not tell, so that the manifest has to be read. What
    /// nobody knows is an attestation: some statement about an image.
    pub fn of_type(artifact_type: &str) -> Option<Self> {
        let artifact_type = artifact_type.to_ascii_lowercase();
        let is_one_of = |known: &[&str]| known.iter().any(|beginning| artifact_type.starts_with(beginning));
        match () {
            () if artifact_type.is_empty() || is_one_of(WRAPS) => None,
            () if is_one_of(SIGNATURES) => Some(Self::Signature),
            () if is_one_of(SBOMS) => Some(Self::Sbom),
            () => Some(Self::Attestation),
        }
    }

    /// The kind of a referrer that was read.
    pub fn of(referrer: &Manifest) -> Self {
        let layers = match &referrer.content {
            Content::Image { layers, .. } => layers.as_slice(),
            Content::Index(_) => &[],
        };
        if let Some(kind) = referrer.artifact_type.as_deref().and_then(Self::of_type) {
            return kind;
        }
        if referrer.annotations.get(BUNDLE_CONTENT.0).is_some_and(|content| content == BUNDLE_CONTENT.1) {
            return Self::Signature;
        }
        let notes = || std::iter::once(&referrer.annotations).chain(layers.iter().map(|layer| &layer.annotations));
        let predicate = PREDICATES.iter().find_map(|key| notes().find_map(|notes| notes.get(*key)));
        match predicate {
            Some(predicate) if predicate.starts_with(SIGNED) => Self::Signature,
            Some(predicate) if SBOM_PREDICATES.iter().any(|sbom| predicate.starts_with(sbom)) => Self::Sbom,
            Some(_) => Self::Attestation,
            None => layers.iter().find_map(|layer| Self::of_type(&layer.media_type)).unwrap_or(Self::Attestation),
        }
    }
}

impl Referrers {
    /// Whether this kind is carried.
    pub fn wants(&self, kind: ReferrerKind) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Only(kinds) => kinds.contains(&kind),
        }
    }

    /// Whether no kind is carried.
    pub fn wants_nothing(&self) -> bool {
        !ReferrerKind::ALL.iter().any(|kind| self.wants(*kind))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::Digest;
    use ReferrerKind::{Attestation, Sbom, Signature};

    #[test]
    fn a_type_tells_the_kind_or_that_it_does_not() {
        let cases = [
            ("application/vnd.cncf.notary.signature", Some(Signature)),
            ("application/vnd.dev.cosign.artifact.sig.v1+json", Some(Signature)),
            ("application/vnd.dev.cosign.artifact.sbom.v1+json", Some(Sbom)),
            ("application/spdx+json", Some(Sbom)),
            ("text/spdx", Some(Sbom)),
            ("application/vnd.cyclonedx+xml; version=1.6", Some(Sbom)),
            ("Application/vnd.syft+json", Some(Sbom)),
            ("application/sarif+json", Some(Attestation)),
            ("application/vnd.openvex+json", Some(Attestation)),
            ("application/vnd.dev.sigstore.bundle.v0.3+json", None),
            ("application/vnd.dev.sigstore.bundle+json;version=0.2", None),
            ("application/vnd.in-toto+json", None),
            ("application/vnd.oci.empty.v1+json", None),
            ("", None),
        ];
        for (artifact_type, kind) in cases {
            assert_eq!(ReferrerKind::of_type(artifact_type), kind, "{artifact_type}");
        }
    }

    /// The kind of a referrer of a type that does not tell, by its annotations, and by its layer's type and annotations.
    fn kind(artifact_type: &str, noted: &[(&str, &str)], layer: &str, noted_there: &[(&str, &str)]) -> ReferrerKind {
        let blob = |media_type: &str| json!({ "mediaType": media_type, "digest": Digest::of(b"").as_str(), "size": 0 });
        let notes = |notes: &[(&str, &str)]| json!(notes.iter().copied().collect::<BTreeMap<_, _>>());
        let mut layer = blob(layer);
        layer["annotations"] = notes(noted_there);
        let document = json!({
            "schemaVersion": 2, "artifactType": artifact_type, "config": blob("application/vnd.oci.empty.v1+json"),
            "layers": [layer], "annotations": notes(noted),
        });
        ReferrerKind::of(&Manifest::parse(document.to_string().into(), None).unwrap())
    }

    #[test]
    fn a_bundle_is_what_it_states() {
        let bundle = "application/vnd.dev.sigstore.bundle.v0.3+json";
        let states = |predicate| kind(bundle, &[("dev.sigstore.bundle.predicateType", predicate)], bundle, &[]);
        assert_eq!(states("https://sigstore.dev/cosign/sign/v1"), Signature);
        assert_eq!(states("https://spdx.dev/Document/v2.3"), Sbom);
        assert_eq!(states("https://cyclonedx.org/bom"), Sbom);
        assert_eq!(states("https://slsa.dev/provenance/v1"), Attestation);
        let holds = |content| kind(bundle, &[("dev.sigstore.bundle.content", content)], bundle, &[]);
        assert_eq!((holds("message-signature"), holds("dsse-envelope")), (Signature, Attestation));
    }

    #[test]
    fn without_a_type_of_its_own_the_layers_tell() {
        let layer = |media_type, notes: &[_]| kind("application/vnd.oci.empty.v1+json", &[], media_type, notes);
        assert_eq!(layer("application/vnd.dev.cosign.simplesigning.v1+json", &[]), Signature);
        assert_eq!(layer("application/spdx+json", &[]), Sbom);
        assert_eq!(layer("text/plain", &[]), Attestation);
        let in_toto = |predicate| layer("application/vnd.in-toto+json", &[("in-toto.io/predicate-type", predicate)]);
        assert_eq!(in_toto("https://spdx.dev/Document"), Sbom);
        assert_eq!(in_toto("https://slsa.dev/provenance/v0.2"), Attestation);
    }

    #[test]
    fn a_filter_without_kinds_wants_nothing() {
        assert!(Referrers::None.wants_nothing() && Referrers::Only([].into()).wants_nothing());
        let some = Referrers::Only([Sbom].into());
        assert!(some.wants(Sbom) && !some.wants(Signature) && !some.wants_nothing());
        assert!(Referrers::All.wants(Attestation));
    }
}
