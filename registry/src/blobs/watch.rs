//! Watches the progress of an upload: slow is healthy, still is not.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What an upload does at the moment.
#[derive(Clone, Copy)]
enum State {
    /// The destination takes bytes, or should.
    Sending,
    /// We wait for the source, which has a watch of its own: the destination is not to blame.
    Reading,
    /// All is sent; the registry checks and stores.
    Committing,
}

/// Shared between the body that streams and the request that sends it.
pub(crate) struct Watch(Mutex<(State, Instant)>);

impl Watch {
    pub(crate) fn new() -> Self {
        Self(Mutex::new((State::Sending, Instant::now())))
    }

    pub(crate) fn reading(&self) {
        self.set(State::Reading);
    }

    pub(crate) fn sending(&self) {
        self.set(State::Sending);
    }

    pub(crate) fn committing(&self) {
        self.set(State::Committing);
    }

    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (state, Instant::now());
    }

    /// Returns once nothing moved for `stall`, or no answer came for `commit` after the last byte.
    pub(crate) async fn stalled(&self, stall: Duration, commit: Duration) {
        loop {
            let (state, since) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let end = match state {
                State::Sending => since + stall,
                State::Committing => since + commit,
                State::Reading => Instant::now() + stall,
            };
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}
