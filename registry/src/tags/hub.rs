//! Docker Hub: its own interface, on a host of its own, tells tags with digests and times, 100 to a page.
//!
//! Nothing that proves who we are goes there: what is private is not found, and is listed as the specification has it.
//! Signatures and the like are listed as any tag. It has a limit of its own, apart from that of pulls (429).

use proto::Repository;
use reqwest::Url;
use serde::Deserialize;

use super::gathered::{Entry, Gathered};
use super::numbered::{self, PAGE_ENTRIES, Page};
use crate::error::{Error, Kind};
use crate::transport::{Proof, Purpose, Registry};

const HOST: &str = "hub.docker.com";

#[derive(Deserialize)]
struct Answered {
    count: Option<usize>,
    next: Option<String>,
    results: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    /// None where nobody knows: of old, only what is below an index had one.
    digest: Option<String>,
    last_updated: Option<String>,
}

/// None for paths that Docker Hub does not have.
pub(super) async fn list(registry: &Registry, repository: &Repository) -> Result<Option<Gathered>, Error> {
    if repository.path().split('/').count() != 2 {
        return Ok(None);
    }
    let scheme = registry.base().await?.scheme();
    let tags = format!("{scheme}://{HOST}/v2/repositories/{}/tags", repository.path());
    let tags = Url::parse(&tags)
        .map_err(|error| Error::new(Kind::Internal, format!("read the URL `{tags}`")).caused_by(error))?;
    let url = |number: usize| {
        let mut url = tags.clone();
        url.set_query(Some(&format!("page_size={PAGE_ENTRIES}&page={number}")));
        url
    };
    let purpose = Purpose::pull(repository).shown_by(Proof::None);
    let listed = numbered::read_all(registry, &purpose, url, |_, answered: Answered| Page {
        items: answered.results.len(),
        total: answered.count,
        // Where it leads is of no interest: pages are asked for by number.
        has_next: answered.next.is_some(),
        entries: answered.results.into_iter().map(Named::entry).collect(),
    });
    listed.await.map(Some)
}

impl Named {
    fn entry(self) -> Entry {
        let time = self.last_updated.and_then(|time| time.parse().ok());
        Entry { name: self.name, digest: self.digest, time }
    }
}
