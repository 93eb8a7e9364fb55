//! What a registry turned out to be able to do, remembered for the life of the client, and as a text beyond it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use proto::settings::Trick;
use serde::{Deserialize, Serialize};

use crate::tags::Listing;

/// What was seen of one registry so far; `None` while it was not tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether it answers the referrers API (distribution-spec, end-12a), else referrers are in a fallback tag.
    pub referrers: Option<bool>,
    /// Whether it refuses manifests that name what it lacks, and says what.
    pub verifies: Option<bool>,
    /// Whether it mounts blobs from other repositories (end-11).
    pub mounts: Option<bool>,
    /// Whether it takes a blob with the request that opens the upload (end-4b).
    pub single_post: Option<bool>,
    /// Whether it says that a manifest is still the same in place of sending it (RFC 9110, 13.1.2).
    pub conditional: Option<bool>,
    /// It counts manifests that are read.
    pub counts_pulls: bool,
    /// It refused a blob in one `PUT`, and took it in chunks (end-5).
    pub chunks_only: bool,
    /// How its tags are listed; `None` while none were.
    pub listing: Option<Listing>,
    /// Mounts that it answered with an upload, since the last that it did.
    pub(crate) mounts_declined: u32,
}

/// After so many declined mounts, and none done, a registry counts as one that does not mount.
const MOUNTS_DECLINED_MAX: u32 = 5;

/// What is told to another client, perhaps of another time: what saves requests, and costs some where it is wrong.
///
/// Not among it is what would be a proof: that a registry verifies manifests (a tag could lead to nothing), that it has
/// no referrers API (signatures would stay behind), whose interface lists its tags (it could be another registry's).
#[derive(Serialize, Deserialize)]
struct Told {
    noted_at: Timestamp,
    mounts: bool,
    single_post: Option<bool>,
    conditional: Option<bool>,
    #[serde(default)]
    counts_pulls: bool,
    chunks_only: bool,
    lists_plainly: bool,
}

/// How long what was told is believed: registries are upgraded.
const TOLD_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What is learned of one registry.
#[derive(Default)]
pub(crate) struct Learned {
    capabilities: Mutex<Capabilities>,
    /// What may not be tried there.
    without: BTreeSet<Trick>,
}

impl Learned {
    pub(crate) fn new(without: BTreeSet<Trick>) -> Self {
        Self { capabilities: Mutex::default(), without }
    }

    /// What it can do, of what may be tried.
    pub(crate) fn get(&self) -> Capabilities {
        let mut known = *self.lock();
        let unless = |trick, known: &mut Option<bool>| {
            if self.without.contains(&trick) {
                *known = Some(false);
            }
        };
        unless(Trick::Mount, &mut known.mounts);
        unless(Trick::SinglePost, &mut known.single_post);
        unless(Trick::OptimisticPut, &mut known.verifies);
        unless(Trick::ConditionalGet, &mut known.conditional);
        known
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Capabilities)) {
        change(&mut self.lock());
    }

    pub(crate) fn note_mount(&self, is_done: bool) {
        self.note(|known| match is_done {
            true => (known.mounts, known.mounts_declined) = (Some(true), 0),
            false => {
                known.mounts_declined += 1;
                if known.mounts_declined >= MOUNTS_DECLINED_MAX && known.mounts.is_none() {
                    known.mounts = Some(false);
                }
            }
        });
    }

    /// What may be told to another client.
    pub(crate) fn text(&self) -> Option<String> {
        let known = *self.lock();
        let told = Told {
            noted_at: Timestamp::now(),
            mounts: known.mounts == Some(true),
            single_post: known.single_post,
            conditional: known.conditional,
            counts_pulls: known.counts_pulls,
            chunks_only: known.chunks_only,
            lists_plainly: known.listing == Some(Listing::Plain),
        };
        serde_json::to_string(&told).ok()
    }

    /// Takes over what another client told, where nothing is known yet. It is tried like everything else, and what is
    /// wrong is found out.
    pub(crate) fn recall(&self, text: &str) {
        let Ok(told) = serde_json::from_str::<Told>(text) else { return };
        if Timestamp::now().duration_since(told.noted_at) > TOLD_FOR {
            return;
        }
        self.note(|known| {
            known.mounts = known.mounts.or(told.mounts.then_some(true));
            known.single_post = known.single_post.or(told.single_post);
            known.conditional = known.conditional.or(told.conditional);
            known.counts_pulls |= told.counts_pulls;
            known.chunks_only |= told.chunks_only;
            known.listing = known.listing.or(told.lists_plainly.then_some(Listing::Plain));
        });
    }

    /// Whether this may be tried.
    pub(crate) fn may_try(&self, trick: Trick) -> bool {
        !self.without.contains(&trick)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Capabilities> {
        self.capabilities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_tried_counts_as_what_it_cannot_do() {
        let learned = Learned::new([Trick::Mount, Trick::SinglePost].into());
        learned.note_mount(true);
        let known = learned.get();
        assert_eq!((known.mounts, known.single_post, known.conditional), (Some(false), Some(false), None));
    }

    #[test]
    fn one_that_declines_mounts_again_and_again_does_not_mount_until_it_does() {
        let learned = Learned::default();
        (0..MOUNTS_DECLINED_MAX).for_each(|_| learned.note_mount(false));
        assert_eq!(learned.get().mounts, Some(false));
        learned.note_mount(true);
        (0..MOUNTS_DECLINED_MAX).for_each(|_| learned.note_mount(false));
        assert_eq!(learned.get().mounts, Some(true), "it did before");
    }

    #[test]
    fn what_is_told_on_holds_no_proof() {
        let learned = Learned::default();
        learned.note(|known| {
            *known = Capabilities {
                verifies: Some(true),
                referrers: Some(false),
                single_post: Some(true),
                ..Capabilities::default()
            };
        });
        let other = Learned::default();
        other.recall(&learned.text().unwrap());
        assert_eq!(other.get(), Capabilities { single_post: Some(true), ..Capabilities::default() });
        other.recall("rubbish");
    }
}
