//! Who has which lease, within one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::{Digest, Host};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::ledger::{Hold, LEASE_LASTS, Lease};

/// The leases that somebody has, or had and has not dropped yet.
pub(super) struct Leases {
    lasts: Duration,
    terms: Mutex<HashMap<Key, Arc<Term>>>,
}

type Key = (Host, Digest);

/// When a lease lapses; none once it has ended for good, because it was dropped or somebody else took it.
type Term = watch::Sender<Option<Instant>>;

/// What is kept of a lease.
struct LocalHold {
    leases: Arc<Leases>,
    key: Key,
    term: Arc<Term>,
}

impl Default for Leases {
    fn default() -> Self {
        Self::lasting(LEASE_LASTS)
    }
}

impl Leases {
    /// Leases that lapse so long after they were taken or last renewed.
    pub(super) fn lasting(lasts: Duration) -> Self {
        Self { lasts, terms: Mutex::default() }
    }

    /// The lease of `key`, unless somebody has it.
    pub(super) fn take(self: &Arc<Self>, registry: &Host, blob: &Digest) -> Option<Lease> {
        let key = (registry.clone(), blob.clone());
        let now = Instant::now();
        let mut terms = self.lock();
        if terms.get(&key).is_some_and(|term| !end_lapsed(term, now)) {
            return None;
        }
        let term = Arc::new(watch::Sender::new(Some(now + self.lasts)));
        terms.insert(key.clone(), Arc::clone(&term));
        Some(Lease::new(Box::new(LocalHold { leases: Arc::clone(self), key, term })))
    }

    /// Returns once the lease that somebody has now is dropped or lapses, but after `patience` in any case.
    pub(super) async fn ended(&self, registry: &Host, blob: &Digest, patience: Duration) {
        let key = (registry.clone(), blob.clone());
        let Some(mut term) = self.lock().get(&key).map(|term| term.subscribe()) else { return };
        let now = Instant::now();
        // Patience without end is a deadline that cannot be counted: then only the lease's own end counts.
        let deadline = now.checked_add(patience);
        loop {
            let Some(lapses) = *term.borrow_and_update() else { return };
            let until = deadline.map_or(lapses, |deadline| deadline.min(lapses));
            // Renewing wakes nobody, so what is waited for is the end; whether it was put off is seen when it is due.
            if until <= Instant::now() || timeout_at(until, term.changed()).await.is_ok_and(|changed| changed.is_err())
            {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Term>>> {
        // Each change is one insertion or removal.
        self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a lease that has lapsed, for good; says whether it has ended.
fn end_lapsed(term: &Term, now: Instant) -> bool {
    term.send_if_modified(|lapses| {
        let ended = lapses.is_none_or(|lapses| lapses <= now);
        if ended {
            *lapses = None;
        }
        ended
    })
}

impl Hold for LocalHold {
    fn renew(&self) {
        self.term.send_if_modified(|lapses| {
            if lapses.is_some() {
                *lapses = Some(Instant::now() + self.leases.lasts);
            }
            false
        });
    }
}

impl Drop for LocalHold {
    fn drop(&mut self) {
        self.term.send_replace(None);
        let mut terms = self.leases.lock();
        if terms.get(&self.key).is_some_and(|term| Arc::ptr_eq(term, &self.term)) {
            terms.remove(&self.key);
        }
    }
}
