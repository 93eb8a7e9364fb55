//! Lists tags as the specification has it: names, page by page. An answer in the shape of GCR tells digests as well.

use std::collections::HashSet;

use proto::Repository;
use reqwest::{Method, Url};
use serde::Deserialize;

use super::gathered::{Gathered, TAGS_MAX};
use super::{Listing, gcr};
use crate::error::{Error, Kind};
use crate::pages::{self, PAGES_MAX};
use crate::transport::{Purpose, Registry};
use crate::wire::Request;

/// Tags that we ask for at once; registries may give fewer, and some give all whatever is asked.
const PAGE_TAGS: usize = 1000;

/// Largest page: some registries send all tags in one.
pub(super) const PAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

#[derive(Default, Deserialize)]
struct Page {
    /// `null` where there are none.
    tags: Option<Vec<String>>,
    manifest: Option<gcr::Manifests>,
}

/// The same of a registry whose `manifest`, if it has one, is another's.
#[derive(Deserialize)]
struct Names {
    tags: Option<Vec<String>>,
}

/// All tags, with digests if the registry tells them here, unless it is `chosen` not to look for any.
pub(super) async fn list(
    registry: &Registry,
    repository: &Repository,
    chosen: Option<Listing>,
) -> Result<Gathered, Error> {
    let purpose = Purpose::pull(repository);
    // GCR has all in one answer: its map of manifests does not fit to a page of tags.
    let query = if chosen == Some(Listing::Gcr) { String::new() } else { format!("?n={PAGE_TAGS}") };
    let mut next = Some(registry.url(&format!("/v2/{}/tags/list{query}", repository.path())).await?);
    let mut listed = Gathered::default();
    // The pages asked for, but the first: a hostile listing could lead in a circle.
    let mut seen: HashSet<Url> = HashSet::new();
    while let Some(url) = next {
        let request = Request::new(Method::GET, url);
        let refused = |why: &str| registry.wire.error(Kind::Refused, &request).because(why);
        if seen.len() > PAGES_MAX || listed.len() > TAGS_MAX {
            return Err(refused("the listing has no end"));
        }
        let (page, link) = read(registry, &request, &purpose).await?;
        let names = page.tags.unwrap_or_default();
        let new = not_seen_before(&request.url, &names);
        for name in new {
            listed.add_name(name);
        }
        if let Some(manifests) = &page.manifest {
            gcr::note(&mut listed, manifests, chosen != Some(Listing::Plain));
        }
        next = link.or_else(|| after_last(&request.url, &names)).filter(|_| !new.is_empty());
        if next.as_ref().is_some_and(|next| !seen.insert(next.clone())) {
            return Err(refused("the listing leads in a circle"));
        }
    }
    Ok(listed)
}

async fn read(registry: &Registry, request: &Request, purpose: &Purpose) -> Result<(Page, Option<Url>), Error> {
    let page = registry.retried(async || {
        let mut answer = registry.call_once(request, purpose).await?;
        let body = answer.bytes(PAGE_BYTES_MAX).await?;
        let page = parse(&body)
            .map_err(|error| answer.error(Kind::Refused).because("the listing is not readable").caused_by(error))?;
        Ok((page, pages::next(&answer, &request.url)?))
    });
    page.await.map_err(|error| match error.is_not_found() {
        true => error.hinting("there is no such repository: correct its name"),
        false => error,
    })
}

fn parse(body: &[u8]) -> Result<Page, serde_json::Error> {
    serde_json::from_slice::<Page>(body)
        .or_else(|_| serde_json::from_slice::<Names>(body).map(|names| Page { tags: names.tags, manifest: None }))
}

/// The page after a full one without `Link`: by `last`. A registry that knows neither gives more or fewer tags than
/// were asked for, or the same again.
fn after_last(url: &Url, names: &[String]) -> Option<Url> {
    let last = names.last().filter(|_| names.len() == PAGE_TAGS && url.query().is_some())?;
    let mut next = url.clone();
    next.query_pairs_mut().clear().append_pair("n", &PAGE_TAGS.to_string()).append_pair("last", last);
    Some(next)
}

/// What is new on a page that was asked for by `last`. A registry that does not know `last` starts all over, and then
/// nothing is.
fn not_seen_before<'a>(url: &Url, names: &'a [String]) -> &'a [String] {
    let last = url.query_pairs().find(|(name, _)| name == "last");
    let at = last.and_then(|(_, last)| names.iter().position(|name| *name == last));
    at.map_or(names, |at| &names[at + 1..])
}
