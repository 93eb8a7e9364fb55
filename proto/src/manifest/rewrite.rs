//! An index written anew, with only some of its children.

use serde_json::Value;

use super::{Descriptor, Manifest, ManifestError};

impl Manifest {
    /// The index with only some of its children. `children` has one entry for each, in their order: the child as it is,
    /// the same with another digest and size, or none where it is left out. Whatever else the index says stays, fields
    /// that we do not know too, and the same input gives the same bytes.
    ///
    /// # Errors
    /// `Malformed` or `Ambiguous`: it was read, but it is too odd to be written.
    pub fn with_children(&self, children: &[Option<Descriptor>]) -> Result<Self, ManifestError> {
        let mut document: Value = serde_json::from_slice(&self.raw).map_err(ManifestError::Malformed)?;
        let Some(Value::Array(entries)) = document.get_mut("manifests") else {
            return Err(ManifestError::Ambiguous("its `manifests` are no list"));
        };
        let mut kept = Vec::new();
        for (mut entry, child) in entries.drain(..).zip(children) {
            if let Some(child) = child {
                point(&mut entry, child)?;
                kept.push(entry);
            }
        }
        *entries = kept;
        Self::parse(document.to_string().into(), Some(&self.media_type))
    }
}

/// Lets an entry of an index point to `child`.
fn point(entry: &mut Value, child: &Descriptor) -> Result<(), ManifestError> {
    let Value::Object(fields) = entry else {
        return Err(ManifestError::Ambiguous("one of its children is no object"));
    };
    if fields.get("digest").and_then(Value::as_str) != Some(child.digest.as_str()) {
        fields.insert("digest".into(), child.digest.as_str().into());
        fields.insert("size".into(), child.size.into());
        // Copies of the bytes that it pointed to before.
        fields.shift_remove("data");
        fields.shift_remove("urls");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Digest;
    use crate::manifest::media_type::{DOCKER_LIST, OCI_INDEX, OCI_MANIFEST};

    fn child(name: &str) -> Value {
        json!({ "size": 4, "x-odd": [name, 1.5], "digest": Digest::of(name.as_bytes()).as_str(), "mediaType": OCI_MANIFEST })
    }

    fn index(document: &Value) -> Manifest {
        Manifest::parse(document.to_string().into(), Some(DOCKER_LIST)).unwrap()
    }

    #[test]
    fn all_that_is_not_left_out_stays_in_its_order() {
        let document = json!({
            "z": { "b": 1, "a": 18_446_744_073_709_551_615_u64 }, "manifests": [child("a"), child("b"), child("c")],
            "annotations": { "z": "ä", "a": "" }, "schemaVersion": 2,
        });
        let (index, mut expected) = (index(&document), document);
        let children = index.children();
        let narrowed = index.with_children(&[Some(children[0].clone()), None, Some(children[2].clone())]).unwrap();
        expected["manifests"].as_array_mut().unwrap().remove(1);
        assert_eq!(narrowed.raw, expected.to_string());
        assert_eq!((narrowed.media_type.as_str(), narrowed.children().len()), (DOCKER_LIST, 2));
        assert_eq!(narrowed.digest, Digest::of(&narrowed.raw));
    }

    #[test]
    fn a_child_with_another_digest_keeps_its_fields_and_loses_copies_of_the_old_bytes() {
        let mut entry = child("a");
        entry["data"] = "YQ==".into();
        entry["urls"] = json!(["https://example.com/a"]);
        let index = index(&json!({ "schemaVersion": 2, "manifests": [entry] }));
        let moved = Descriptor { digest: Digest::of(b"b"), size: 7, ..index.children()[0].clone() };
        let narrowed = index.with_children(&[Some(moved)]).unwrap();
        let document: Value = serde_json::from_slice(&narrowed.raw).unwrap();
        let expected =
            json!({ "size": 7, "x-odd": ["a", 1.5], "digest": Digest::of(b"b").as_str(), "mediaType": OCI_MANIFEST });
        assert_eq!(document["manifests"][0].to_string(), expected.to_string());
    }

    #[test]
    fn an_index_too_odd_to_be_written_is_refused() {
        let digest = Digest::of(b"");
        let listed =
            json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [[OCI_MANIFEST, digest.as_str(), 0]] });
        let deep = format!(r#"{{"x":{}{},"manifests":[]}}"#, "[".repeat(200), "]".repeat(200));
        for (raw, error) in [(listed.to_string(), "no object"), (deep, "not readable")] {
            let index = Manifest::parse(raw.into(), Some(OCI_INDEX)).unwrap();
            let children: Vec<_> = index.children().iter().cloned().map(Some).collect();
            let refused = index.with_children(&children).unwrap_err().to_string();
            assert!(refused.contains(error), "{refused}");
        }
    }
}
