//! Something that ends: kept until shortly before, and fetched by one caller while the others wait for it.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::Error;

/// Metadata services hand out one token until it has five minutes left: asked for another before, they have none.
const MARGIN_MAX: Duration = Duration::from_secs(225);

/// Nothing is believed to last longer.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a failure that will not pass by itself is told to others: each would wait for it anew.
const FAILURE_KEPT: Duration = Duration::from_secs(30);

/// How long a renewal that failed is not tried again while what is kept still holds.
const RENEWAL_DELAY: Duration = Duration::from_secs(10);

/// How long something is kept that does not say its end.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// A value, and for how long it holds.
pub(super) struct Lease<T> {
    pub(super) value: T,
    /// None if that was not said.
    pub(super) lifetime: Option<Duration>,
}

/// A place for one such value.
pub(super) struct Kept<T>(Mutex<State<T>>);

struct State<T> {
    held: Option<Held<T>>,
    failure: Option<(Instant, Error)>,
}

struct Held<T> {
    value: T,
    renew: Instant,
    end: Instant,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(Mutex::new(State { held: None, failure: None }))
    }
}

impl<T: Clone> Kept<T> {
    /// What is kept, else what `fetch` gets. Who waited for a fetch that failed is told the same error, and asks no
    /// more; a renewal that fails is no error as long as what is kept holds.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub(super) async fn get(&self, fetch: impl Future<Output = Result<Lease<T>, Error>>) -> Result<T, Error> {
        let asked = Instant::now();
        let mut state = self.0.lock().await;
        if let Some(held) = state.held.as_ref().filter(|held| Instant::now() < held.renew) {
            return Ok(held.value.clone());
        }
        let is_told = |at: &Instant, error: &Error| *at >= asked || (!error.may_pass() && at.elapsed() < FAILURE_KEPT);
        if let Some((_, error)) = state.failure.as_ref().filter(|(at, error)| is_told(at, error)) {
            return Err(error.clone());
        }
        match fetch.await {
            Ok(lease) => {
                let (now, lifetime) = (Instant::now(), lease.lifetime.unwrap_or(LIFETIME).min(LIFETIME_MAX));
                let renew = now + lifetime.saturating_sub((lifetime / 4).min(MARGIN_MAX));
                *state = State {
                    held: Some(Held { value: lease.value.clone(), renew, end: now + lifetime }),
                    failure: None,
                };
                Ok(lease.value)
            }
            Err(error) => {
                let now = Instant::now();
                if let Some(held) = state.held.as_mut().filter(|held| now < held.end) {
                    tracing::debug!(%error, "not renewed, what is kept still holds");
                    held.renew = held.end.min(now + RENEWAL_DELAY);
                    return Ok(held.value.clone());
                }
                *state = State { held: None, failure: Some((now, error.clone())) };
                Err(error)
            }
        }
    }

    /// Forgets what is kept if it is what was refused: another caller may have renewed it by now.
    pub(super) async fn forget(&self, is_refused: impl Fn(&T) -> bool) {
        let mut state = self.0.lock().await;
        if state.held.as_ref().is_some_and(|held| is_refused(&held.value)) {
            state.held = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;

    use super::*;
    use crate::error::Kind;

    /// A source that counts how often it is asked, lets others come first, and gives numbers that hold for `lifetime`.
    async fn count(asked: &AtomicU32, lifetime: u64) -> Result<Lease<u32>, Error> {
        let value = asked.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::task::yield_now().await;
        Ok(Lease { value, lifetime: Some(Duration::from_secs(lifetime)) })
    }

    async fn fail(asked: &AtomicU32, kind: Kind) -> Result<Lease<u32>, Error> {
        asked.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        Err(Error::new(kind, "ask"))
    }

    #[tokio::test]
    async fn thirty_two_who_need_it_at_once_fetch_it_once_also_when_it_has_ended() {
        let (kept, asked) = (Kept::default(), AtomicU32::new(0));
        assert_eq!(kept.get(count(&asked, 0)).await.unwrap(), 1);
        let all = join_all((0..32).map(|_| kept.get(count(&asked, 43_200)))).await;
        assert!(all.iter().all(|value| *value.as_ref().unwrap() == 2), "{all:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn those_who_wait_share_a_failure_and_who_comes_later_tries_again_if_it_may_pass() {
        for (kind, later) in [(Kind::Unavailable, 2), (Kind::Unauthorized, 1)] {
            let (kept, asked) = (Kept::<u32>::default(), AtomicU32::new(0));
            let all = join_all((0..32).map(|_| kept.get(fail(&asked, kind)))).await;
            assert!(all.iter().all(|value| value.as_ref().unwrap_err().kind() == kind));
            assert_eq!(asked.load(Ordering::SeqCst), 1);
            tokio::task::yield_now().await;
            kept.get(fail(&asked, kind)).await.unwrap_err();
            assert_eq!(asked.load(Ordering::SeqCst), later, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn what_still_holds_is_used_while_its_renewal_fails() {
        let (kept, asked) = (Kept::default(), AtomicU32::new(0));
        kept.get(count(&asked, 1000)).await.unwrap();
        // Into the margin before its end.
        kept.0.lock().await.held.as_mut().unwrap().renew = Instant::now();
        let all = join_all((0..32).map(|_| kept.get(fail(&asked, Kind::Unavailable)))).await;
        assert!(all.iter().all(|value| *value.as_ref().unwrap() == 1));
        assert_eq!(asked.load(Ordering::SeqCst), 2, "one tried to renew it for all");
    }

    #[tokio::test]
    async fn only_what_was_refused_is_forgotten() {
        let (kept, asked) = (Kept::default(), AtomicU32::new(0));
        kept.get(count(&asked, 1000)).await.unwrap();
        for (refused, expected) in [(7, 1), (1, 2), (1, 2)] {
            kept.forget(|value| *value == refused).await;
            assert_eq!(kept.get(count(&asked, 1000)).await.unwrap(), expected);
        }
    }
}
