//! Which workers live, and which runs are cancelled, within one process.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::RunId;
use tokio::time::Instant;

use crate::ledger::{BEAT_LASTS, Beat};

/// What is told to all, and nowhere kept.
#[derive(Default)]
pub(super) struct Crew(Mutex<State>);

#[derive(Default)]
struct State {
    /// By the names of the workers, with the time at which each is no longer believed.
    beats: BTreeMap<String, (Instant, Beat)>,
    cancelled: HashSet<RunId>,
}

impl Crew {
    pub(super) fn beat(&self, beat: &Beat) {
        let until = Instant::now() + BEAT_LASTS;
        self.lock().beats.insert(beat.worker.clone(), (until, beat.clone()));
    }

    pub(super) fn beats(&self) -> Vec<Beat> {
        let now = Instant::now();
        let mut state = self.lock();
        state.beats.retain(|_, (until, _)| *until > now);
        state.beats.values().map(|(_, beat)| beat.clone()).collect()
    }

    pub(super) fn cancel(&self, run: RunId) {
        self.lock().cancelled.insert(run);
    }

    pub(super) fn is_cancelled(&self, run: RunId) -> bool {
        self.lock().cancelled.contains(&run)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is one insertion or removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
