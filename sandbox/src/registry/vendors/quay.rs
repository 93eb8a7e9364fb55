//! Quay's list of tags (quay, `endpoints/api/tag.py`).

use hyper::StatusCode;
use serde_json::json;

use super::super::RegistryService;
use super::super::routes::Query;
use super::{PAGE_MAX, cut, newest_first, page_number};
use crate::answer::{Answer, Handled};

impl RegistryService {
    pub(super) fn list_quay_tags(&self, repository: &str, query: &Query) -> Handled {
        let not_found = || Answer::error(StatusCode::NOT_FOUND, "not_found", "Not Found");
        let tags = newest_first(self.store.tagged(repository).ok_or_else(not_found)?);
        let (number, length) = (page_number(query), self.page_length(query.get("limit"), PAGE_MAX));
        let (page, has_additional) = cut(tags, number, length);
        let tags: Vec<_> = page
            .iter()
            .map(|tag| {
                json!({
                    "name": tag.name, "reversion": false, "manifest_digest": tag.digest.as_str(),
                    "start_ts": tag.time.as_second(), "last_modified": tag.time.to_string(),
                })
            })
            .collect();
        let page = json!({ "tags": tags, "page": number, "has_additional": has_additional });
        Ok(Answer::json(StatusCode::OK, &page))
    }
}

/// What there is to ask (Swagger).
pub(super) fn discovery() -> Answer {
    let paths = json!({
        "/api/v1/repository": {}, "/api/v1/repository/{repository}/tag/": { "get": { "operationId": "listRepoTags" } },
    });
    Answer::json(StatusCode::OK, &json!({ "swagger": "2.0", "paths": paths }))
}
