//! zot's search: one question of its GraphQL, that for the tags of a repository (`pkg/extensions/search`).

use hyper::StatusCode;
use serde_json::json;

use super::super::RegistryService;
use super::is_sidecar;
use crate::answer::{Answer, Handled};
use crate::store::Tagged;

/// Unlike others, zot gives as many as are asked for.
const PAGE_MAX: usize = 100_000;

impl RegistryService {
    pub(super) fn search(&self, query: &str) -> Handled {
        let refused = |why: &str| {
            Answer::json(
                StatusCode::UNPROCESSABLE_ENTITY,
                &json!({
                    "errors": [{ "message": why }], "data": null,
                }),
            )
        };
        let repository = repository(query).ok_or_else(|| refused("only ImageList is known"))?;
        let tags = self.store.tagged(repository).unwrap_or_default();
        let shown: Vec<_> = tags.into_iter().filter(|tag| !is_sidecar(tag) && is_oci(tag)).collect();
        let length = self.page_length(number(query, "limit:"), PAGE_MAX);
        let offset = number(query, "offset:").and_then(|offset| offset.parse().ok()).unwrap_or(0);
        let total = shown.len();
        let results: Vec<_> = shown
            .iter()
            .skip(offset)
            .take(length)
            .map(|tag| {
                json!({
                    "RepoName": repository, "Tag": tag.name, "Digest": tag.digest.as_str(),
                    "MediaType": tag.media_type, "LastUpdated": "2001-01-01T00:00:00Z",
                })
            })
            .collect();
        let page = json!({ "TotalCount": total, "ItemCount": results.len() });
        let list = json!({ "Results": results, "Page": page });
        Ok(Answer::json(StatusCode::OK, &json!({ "data": { "ImageList": list } })))
    }
}

fn is_oci(tag: &Tagged) -> bool {
    tag.media_type.starts_with("application/vnd.oci.")
}

/// The repository in `ImageList(repo:"…", …)`.
pub(super) fn repository(query: &str) -> Option<&str> {
    let (_, rest) = query.split_once("ImageList(repo:\"")?;
    Some(rest.split_once('"')?.0)
}

/// The digits after `name`.
fn number<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = query.split_once(name)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// What the registry says of its extensions (distribution-spec, "Extensions").
pub(super) fn extensions() -> Answer {
    let zot = json!({
        "name": "_zot", "url": "https://github.com/project-zot/zot/blob/main/pkg/extensions/_zot.md",
        "description": "zot registry extensions", "endpoints": ["/v2/_zot/ext/search", "/v2/_zot/ext/mgmt"],
    });
    Answer::json(StatusCode::OK, &json!({ "extensions": [zot] }))
}
