//! Docker Hub's list of tags, on `hub.docker.com`.

use hyper::StatusCode;
use serde_json::json;

use super::super::RegistryService;
use super::super::routes::Query;
use super::{PAGE_MAX, cut, newest_first, page_number};
use crate::answer::{Answer, Handled};

impl RegistryService {
    pub(super) fn list_hub_tags(&self, repository: &str, query: &Query) -> Handled {
        let tags = newest_first(self.store.tagged(repository).ok_or_else(not_found)?);
        let (number, length) = (page_number(query), self.page_length(query.get("page_size"), PAGE_MAX));
        let count = tags.len();
        let (page, has_next) = cut(tags, number, length);
        let url = format!("https://hub.docker.com/v2/repositories/{repository}/tags?page_size={length}&page=");
        let results: Vec<_> = page
            .iter()
            .map(|tag| {
                let time = tag.time.to_string();
                let images = json!([{ "architecture": "amd64", "os": "linux", "digest": tag.digest.as_str() }]);
                json!({
                    "name": tag.name, "digest": tag.digest.as_str(), "media_type": tag.media_type, "images": images,
                    "last_updated": time, "tag_last_pushed": time, "tag_status": "active", "v2": true,
                })
            })
            .collect();
        let page = json!({
            "count": count, "results": results,
            "next": has_next.then(|| format!("{url}{}", number + 1)),
            "previous": (number > 1).then(|| format!("{url}{}", number - 1)),
        });
        Ok(Answer::json(StatusCode::OK, &page))
    }
}

/// Also of what is not shown to everybody.
pub(super) fn not_found() -> Box<Answer> {
    Answer::json(StatusCode::NOT_FOUND, &json!({ "message": "object not found", "errinfo": {} })).into()
}
