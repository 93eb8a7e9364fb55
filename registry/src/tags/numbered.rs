//! Pages that are asked for by number: what is on them, where they end, and whether they fit together.
//!
//! While they are read, tags may come and go, and what stands behind them moves from one page to another: it would be
//! seen twice, or never. So more than one page is whole only if no name came twice and the number of entries is what
//! the interface says it is, before and after.

use reqwest::{Method, Url};
use serde::de::DeserializeOwned;

use super::gathered::{Entry, Gathered, TAGS_MAX};
use super::plain::PAGE_BYTES_MAX;
use crate::error::{Error, Kind};
use crate::pages::PAGES_MAX;
use crate::transport::{Purpose, Registry};
use crate::wire::{Answer, Request};

/// Entries asked for at once: no vendor gives more.
pub(super) const PAGE_ENTRIES: usize = 100;

/// One page.
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    /// What the vendor counts, which may be tags or what they show, on this page and in all.
    pub(super) items: usize,
    pub(super) total: Option<usize>,
    pub(super) has_next: bool,
}

/// Reads all pages, from number 1 on, until one is the last or brings nothing new.
///
/// # Errors
/// `Refused` if a page is not readable, or there is no end; and those of any request.
pub(super) async fn read_all<T: DeserializeOwned>(
    registry: &Registry,
    purpose: &Purpose,
    url: impl Fn(usize) -> Url,
    page: impl Fn(&Answer, T) -> Page,
) -> Result<Gathered, Error> {
    let mut listed = Gathered::default();
    let (mut items, mut first_total) = (0, None);
    let mut number = 0;
    loop {
        number += 1;
        let request = Request::new(Method::GET, url(number));
        let read = read_json(registry, &request, purpose, &page).await?;
        let new = read.entries.iter().filter(|entry| listed.add(entry)).count();
        listed.has_gaps |= new < read.entries.len();
        items += read.items;
        first_total = if number == 1 { read.total } else { first_total };
        let is_circle = read.has_next && new == 0;
        if is_circle || !read.has_next {
            let is_counted = read.total == Some(items) && first_total == read.total;
            // One page is all there is, unless its own count says otherwise: a proxy may have lost the link to the next.
            let is_said_otherwise = number > 1 || read.total.is_some();
            listed.has_gaps |= is_circle || (is_said_otherwise && !is_counted);
            return Ok(listed);
        }
        if listed.len() > TAGS_MAX || number == PAGES_MAX {
            return Err(registry.wire.error(Kind::Refused, &request).because("the listing has no end"));
        }
    }
}

/// One answer, as `T`, and what is made of it.
///
/// # Errors
/// `Refused` if it is no such JSON, and those of any request.
pub(super) async fn read_json<T: DeserializeOwned, P>(
    registry: &Registry,
    request: &Request,
    purpose: &Purpose,
    page: impl Fn(&Answer, T) -> P,
) -> Result<P, Error> {
    registry.retried(|| read_once(registry, request, purpose, &page)).await
}

/// The same with one try, for what may not be there.
pub(super) async fn read_once<T: DeserializeOwned, P>(
    registry: &Registry,
    request: &Request,
    purpose: &Purpose,
    page: impl Fn(&Answer, T) -> P,
) -> Result<P, Error> {
    let mut answer = registry.call_once(request, purpose).await?;
    let body = answer.bytes(PAGE_BYTES_MAX).await?;
    let parsed = serde_json::from_slice(&body)
        .map_err(|error| answer.error(Kind::Refused).because("the listing is not readable").caused_by(error))?;
    Ok(page(&answer, parsed))
}
