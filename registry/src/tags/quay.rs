//! Quay: its own interface tells tags with digests and times, 100 to a page.
//!
//! It takes no tokens of the registry, so it is asked as nobody: what is private is listed as the specification has it.
//! Signatures and the like are listed as any tag. It does not say how many tags there are, so names of more than one
//! page come from `tags/list`. Source: quay, `endpoints/api/tag.py`.

use std::collections::HashMap;

use jiff::Timestamp;
use proto::Repository;
use reqwest::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::gathered::{Entry, Gathered};
use super::numbered::{self, PAGE_ENTRIES, Page};
use crate::error::Error;
use crate::transport::{Proof, Purpose, Registry};
use crate::wire::Request;

#[derive(Deserialize)]
struct Answered {
    tags: Vec<Named>,
    has_additional: bool,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    manifest_digest: Option<String>,
    start_ts: Option<i64>,
    /// When it ends by itself.
    end_ts: Option<i64>,
}

/// What there is to ask (Swagger).
#[derive(Deserialize)]
struct Discovery {
    paths: HashMap<String, IgnoredAny>,
}

pub(super) async fn list(registry: &Registry, repository: &Repository) -> Result<Option<Gathered>, Error> {
    let tags = registry.url(&format!("/api/v1/repository/{}/tag/", repository.path())).await?;
    let url = |number: usize| {
        let mut url = tags.clone();
        url.set_query(Some(&format!("limit={PAGE_ENTRIES}&page={number}&onlyActiveTags=true")));
        url
    };
    let purpose = Purpose::pull(repository).shown_by(Proof::None);
    let listed = numbered::read_all(registry, &purpose, url, |_, answered: Answered| Page {
        items: answered.tags.len(),
        total: None,
        has_next: answered.has_additional,
        entries: answered.tags.into_iter().map(Named::entry).collect(),
    });
    listed.await.map(Some)
}

impl Named {
    fn entry(self) -> Entry {
        let time = self.start_ts.and_then(|seconds| Timestamp::from_second(seconds).ok());
        // A tag that ends by itself may be a copy of another registry's, which moved since.
        Entry { name: self.name, digest: self.manifest_digest.filter(|_| self.end_ts.is_none()), time }
    }
}

/// Whether the registry has this interface.
pub(super) async fn is_there(registry: &Registry, repository: &Repository) -> Result<bool, Error> {
    let request = Request::new(Method::GET, registry.url("/api/v1/discovery").await?);
    let purpose = Purpose::pull(repository).shown_by(Proof::None);
    numbered::read_once(registry, &request, &purpose, |_, discovery: Discovery| {
        discovery.paths.keys().any(|path| path.starts_with("/api/v1/repository/{repository}/tag"))
    })
    .await
}
