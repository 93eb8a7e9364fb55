//! The tags of a repository, and their digests where the registry's vendor has an interface that lists them together.

mod ecr;
mod gathered;
mod gcr;
mod harbor;
mod hub;
mod listing;
mod numbered;
mod plain;
mod quay;
mod zot;

use std::collections::HashMap;

use jiff::Timestamp;
use proto::{Class, Digest, Repository, Tag};

use crate::client::Client;
use crate::error::{Error, Kind};
use crate::transport::Registry;
use gathered::Gathered;
pub use listing::Listing;
pub(crate) use listing::Listings;

/// What a repository lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// All tags, in the registry's order.
    pub tags: Vec<Tag>,
    /// What tags show, of those of which the listing says it.
    pub digests: HashMap<Tag, Digest>,
    /// When tags were last set, of those of which the listing says it; where it knows no times of tags (GCR), when what
    /// they show was uploaded.
    pub times: HashMap<Tag, Timestamp>,
    /// Whether there may be more: then what is not named may be there all the same.
    pub is_partial: bool,
    /// Whether signatures and the like are not listed though they may be there under tags of their own
    /// (`sha256-….sig`): that none is named says nothing about them.
    pub hides_sidecars: bool,
    /// How many names are no tags: nothing can be asked for by them.
    pub invalid: usize,
}

impl Client {
    /// All tags of `repository`, in the registry's order, by the vendor's own interface if it has one that tells their
    /// digests too, else as the specification has it (distribution-spec, end-8a and end-8b).
    ///
    /// What the vendor's interface refuses for good is listed as the specification has it, which is remembered.
    ///
    /// # Errors
    /// `NotFound` if there is no such repository, `Refused` if the listing is not readable, leads in a circle or has no
    /// end, and those of any request. A part of a listing proves nothing, so there is none, unless it says so itself.
    pub async fn tags(&self, repository: &Repository) -> Result<Tags, Error> {
        let registry = self.registry(repository).await?;
        let chosen = listing::choose(&registry, repository).await?;
        let bulk = match chosen.filter(|_| !registry.listings.is_plain(repository)) {
            Some(listing) => in_bulk(&registry, repository, listing).await,
            None => Ok(None),
        };
        let (known, refusal) = match bulk {
            Ok(Some(listed)) if listed.is_whole() => return Ok(listed.tags),
            Ok(listed) => (listed, None),
            // Docker Hub counts requests to its interface apart from those to the registry.
            Err(error) if chosen == Some(Listing::Hub) && error.kind() == Kind::RateLimited => (None, None),
            Err(error) if !is_for_good(&error, chosen) => return Err(error),
            Err(error) => (None, Some(error)),
        };
        let mut listed = plain::list(&registry, repository, chosen).await?;
        if let (Some(error), Some(listing)) = (refusal, chosen) {
            listing::note_refusal(&registry, repository, listing, &error);
        }
        if let Some(known) = known {
            listed.add_digests_of(&known);
        }
        match chosen {
            None if listed.tells_digests => listing::note(&registry, Listing::Gcr),
            None if !listed.tags.tags.is_empty() => return zot::add_digests(&registry, repository, listed).await,
            Some(Listing::Plain | Listing::Gcr) => registry.learned.note(|learned| {
                learned.listing = learned.listing.or(chosen);
            }),
            _ => {}
        }
        Ok(listed.tags)
    }
}

/// Lists by a vendor's interface; none where that does not know this repository as the registry does.
async fn in_bulk(registry: &Registry, repository: &Repository, listing: Listing) -> Result<Option<Gathered>, Error> {
    let listed = match listing {
        Listing::Hub => hub::list(registry, repository).await?,
        Listing::Ecr => ecr::list(registry, repository).await?,
        Listing::Harbor => harbor::list(registry, repository).await?,
        Listing::Quay => quay::list(registry, repository).await?,
        Listing::Plain | Listing::Gcr | Listing::Zot => return Ok(None),
    };
    listing::note(registry, listing);
    Ok(listed)
}

/// Whether the same again would end the same. Where a vendor's interface has a host of its own, that may be out of reach
/// though the registry is not: firewalls often know only the latter.
fn is_for_good(error: &Error, listing: Option<Listing>) -> bool {
    let is_elsewhere = matches!(listing, Some(Listing::Hub | Listing::Ecr));
    let is_out_of_reach = error.kind() == Kind::Unavailable && error.status().is_none();
    error.class() == Class::Reject || (is_elsewhere && is_out_of_reach)
}
