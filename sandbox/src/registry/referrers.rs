//! The referrers API: what has a manifest as its subject (distribution-spec, end-12).

use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use proto::manifest::media_type;
use serde_json::{Value, json};

use super::RegistryService;
use super::routes::{Query, parse_digest};
use crate::answer::{Answer, Handled, name};

impl RegistryService {
    pub(super) fn list_referrers(&self, repository: &str, digest: &str, query: &Query) -> Handled {
        if !self.features().referrers {
            return Err(Answer::error(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such endpoint").into());
        }
        let digest = parse_digest(digest)?;
        let wanted = query.get("artifactType");
        let mut referrers = Vec::new();
        for (referrer, manifest) in self.store.manifests(repository) {
            let document: Value = serde_json::from_slice(&manifest.raw).unwrap_or_default();
            if document["subject"]["digest"] != digest.as_str() {
                continue;
            }
            let artifact_type = document["artifactType"].as_str().or(document["config"]["mediaType"].as_str());
            if wanted.is_some() && wanted != artifact_type {
                continue;
            }
            let mut descriptor = json!({
                "mediaType": manifest.media_type, "digest": referrer.as_str(), "size": manifest.raw.len(),
            });
            if let Some(artifact_type) = artifact_type {
                descriptor["artifactType"] = artifact_type.into();
            }
            if document["annotations"].is_object() {
                descriptor["annotations"] = document["annotations"].clone();
            }
            referrers.push(descriptor);
        }
        let index = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": referrers });
        let answer = Answer::json(StatusCode::OK, &index).with(CONTENT_TYPE, media_type::OCI_INDEX);
        Ok(if wanted.is_some() { answer.with(name::FILTERS_APPLIED, "artifactType") } else { answer })
    }
}
