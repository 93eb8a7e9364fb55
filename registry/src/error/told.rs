//! What a registry tells in the body of an error.

use proto::Digest;
use serde_json::Value;

/// The first error of an error body, and what all of them say is missing (distribution-spec, "Error Codes").
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) missing: Vec<Digest>,
}

/// Digests of an error body that are believed: no manifest of ours names more.
const MISSING_MAX: usize = 10_000;

impl Told {
    /// Reads an error body; one that is no such document becomes the message, since plain text is common.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Document {
            errors: Vec<Item>,
        }
        #[derive(serde::Deserialize)]
        struct Item {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
            #[serde(default)]
            detail: Value,
        }
        if let Ok(document) = serde_json::from_slice::<Document>(body) {
            let unknown = document.errors.iter().filter(|item| UNKNOWN_CODES.contains(&item.code.as_str()));
            let missing = unknown.flat_map(|item| digests(&item.detail)).take(MISSING_MAX).collect();
            let first = document.errors.into_iter().next()?;
            return Some(Self { code: first.code, message: first.message, missing });
        }
        let text = String::from_utf8_lossy(body);
        let text = text.trim();
        (!text.is_empty() && !text.starts_with('<') && !text.starts_with('{')).then(|| Self {
            code: String::new(),
            message: text.to_owned(),
            missing: Vec::new(),
        })
    }
}

/// Codes by which registries say that a manifest names what they lack.
const UNKNOWN_CODES: [&str; 2] = ["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"];

/// The digests in the detail of an error: a text (distribution), or the values of an object.
fn digests(detail: &Value) -> Vec<Digest> {
    let values: Vec<&Value> = match detail {
        Value::Object(fields) => fields.values().collect(),
        Value::Array(items) => items.iter().collect(),
        value => vec![value],
    };
    values.into_iter().filter_map(|value| value.as_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_are_no_error_document_are_quoted_only_as_plain_text() {
        assert_eq!(Told::parse(b"slow down").unwrap().message, "slow down");
        for body in ["", "  ", "<html>…", "{\"errors\":[]}", "{\"odd\":1}"] {
            assert_eq!(Told::parse(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn what_is_missing_is_read_from_all_errors_in_whatever_form() {
        let [a, b, c] = [b"a", b"b", b"c"].map(|content| Digest::of(content));
        let body = format!(
            r#"{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","detail":"{a}"}},
                {{"code":"MANIFEST_BLOB_UNKNOWN","detail":{{"Digest":"{b}","more":1}}}},
                {{"code":"DENIED","detail":"{c}"}},{{"code":"BLOB_UNKNOWN","detail":["odd",7]}}]}}"#
        );
        assert_eq!(Told::parse(body.as_bytes()).unwrap().missing, [a, b]);
    }
}
