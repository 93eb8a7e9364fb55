//! `index.json` of a layout: the manifests that it holds, and their names (image-spec, image-layout.md).

use proto::{Descriptor, Digest, Tag};
use serde_json::{Map, Value, json};

/// The annotation that names a manifest of a layout (image-spec, annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The document, with all that others wrote in it and we do not read.
pub(super) struct Index {
    /// All members but `manifests`.
    document: Map<String, Value>,
    entries: Vec<Entry>,
}

/// An element of `manifests`.
struct Entry {
    raw: Value,
    /// None if we cannot read it: then it is kept as it is and never found.
    descriptor: Option<Descriptor>,
}

/// Several manifests answer to what was asked for.
pub(super) struct Ambiguous(pub(super) Vec<Descriptor>);

impl Index {
    /// The index of a layout without images.
    pub(super) fn empty() -> Self {
        let mut document = Map::new();
        document.insert("schemaVersion".into(), json!(2));
        Self { document, entries: Vec::new() }
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut document: Map<String, Value> = serde_json::from_slice(bytes)?;
        let manifests = document.remove("manifests").unwrap_or(Value::Null);
        let raw: Option<Vec<Value>> = serde_json::from_value(manifests)?;
        let entries = raw.unwrap_or_default().into_iter().map(Entry::new).collect();
        Ok(Self { document, entries })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut document = self.document.clone();
        let manifests = self.entries.iter().map(|entry| entry.raw.clone()).collect();
        document.insert("manifests".into(), Value::Array(manifests));
        Value::Object(document).to_string().into_bytes()
    }

    /// Orders the entries, so that the same images give the same bytes.
    pub(super) fn sort(&mut self) {
        self.entries.sort_by_cached_key(|entry| (entry.name().map(str::to_owned), entry.raw.to_string()));
    }

    /// The descriptors, in the document's order.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.entries.iter().filter_map(|entry| entry.descriptor.as_ref())
    }

    /// The manifest called `name`: literally so, or else the one whose name is a reference with the tag `name`.
    pub(super) fn find(&self, name: &str) -> Result<Option<Descriptor>, Ambiguous> {
        let literal = self.only(|entry| name_of(entry) == Some(name))?;
        if literal.is_some() || name.parse::<Tag>().is_err() {
            return Ok(literal);
        }
        self.only(|entry| name_of(entry).and_then(split_tag).is_some_and(|(_, tag)| tag == name))
    }

    /// The one manifest that `wanted` holds for, under however many names.
    pub(super) fn only(&self, wanted: impl Fn(&Descriptor) -> bool) -> Result<Option<Descriptor>, Ambiguous> {
        let found: Vec<&Descriptor> = self.descriptors().filter(|entry| wanted(entry)).collect();
        match found.split_first() {
            None => Ok(None),
            Some((first, rest)) if rest.iter().all(|other| other.digest == first.digest) => Ok(Some((*first).clone())),
            Some(_) => Err(Ambiguous(found.into_iter().cloned().collect())),
        }
    }

    /// Gives `name` to `manifest` and takes it from any other; without a name the manifest is only listed.
    pub(super) fn set(&mut self, name: Option<&str>, manifest: &Descriptor) {
        let mut manifest = manifest.clone();
        manifest.annotations.remove(REF_NAME);
        if let Some(name) = name {
            manifest.annotations.insert(REF_NAME.into(), name.into());
        }
        // Unnamed entries stay: they may be what makes a referrer findable.
        let is_replaced = |entry: &Entry| name.is_some() && entry.name() == name;
        let is_listed = name.is_none() && self.descriptors().any(|entry| entry.digest == manifest.digest);
        if !is_listed {
            self.entries.retain(|entry| !is_replaced(entry));
            self.entries.push(Entry { raw: to_value(&manifest), descriptor: Some(manifest) });
        }
    }
}

impl Entry {
    fn new(raw: Value) -> Self {
        Self { descriptor: serde_json::from_value(raw.clone()).ok(), raw }
    }

    fn name(&self) -> Option<&str> {
        self.raw.get("annotations")?.get(REF_NAME)?.as_str()
    }
}

/// The name of a manifest in its layout.
pub(super) fn name_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations.get(REF_NAME).map(String::as_str)
}

/// Repository and tag of a name that is a full reference; none for a bare tag and for a digest.
pub(super) fn split_tag(name: &str) -> Option<(&str, &str)> {
    let name = pin_of(name).map_or(name, |(name, _)| name);
    name.rsplit_once(':').filter(|(_, tag)| tag.parse::<Tag>().is_ok() && name.parse::<Digest>().is_err())
}

/// The digest that a name ends with, and what stands before its `@`.
pub(super) fn pin_of(name: &str) -> Option<(&str, Digest)> {
    name.rsplit_once('@').and_then(|(name, digest)| Some((name, digest.parse().ok()?)))
}

/// What `tag` is called beside an image called `name`: in the same repository, if the name tells one.
pub(crate) fn sibling(name: Option<&str>, tag: &Tag) -> String {
    match name.and_then(split_tag) {
        Some((repository, _)) => format!("{repository}:{tag}"),
        None => tag.to_string(),
    }
}

