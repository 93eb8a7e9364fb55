//! What lies at a destination: seen in this attempt, assumed from the Ledger, or most likely not there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backends::{Holders, Ledger};
use proto::{Digest, Repository};

use crate::context::TaskContext;
use crate::failure::StageError;
use crate::stages::fetch::Image;
use crate::stages::resolve::OpenTarget;

/// What is known of some content at the destination.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It was sent, mounted, or asked for in this attempt.
    Seen,
    /// The Ledger says that it is there.
    Assumed,
    /// The registry said that it is not there, whatever the Ledger says.
    Missing,
}

/// What is known of a destination's content.
pub(crate) struct Stock {
    ledger: Arc<dyn Ledger>,
    /// None for a layout, where asking costs nothing.
    repository: Option<Repository>,
    known: Mutex<HashMap<Digest, Known>>,
    /// Whether what is not known to be there is most likely not there, so that it is sent without asking.
    pub(crate) is_known: bool,
}

impl Stock {
    /// What the Ledger, and the listing of the destination's repository, say of an image's content.
    pub(crate) async fn look(cx: &TaskContext, image: &Image, target: &OpenTarget<'_>) -> Result<Self, StageError> {
        let repository = target.place.repository().cloned();
        let ledger = cx.tools.ledger.clone();
        let digests = image.digests();
        let holders = match &repository {
            Some(repository) => {
                let wanted: Vec<Digest> = digests.iter().chain(&target.shown).cloned().collect();
                ledger.holders(repository, &wanted).await
            }
            None => Holders::default(),
        };
        let listed = target.destination.listed.as_ref().filter(|_| cx.is_first_attempt());
        let is_new = listed.is_some_and(|listed| !listed.has_tags);
        // Who does not know what the tag shows does not know the repository: somebody else filled it, or much is forgotten.
        let knows_shown = target.shown.as_ref().is_none_or(|shown| holders.here.contains(shown));
        let is_told = holders.knows_repository && knows_shown || is_new;
        let is_known = repository.is_some() && is_told && !ledger.is_doubted();
        let here = digests.into_iter().filter(|digest| holders.here.contains(digest));
        let known = here.map(|digest| (digest, Known::Assumed)).collect();
        Ok(Self { ledger, repository, known: Mutex::new(known), is_known })
    }

    /// Whether it is there, or assumed to be.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        matches!(self.known().get(digest), Some(Known::Seen | Known::Assumed))
    }

    /// Whether the registry said that it is not there.
    pub(crate) fn lacks(&self, digest: &Digest) -> bool {
        self.known().get(digest) == Some(&Known::Missing)
    }

    /// What is only assumed.
    pub(crate) fn assumed(&self) -> Vec<Digest> {
        let known = self.known();
        known.iter().filter(|(_, known)| **known == Known::Assumed).map(|(digest, _)| digest.clone()).collect()
    }

    /// Notes what was sent, mounted or asked for.
    pub(crate) fn note_seen(&self, digest: &Digest) {
        self.known().insert(digest.clone(), Known::Seen);
    }

    /// Notes what the Ledger says now.
    pub(crate) fn note_assumed(&self, digest: &Digest) {
        self.known().insert(digest.clone(), Known::Assumed);
    }

    /// Notes what the registry says is not there, here and in the Ledger.
    pub(crate) async fn note_missing(&self, missing: &[Digest]) {
        self.known().extend(missing.iter().map(|digest| (digest.clone(), Known::Missing)));
        if let Some(repository) = &self.repository {
            self.ledger.note_missing(repository, missing).await;
        }
    }

    /// Lets others know at once what is there, so that they need not bring it too.
    pub(crate) async fn tell(&self, digests: &[Digest]) {
        if let Some(repository) = &self.repository {
            self.ledger.note_held(repository, digests).await;
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
