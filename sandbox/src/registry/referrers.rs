//! The referrers API: what has a manifest as its subject (distribution-spec, end-12).

use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use proto::manifest::media_type;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::RegistryService;
use super::routes::{Query, parse_digest};
use super::tags::linked;
use crate::answer::{Answer, Handled, name};

impl RegistryService {
    pub(super) fn list_referrers(&self, repository: &str, digest: &str, query: &Query) -> Handled {
        if !self.features().referrers {
            return Err(Answer::error(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such endpoint").into());
        }
        let digest = parse_digest(digest)?;
        let wanted = query.get("artifactType");
        let last = query.get("last").unwrap_or_default();
        let mut referrers = Vec::new();
        for (referrer, manifest) in self.store.referrers(repository, &digest) {
            if referrer.as_str() <= last {
                continue;
            }
            let document: Value = serde_json::from_slice(&manifest.raw).unwrap_or_default();
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
        let next = self.cut_page(&mut referrers).map(|last| {
            let filter = wanted.map(|wanted| ("artifactType", wanted));
            let mut next = form_urlencoded::Serializer::new(String::new());
            next.append_pair("last", &last).extend_pairs(filter).finish()
        });
        let index = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": referrers });
        let answer = Answer::json(StatusCode::OK, &index).with(CONTENT_TYPE, media_type::OCI_INDEX);
        let answer = linked(answer, &format!("/v2/{repository}/referrers/{digest}"), next);
        Ok(if wanted.is_some() { answer.with(name::FILTERS_APPLIED, "artifactType") } else { answer })
    }

    /// Cuts a list to a page; the digest after which the next page begins, if there is one.
    fn cut_page(&self, referrers: &mut Vec<Value>) -> Option<String> {
        let max = self.features().page_max.filter(|max| referrers.len() > *max)?;
        referrers.truncate(max);
        referrers.last()?["digest"].as_str().map(str::to_owned)
    }
}
