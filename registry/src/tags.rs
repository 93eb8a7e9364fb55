//! The tags of a repository, read page by page to the end.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use proto::{Digest, Repository, Tag};
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::client::Client;
use crate::error::{Error, Kind};
use crate::pages::{self, PAGES_MAX};
use crate::transport::{Purpose, Registry};
use crate::wire::Request;

/// Tags that we ask for at once; registries may give fewer, and some give all whatever is asked.
const PAGE_TAGS: usize = 1000;

/// Largest page: some registries send all tags in one.
const PAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a repository lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// All tags, in the registry's order.
    pub tags: Vec<Tag>,
    /// What tags show, of those of which the listing says it.
    pub digests: HashMap<Tag, Digest>,
    /// When tags were last set, of those of which the listing says it.
    pub times: HashMap<Tag, Timestamp>,
    /// Whether there may be more: then what is not named may be there all the same.
    pub is_partial: bool,
    /// Whether signatures and the like are not listed though they may be there under tags of their own
    /// (`sha256-….sig`): that none is named says nothing about them.
    pub hides_sidecars: bool,
    /// How many names are no tags: nothing can be asked for by them.
    pub invalid: usize,
}

/// A listing, read page by page.
struct TagPages {
    client: Client,
    repository: Repository,
    state: State,
    /// The pages asked for, but the first: a hostile listing could lead in a circle.
    seen: HashSet<Url>,
}

enum State {
    Start,
    Next(Arc<Registry>, Url),
    End,
}

#[derive(Deserialize)]
struct Page {
    /// `null` where there are none.
    tags: Option<Vec<String>>,
}

impl Client {
    /// All tags of `repository`, in the registry's order (distribution-spec, end-8a and end-8b).
    ///
    /// # Errors
    /// `NotFound` if there is no such repository, `Refused` if the listing is not readable, leads in a circle or has no
    /// end, and those of any request. A part of a listing proves nothing, so there is none.
    pub async fn tags(&self, repository: &Repository) -> Result<Tags, Error> {
        let (client, repository) = (self.clone(), repository.clone());
        let mut pages = TagPages { client, repository, state: State::Start, seen: HashSet::new() };
        let mut listed = Tags::default();
        while let Some(page) = pages.next_page().await? {
            listed.tags.extend(page.tags);
            listed.invalid += page.invalid;
        }
        Ok(listed)
    }
}

impl TagPages {
    /// The next tags; none after the last. A page may be empty.
    async fn next_page(&mut self) -> Result<Option<Tags>, Error> {
        let (registry, url) = match std::mem::replace(&mut self.state, State::End) {
            State::Start => {
                let registry = self.client.registry(&self.repository).await?;
                let url = registry.url(&format!("/v2/{}/tags/list?n={PAGE_TAGS}", self.repository.path())).await?;
                (registry, url)
            }
            State::Next(registry, url) => (registry, url),
            State::End => return Ok(None),
        };
        let request = Request::new(Method::GET, url);
        let refused = |why: &str| registry.wire.error(Kind::Refused, &request).because(why);
        if self.seen.len() > PAGES_MAX {
            return Err(refused("the listing has no end"));
        }
        let purpose = Purpose::pull(&self.repository);
        let page = registry.retried(async || {
            let mut answer = registry.call_once(&request, &purpose).await?;
            let body = answer.bytes(PAGE_BYTES_MAX).await?;
            let page: Page = serde_json::from_slice(&body)
                .map_err(|error| answer.error(Kind::Refused).because("the listing is not readable").caused_by(error))?;
            Ok((page.tags.unwrap_or_default(), pages::next(&answer, &request.url)?))
        });
        let (names, next) = page.await.map_err(|error| match error.is_not_found() {
            true => error.hinting("there is no such repository: correct its name"),
            false => error,
        })?;
        let new = not_seen_before(&request.url, &names);
        if let Some(next) = next.or_else(|| after_last(&request.url, &names)).filter(|_| !new.is_empty()) {
            if !self.seen.insert(next.clone()) {
                return Err(refused("the listing leads in a circle"));
            }
            self.state = State::Next(registry, next);
        }
        let tags: Vec<Tag> = new.iter().filter_map(|name| name.parse().ok()).collect();
        Ok(Some(Tags { invalid: new.len() - tags.len(), tags, ..Tags::default() }))
    }
}

/// The page after a full one without `Link`: by `last`. A registry that knows neither gives more or fewer tags than
/// were asked for, or the same again.
fn after_last(url: &Url, names: &[String]) -> Option<Url> {
    let last = names.last().filter(|_| names.len() == PAGE_TAGS)?;
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
