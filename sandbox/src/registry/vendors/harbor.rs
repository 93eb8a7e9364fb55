//! Harbor's projects and lists of artifacts (harbor, `api/v2.0/swagger.yaml`).

use hyper::StatusCode;
use hyper::header::{HeaderName, LINK};
use proto::Digest;
use serde_json::{Value, json};

use super::super::routes::Query;
use super::super::{Features, RegistryService};
use super::{PAGE_MAX, cut, is_sidecar, newest_first, page_number};
use crate::answer::{Answer, Handled};
use crate::store::Tagged;

const TOTAL: HeaderName = HeaderName::from_static("x-total-count");

impl RegistryService {
    pub(super) fn list_artifacts(&self, repository: &str, query: &Query) -> Handled {
        let not_found = || Answer::error(StatusCode::NOT_FOUND, "NOT_FOUND", "repository not found");
        let tags = newest_first(self.store.tagged(repository).ok_or_else(not_found)?);
        let mut artifacts: Vec<(Digest, Vec<Tagged>)> = Vec::new();
        for tag in tags.into_iter().filter(|tag| !is_sidecar(tag)) {
            match artifacts.iter_mut().find(|(digest, _)| *digest == tag.digest) {
                Some((_, tags)) => tags.push(tag),
                None => artifacts.push((tag.digest.clone(), vec![tag])),
            }
        }
        let (number, length) = (page_number(query), self.page_length(query.get("page_size"), PAGE_MAX));
        let total = artifacts.len().to_string();
        let (page, has_next) = cut(artifacts, number, length);
        let page: Vec<_> = page.iter().map(|(digest, tags)| artifact(digest, tags)).collect();
        let answer = Answer::json(StatusCode::OK, &page.into()).with(TOTAL, total);
        let next = number + 1;
        let link = format!("</api/v2.0/artifacts?page={next}&page_size={length}>; rel=\"next\"");
        Ok(if has_next { answer.with(LINK, link) } else { answer })
    }
}

fn artifact(digest: &Digest, tags: &[Tagged]) -> Value {
    let names: Vec<_> = tags
        .iter()
        .map(|tag| json!({ "name": tag.name, "push_time": tag.time.to_string(), "immutable": false }))
        .collect();
    let time = tags.first().map(|tag| tag.time.to_string());
    json!({ "digest": digest.as_str(), "push_time": time, "tags": names, "type": "IMAGE" })
}

/// A project, which is a cache of another registry if the features say so.
pub(super) fn project(name: &str, features: &Features) -> Answer {
    let mut project = json!({ "project_id": 1, "name": name, "metadata": { "public": "false" } });
    if features.harbor_cache {
        project["registry_id"] = 7.into();
    }
    Answer::json(StatusCode::OK, &project)
}
