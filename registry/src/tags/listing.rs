//! Which interface lists the tags of a registry: by its host, by how it asks for tokens, else by asking it once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use proto::settings::Trick;
use proto::{Host, Repository};
use tokio::sync::OnceCell;

use super::{harbor, quay, zot};
use crate::error::{Error, Kind};
use crate::transport::Registry;

/// How tags are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// As the specification has it: names only.
    Plain,
    /// By the map of manifests that GCR and Artifact Registry add to that.
    Gcr,
    /// By Docker Hub's interface.
    Hub,
    /// By ECR's interface.
    Ecr,
    /// By Harbor's interface.
    Harbor,
    /// By Quay's interface.
    Quay,
    /// By zot's search.
    Zot,
}

impl Listing {
    /// By what tags are listed, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "name only",
            Self::Gcr => "the interface of Google's registries, with digests",
            Self::Hub => "the interface of Docker Hub, with digests",
            Self::Ecr => "the interface of ECR, with digests",
            Self::Harbor => "the interface of Harbor, with digests",
            Self::Quay => "the interface of Quay, with digests",
            Self::Zot => "the search of zot, with digests",
        }
    }

    /// The vendors whose hosts are known.
    fn of_host(host: &Host) -> Option<Self> {
        let name = host.name();
        let is_below = |domain: &str| name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        match name {
            proto::image::DOCKER_HUB => Some(Self::Hub),
            "quay.io" => Some(Self::Quay),
            "gcr.io" => Some(Self::Gcr),
            _ if is_below("gcr.io") || is_below("pkg.dev") => Some(Self::Gcr),
            _ if super::ecr::Account::of_host(name).is_some() => Some(Self::Ecr),
            _ => None,
        }
    }
}

/// What was learned of one registry about its listings.
#[derive(Default)]
pub(crate) struct Listings {
    /// Whether there is the interface that its looks promise: asked once, by one for all.
    has_interface: OnceCell<bool>,
    /// Paths of repositories that only `tags/list` lists.
    plain: Mutex<HashSet<String>>,
    /// Whether Harbor's projects are caches.
    projects: Mutex<HashMap<String, Arc<OnceCell<bool>>>>,
}

impl Listings {
    pub(super) fn is_plain(&self, repository: &Repository) -> bool {
        self.plain.lock().unwrap_or_else(PoisonError::into_inner).contains(repository.path())
    }

    pub(super) fn project(&self, name: &str) -> Arc<OnceCell<bool>> {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default().clone()
    }
}

/// How to list; none if the answer of `tags/list` is to tell.
pub(super) async fn choose(registry: &Registry, repository: &Repository) -> Result<Option<Listing>, Error> {
    if !registry.learned.may_try(Trick::BulkListing) {
        return Ok(Some(Listing::Plain));
    }
    let known = registry.learned.get().listing;
    // zot is asked for names first, as one that is not known.
    if let Some(known) = known.filter(|known| *known != Listing::Zot).or_else(|| Listing::of_host(&registry.host)) {
        return Ok(Some(known));
    }
    registry.base().await?;
    let Some((realm, service)) = registry.auth.token_service() else { return Ok(None) };
    if service.as_deref() == Some(harbor::SERVICE) {
        return Ok(Some(Listing::Harbor));
    }
    if !realm.path().ends_with("/v2/auth") {
        return Ok(None);
    }
    let is_quay = registry.listings.has_interface.get_or_init(|| has(quay::is_there(registry, repository))).await;
    Ok(is_quay.then_some(Listing::Quay))
}

/// Whether a registry of which nothing is known is zot. Asked once, for all; one that looked like Quay was asked that.
pub(super) async fn is_zot(registry: &Registry, repository: &Repository) -> bool {
    let is_zot = *registry.listings.has_interface.get_or_init(|| has(zot::is_there(registry, repository))).await;
    note(registry, if is_zot { Listing::Zot } else { Listing::Plain });
    is_zot
}

pub(super) fn note(registry: &Registry, listing: Listing) {
    registry.learned.note(|learned| learned.listing = Some(listing));
}

/// Whether there is an interface. That it could not be asked costs time only: then it counts as not there.
async fn has(asked: impl Future<Output = Result<bool, Error>>) -> bool {
    asked.await.unwrap_or_else(|error| {
        tracing::debug!(%error, "no interface of a vendor's for listings");
        false
    })
}

/// Remembers that a vendor's interface is of no use: for the repository that it does not know or does not show to us,
/// else for all of them.
pub(super) fn note_refusal(registry: &Registry, repository: &Repository, listing: Listing, error: &Error) {
    tracing::debug!(%error, listing = listing.as_str(), "the vendor's listing is not to be had");
    let is_hidden =
        matches!(error.kind(), Kind::Unauthorized | Kind::Forbidden) && matches!(listing, Listing::Hub | Listing::Quay);
    if error.kind() == Kind::NotFound || is_hidden {
        let mut plain = registry.listings.plain.lock().unwrap_or_else(PoisonError::into_inner);
        plain.insert(repository.path().to_owned());
    } else {
        note(registry, Listing::Plain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_are_known_by_their_hosts() {
        for (host, expected) in [
            ("docker.io", Some(Listing::Hub)),
            ("quay.io", Some(Listing::Quay)),
            ("gcr.io", Some(Listing::Gcr)),
            ("eu.gcr.io", Some(Listing::Gcr)),
            ("europe-docker.pkg.dev", Some(Listing::Gcr)),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some(Listing::Ecr)),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some(Listing::Ecr)),
            ("notgcr.io", None),
            ("quay.io.example.com", None),
            ("public.ecr.aws", None),
            ("registry.example.com", None),
        ] {
            assert_eq!(Listing::of_host(&host.parse().unwrap()), expected, "{host}");
        }
    }
}
