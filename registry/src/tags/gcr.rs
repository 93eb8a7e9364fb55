//! GCR and Artifact Registry: their `tags/list` has a map of all manifests, with tags and times, in one answer.
//!
//! Source: go-containerregistry, `pkg/v1/google/list.go`. Artifact Registry lists no more than 10,000 manifests
//! ("Quotas and limits"). Signatures and the like are listed as any tag.

use std::collections::HashMap;

use jiff::Timestamp;
use proto::Tag;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::gathered::{Entry, Gathered};

/// From so many manifests on, there may be more that are not listed.
const MANIFESTS_MAX: usize = 10_000;

/// Manifests by digest.
pub(super) type Manifests = HashMap<String, Manifest>;

/// What is said of one manifest.
#[derive(Deserialize)]
pub(super) struct Manifest {
    tag: Option<Vec<String>>,
    #[serde(rename = "timeUploadedMs")]
    uploaded: Option<Millis>,
}

/// Milliseconds since 1970: GCR writes them as text, Artifact Registry as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Millis {
    Number(i64),
    Text(String),
    Other(IgnoredAny),
}

impl Millis {
    fn time(&self) -> Option<Timestamp> {
        let millis = match self {
            Self::Number(millis) => *millis,
            Self::Text(text) => text.parse().ok()?,
            Self::Other(_) => return None,
        };
        Timestamp::from_millisecond(millis).ok()
    }
}

/// Adds what the map says, or only whether that is all.
pub(super) fn note(listed: &mut Gathered, manifests: &Manifests, with_digests: bool) {
    listed.tags.is_partial |= manifests.len() >= MANIFESTS_MAX;
    listed.tells_digests = with_digests;
    for (digest, manifest) in manifests.iter().filter(|_| with_digests) {
        let time = manifest.uploaded.as_ref().and_then(Millis::time);
        // A name that is no tag was counted where all are named.
        for name in manifest.tag.iter().flatten().filter(|name| name.parse::<Tag>().is_ok()) {
            listed.add(&Entry { name: name.clone(), digest: Some(digest.clone()), time });
        }
    }
}
