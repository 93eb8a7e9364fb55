//! Lists of tags and of repositories, in pages (distribution-spec, end-8; the catalog is an extension of old).

use hyper::{StatusCode, header};
use serde_json::json;

use super::routes::{Query, unsupported};
use super::{RegistryService, TagPaging, Vendor};
use crate::answer::{Answer, Handled};

impl RegistryService {
    pub(super) fn list_tags(&self, repository: &str, query: &Query) -> Handled {
        let unknown = || Answer::error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "repository name not known to registry");
        let tags = self.store.tag_names(repository).ok_or_else(unknown)?;
        let (tags, next) = self.page(tags, query);
        let mut page = json!({ "name": repository, "tags": tags });
        if self.features().vendor == Vendor::Gcr {
            page["manifest"] = self.map_of_manifests(repository);
        }
        let answer = Answer::json(StatusCode::OK, &page);
        Ok(linked(answer, &format!("/v2/{repository}/tags/list"), next))
    }

    pub(super) fn list_repositories(&self, query: &Query) -> Handled {
        if !self.features().catalog {
            return Err(unsupported().into());
        }
        let (repositories, next) = self.page(self.store.repositories(), query);
        let answer = Answer::json(StatusCode::OK, &json!({ "repositories": repositories }));
        Ok(linked(answer, "/v2/_catalog", next))
    }

    /// The page of `names` that was asked for, and the query of the next one.
    fn page(&self, names: Vec<String>, query: &Query) -> (Vec<String>, Option<String>) {
        let features = self.features();
        if features.tag_paging == TagPaging::AtOnce {
            return (names, None);
        }
        let asked = query.get("n").and_then(|n| n.parse::<usize>().ok());
        let last = query.get("last").unwrap_or_default();
        let rest: Vec<String> = names.into_iter().filter(|name| name.as_str() > last).collect();
        let Some(n) = asked.into_iter().chain(features.page_max).min() else { return (rest, None) };
        let has_more = n > 0 && rest.len() > n && features.tag_paging == TagPaging::Links;
        let page: Vec<String> = rest.into_iter().take(n).collect();
        let next = page.last().filter(|_| has_more).map(|last| format!("n={n}&last={last}"));
        (page, next)
    }
}

pub(super) fn linked(answer: Answer, path: &str, next: Option<String>) -> Answer {
    match next {
        Some(query) => answer.with(header::LINK, format!("<{path}?{query}>; rel=\"next\"")),
        None => answer,
    }
}
