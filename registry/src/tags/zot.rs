//! zot: its search tells tags with digests.
//!
//! It leaves out signatures and what is not of an OCI type, so names come from `tags/list`, and only digests from here.
//! The times that it tells are those at which images were made, not those at which tags were set; they are left out.
//! Before it told the `MediaType`, the digest of an index was that of one of its children: such a zot refuses the
//! question. Source: zot, `pkg/extensions/search/schema.graphql`, `pkg/extensions/search/convert/metadb.go`.

use proto::Repository;
use reqwest::Method;
use serde::Deserialize;

use super::gathered::{Entry, Gathered, TAGS_MAX};
use super::listing::{self, Listing};
use super::{Tags, is_for_good, numbered};
use crate::error::{Error, Kind};
use crate::pages::PAGES_MAX;
use crate::transport::{Proof, Purpose, Registry};
use crate::wire::Request;

const SEARCH: &str = "/v2/_zot/ext/search";

/// Entries asked for at once.
const PAGE_ENTRIES: usize = 1000;

/// The extensions of a registry (distribution-spec, "Extensions").
#[derive(Deserialize)]
struct Discovery {
    extensions: Option<Vec<Extension>>,
}

#[derive(Deserialize)]
struct Extension {
    endpoints: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Answered {
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "ImageList")]
    list: Option<Images>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Images {
    results: Option<Vec<Image>>,
    page: Option<Counts>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    repo_name: Option<String>,
    tag: Option<String>,
    digest: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Counts {
    total_count: usize,
}

/// Whether the registry has the search.
pub(super) async fn is_there(registry: &Registry, repository: &Repository) -> Result<bool, Error> {
    let request = Request::new(Method::GET, registry.url("/v2/_oci/ext/discover").await?);
    let purpose = Purpose::pull(repository).shown_by(Proof::AsBefore);
    numbered::read_once(registry, &request, &purpose, |_, discovery: Discovery| {
        let extensions = discovery.extensions.into_iter().flatten();
        extensions.flat_map(|extension| extension.endpoints).flatten().any(|endpoint| endpoint == SEARCH)
    })
    .await
}

/// What is `listed`, with digests if the registry turns out to be zot.
///
/// # Errors
/// Those of a request that may pass.
pub(super) async fn add_digests(
    registry: &Registry,
    repository: &Repository,
    mut listed: Gathered,
) -> Result<Tags, Error> {
    if !listing::is_zot(registry, repository).await || registry.listings.is_plain(repository) {
        return Ok(listed.tags);
    }
    match search(registry, repository).await {
        Ok(known) => listed.add_digests_of(&known),
        Err(error) if is_for_good(&error, Some(Listing::Zot)) => {
            listing::note_refusal(registry, repository, Listing::Zot, &error);
        }
        Err(error) => return Err(error),
    }
    Ok(listed.tags)
}

async fn search(registry: &Registry, repository: &Repository) -> Result<Gathered, Error> {
    let purpose = Purpose::pull(repository);
    let (mut listed, mut offset) = (Gathered::default(), 0);
    for _ in 0..PAGES_MAX {
        let mut url = registry.url(SEARCH).await?;
        url.query_pairs_mut().append_pair("query", &query(repository, offset));
        let request = Request::new(Method::GET, url);
        let unreadable = || registry.wire.error(Kind::Refused, &request).because("the listing is not readable");
        let answered = numbered::read_json(registry, &request, &purpose, |_, answered: Answered| answered).await?;
        let images = answered.data.and_then(|data| data.list).ok_or_else(unreadable)?;
        let (Some(results), Some(counts)) = (images.results, images.page) else { return Err(unreadable()) };
        offset += results.len();
        for image in &results {
            if let (Some(name), Some(tag)) = (&image.repo_name, &image.tag)
                && name == repository.path()
            {
                listed.add(&Entry { name: tag.clone(), digest: image.digest.clone(), time: None });
            }
        }
        if results.is_empty() || offset >= counts.total_count {
            return Ok(listed);
        }
        if offset > TAGS_MAX {
            break;
        }
    }
    Err(Error::new(Kind::Refused, format!("list the tags of `{repository}`")).because("the listing has no end"))
}

fn query(repository: &Repository, offset: usize) -> String {
    let page = format!("requestedPage:{{limit:{PAGE_ENTRIES},offset:{offset}}}");
    let fields = "{Results{RepoName Tag Digest MediaType} Page{TotalCount ItemCount}}";
    format!("{{ImageList(repo:\"{}\",{page}){fields}}}", repository.path())
}