/// Whether a name is that of a signature, an attestation or a list of referrers kept under a tag
/// (`sha256-<hex>[.sig]`), and not that of an image.
pub(super) fn is_sidecar(name: &str) -> bool {
    let tag = split_tag(name).map_or(name, |(_, tag)| tag);
    let digest = tag.split('.').next().unwrap_or(tag).replacen('-', ":", 1);
    digest.parse::<Digest>().is_ok()
}

/// `descriptor` as the image-spec writes it.
fn to_value(descriptor: &Descriptor) -> Value {
    let mut value = json!({
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    });
    if let Some(artifact_type) = &descriptor.artifact_type {
        value["artifactType"] = json!(artifact_type);
    }
    if !descriptor.annotations.is_empty() {
        value["annotations"] = json!(descriptor.annotations);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto::manifest::media_type::OCI_MANIFEST;

    fn manifest(content: &str) -> Descriptor {
        Descriptor::new(OCI_MANIFEST, Digest::of(content.as_bytes()), content.len() as u64)
    }

    fn found(index: &Index, name: &str) -> Option<Digest> {
        index.find(name).unwrap_or_else(|_| panic!("`{name}` is ambiguous")).map(|found| found.digest)
    }

    #[test]
    fn a_name_moves_and_leaves_no_second_entry() {
        let mut index = Index::empty();
        index.set(Some("quay.io/a:1"), &manifest("a"));
        index.set(Some("quay.io/a:1"), &manifest("b"));
        index.set(None, &manifest("b"));
        assert_eq!(index.descriptors().count(), 1);
        assert_eq!(found(&index, "quay.io/a:1"), Some(manifest("b").digest));
    }

    #[test]
    fn the_digest_at_the_end_of_a_name_is_no_part_of_its_tag() {
        let digest = Digest::of(b"");
        let pinned = format!("quay.io/a:1@{digest}");
        assert_eq!(split_tag(&pinned), Some(("quay.io/a", "1")));
        assert_eq!(sibling(Some(&pinned), &"x.sig".parse().unwrap()), "quay.io/a:x.sig");
        assert_eq!(pin_of(&pinned), Some(("quay.io/a:1", digest.clone())));
        assert_eq!((pin_of("quay.io/a:1"), pin_of("quay.io/a@1")), (None, None));
        assert_eq!(split_tag(digest.as_str()), None);
    }

    #[test]
    fn what_is_listed_without_a_name_stays_listed_when_a_name_comes_and_goes() {
        let mut index = Index::empty();
        index.set(None, &manifest("referrer"));
        index.set(None, &manifest("referrer"));
        index.set(Some("n"), &manifest("referrer"));
        index.set(Some("n"), &manifest("other"));
        let digests: Vec<_> = index.descriptors().map(|entry| entry.digest.clone()).collect();
        assert_eq!(digests, [manifest("referrer").digest, manifest("other").digest]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, entry: String) {
            let _ = Index::parse(&bytes);
            let document = json!({ "manifests": [entry, { "annotations": { REF_NAME: entry } }] });
            let index = Index::parse(document.to_string().as_bytes()).unwrap();
            prop_assert_eq!(index.descriptors().count(), 0);
        }
    }

    #[test]
    fn a_bare_tag_finds_the_reference_with_that_tag_unless_there_are_two() {
        let mut index = Index::empty();
        index.set(Some("localhost:5000/a:1"), &manifest("a"));
        index.set(Some("quay.io/b:2"), &manifest("b"));
        assert_eq!(found(&index, "1"), Some(manifest("a").digest));
        assert_eq!(found(&index, "5000"), None);
        index.set(Some("quay.io/b:1"), &manifest("a"));
        assert_eq!(found(&index, "1"), Some(manifest("a").digest), "the same image under two names");
        index.set(Some("quay.io/c:1"), &manifest("c"));
        assert!(index.find("1").is_err());
        assert_eq!(found(&index, "quay.io/c:1"), Some(manifest("c").digest));
    }

    #[test]
    fn what_others_wrote_survives_a_change() {
        let other = json!({ "mediaType": "x/y", "digest": "md5:00", "size": 1, "data": "AA==" });
        let document = json!({ "schemaVersion": 2, "annotations": { "k": "v" }, "manifests": [other] });
        let mut index = Index::parse(document.to_string().as_bytes()).unwrap();
        index.set(Some("n"), &manifest("a"));
        let written: Value = serde_json::from_slice(&index.to_bytes()).unwrap();
        assert_eq!(written["annotations"], document["annotations"]);
        assert_eq!(written["manifests"][0], other);
        assert_eq!(written["manifests"][1]["annotations"][REF_NAME], "n");
    }

    #[test]
    fn sidecars_are_told_from_images() {
        let hex = "0".repeat(64);
        assert!(is_sidecar(&format!("sha256-{hex}")));
        assert!(is_sidecar(&format!("quay.io/a:sha256-{hex}.sig")));
        assert!(!is_sidecar("quay.io/a:sha256-1"));
        assert!(!is_sidecar("1.2"));
    }
}
