//! Harbor: its own interface tells artifacts with digests and tags with times, 100 to a page.
//!
//! It takes user and password, not tokens of the registry. Signatures and the like (`sha256-….sig`) count there as
//! accessories of what they belong to, and are not listed. A project that is a cache of another registry lists what it
//! keeps, which is neither all nor new, so it is listed as the specification has it. Source: harbor,
//! `api/v2.0/swagger.yaml`.

use proto::Repository;
use reqwest::Method;
use serde::Deserialize;

use super::gathered::{Entry, Gathered};
use super::numbered::{self, PAGE_ENTRIES, Page};
use crate::error::Error;
use crate::pages;
use crate::transport::{Proof, Purpose, Registry};
use crate::wire::Request;

/// The service for which Harbor wants tokens: no other registry says that.
pub(super) const SERVICE: &str = "harbor-registry";

#[derive(Deserialize)]
struct Artifact {
    digest: Option<String>,
    tags: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    push_time: Option<String>,
}

#[derive(Deserialize)]
struct Project {
    /// The registry of which the project is a cache; 0 or none if it is not.
    registry_id: Option<i64>,
}

/// None in a project that is a cache.
pub(super) async fn list(registry: &Registry, repository: &Repository) -> Result<Option<Gathered>, Error> {
    let purpose = Purpose::pull(repository).shown_by(Proof::Password);
    let Some((project, name)) = repository.path().split_once('/') else { return Ok(None) };
    if is_cache(registry, project, &purpose).await? {
        return Ok(None);
    }
    // Slashes are escaped twice: the way to Harbor unescapes them once.
    let name = name.replace('/', "%252F");
    let artifacts = registry.url(&format!("/api/v2.0/projects/{project}/repositories/{name}/artifacts")).await?;
    let url = |number: usize| {
        let mut url = artifacts.clone();
        url.set_query(Some(&format!("with_tag=true&q=tags%3D*&page={number}&page_size={PAGE_ENTRIES}")));
        url
    };
    let mut listed = numbered::read_all(registry, &purpose, url, |answer, artifacts: Vec<Artifact>| Page {
        items: artifacts.len(),
        total: answer.text("x-total-count").and_then(|total| total.parse().ok()),
        has_next: pages::has_next(answer),
        entries: artifacts.into_iter().flat_map(entries).collect(),
    })
    .await?;
    listed.tags.hides_sidecars = true;
    Ok(Some(listed))
}

fn entries(artifact: Artifact) -> impl Iterator<Item = Entry> {
    let Artifact { digest, tags } = artifact;
    tags.into_iter().flatten().map(move |tag| {
        let time = tag.push_time.and_then(|time| time.parse().ok());
        Entry { name: tag.name, digest: digest.clone(), time }
    })
}

/// Asked once for each project.
async fn is_cache(registry: &Registry, project: &str, purpose: &Purpose) -> Result<bool, Error> {
    let known = registry.listings.project(project);
    let ask = async || {
        let request = Request::new(Method::GET, registry.url(&format!("/api/v2.0/projects/{project}")).await?);
        numbered::read_json(registry, &request, purpose, |_, project: Project| {
            project.registry_id.is_some_and(|id| id != 0)
        })
        .await
    };
    known.get_or_try_init(ask).await.copied()
}
