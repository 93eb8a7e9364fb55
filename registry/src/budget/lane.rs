//! Slots for the requests under way, whose number changes while they are in use.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::action::Likeness;
use super::crowd::Crowd;

/// The slots of all that read, or of all that write. Who waits gets one in turn.
#[derive(Debug)]
pub(super) struct Lane {
    slots: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Slots that there are, taken and free.
    slots: usize,
    crowd: Crowd,
}

/// One request under way, until this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    permit: Option<OwnedSemaphorePermit>,
    lane: Arc<Lane>,
}

impl Lane {
    pub(super) fn new(max: usize) -> Arc<Self> {
        let crowd = Crowd::new(max);
        let slots = crowd.limit();
        Arc::new(Self { slots: Arc::new(Semaphore::new(slots)), state: Mutex::new(State { slots, crowd }) })
    }

    pub(super) async fn slot(self: &Arc<Self>) -> Slot {
        // Fails only where the semaphore is closed, which nobody does.
        Slot { permit: self.slots.clone().acquire_owned().await.ok(), lane: self.clone() }
    }

    /// A small request was answered after `time`: there may be more slots now, or fewer.
    pub(super) fn answered(&self, likeness: Likeness, time: Duration) {
        let mut state = self.state();
        state.crowd.answered(likeness, time, self.slots.available_permits() == 0);
        let limit = state.crowd.limit();
        if limit > state.slots {
            self.slots.add_permits(limit - state.slots);
            state.slots = limit;
        } else {
            // Those that are taken go when they are given back.
            state.slots -= self.slots.forget_permits(state.slots - limit);
        }
    }

    /// How many there may be under way.
    pub(super) fn limit(&self) -> usize {
        self.state().crowd.limit()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.lane.state();
        if state.slots > state.crowd.limit() {
            state.slots -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::action::Action;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn slots_that_are_one_too_many_go_when_they_are_given_back() {
        let lane = Lane::new(32);
        let likeness = (Action::ManifestRead, true);
        let free = |lane: &Arc<Lane>| std::iter::from_fn(|| lane.slot().now_or_never()).collect::<Vec<_>>();
        let mut taken = free(&lane);
        assert_eq!(taken.len(), 8);
        let mut more = Vec::new();
        for _ in 0..1_000 {
            // Only while all are taken, there come more.
            lane.answered(likeness, Duration::from_millis(1));
            more.extend(free(&lane));
        }
        assert_eq!((taken.len() + more.len(), lane.limit()), (32, 32));
        (0..1_000).for_each(|_| lane.answered(likeness, Duration::from_millis(100)));
        let limit = lane.limit();
        assert!(limit < 32, "{limit}");
        drop(more);
        taken.truncate(4);
        assert_eq!(taken.len() + free(&lane).len(), limit);
        drop(taken);
        assert_eq!(free(&lane).len(), limit);
    }
}
