//! Who may send a blob, and for how long.

use std::sync::Arc;
use std::time::Duration;

use proto::{Digest, Host};
use tokio::time::{Instant, advance, pause};

use crate::Ledger;
use crate::ledger::LEASE_LASTS;

/// Longer than any lease that is not renewed.
const PATIENCE: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_millis(1);

fn host() -> Host {
    "registry.example.com".parse().unwrap()
}

fn blob() -> Digest {
    Digest::of(b"layer")
}

async fn is_free(ledger: &dyn Ledger) -> bool {
    ledger.lease(&host(), &blob()).await.is_some()
}

/// Of one blob, at one registry.
pub async fn a_lease_is_had_by_one_at_a_time(ledger: Arc<dyn Ledger>) {
    let lease = ledger.lease(&host(), &blob()).await.unwrap();
    assert!(!is_free(&*ledger).await);
    let other_blob = ledger.lease(&host(), &Digest::of(b"other")).await;
    let other_registry = ledger.lease(&"other.example.com".parse().unwrap(), &blob()).await;
    assert!(other_blob.is_some() && other_registry.is_some());
    drop((other_blob, other_registry));
    assert!(!is_free(&*ledger).await);
    drop(lease);
    assert!(is_free(&*ledger).await && is_free(&*ledger).await, "it was dropped at once");
}

/// Whoever had it is gone, or stands still.
pub async fn a_lease_that_nobody_renews_lapses(ledger: Arc<dyn Ledger>) {
    pause();
    let _lapsing = ledger.lease(&host(), &blob()).await.unwrap();
    advance(LEASE_LASTS - MOMENT).await;
    assert!(!is_free(&*ledger).await);
    advance(MOMENT).await;
    assert!(is_free(&*ledger).await);
}

/// However long the upload takes.
pub async fn a_lease_lasts_while_it_is_renewed(ledger: Arc<dyn Ledger>) {
    pause();
    let lease = ledger.lease(&host(), &blob()).await.unwrap();
    for _ in 0..10 {
        advance(LEASE_LASTS - MOMENT).await;
        lease.renew();
        lease.renew();
    }
    advance(LEASE_LASTS - MOMENT).await;
    assert!(!is_free(&*ledger).await);
    advance(MOMENT).await;
    assert!(is_free(&*ledger).await);
}

/// What was slow comes back, and finds that it is not its turn.
pub async fn a_lapsed_lease_never_ends_the_next_one(ledger: Arc<dyn Ledger>) {
    pause();
    let old = ledger.lease(&host(), &blob()).await.unwrap();
    advance(LEASE_LASTS).await;
    let new = ledger.lease(&host(), &blob()).await.unwrap();
    advance(LEASE_LASTS / 2).await;
    old.renew();
    assert!(!is_free(&*ledger).await);
    drop(old);
    assert!(!is_free(&*ledger).await);
    advance(LEASE_LASTS / 2).await;
    let newest = ledger.lease(&host(), &blob()).await;
    assert!(newest.is_some(), "the old one's renewing was not for the new one");
    drop(new);
    assert!(!is_free(&*ledger).await);
}

/// No time passes.
pub async fn who_waits_for_no_lease_does_not_wait(ledger: Arc<dyn Ledger>) {
    pause();
    let began = Instant::now();
    ledger.lease_ended(&host(), &blob(), PATIENCE).await;
    let _other = ledger.lease(&host(), &Digest::of(b"other")).await.unwrap();
    ledger.lease_ended(&host(), &blob(), PATIENCE).await;
    drop(ledger.lease(&host(), &blob()).await.unwrap());
    ledger.lease_ended(&host(), &blob(), PATIENCE).await;
    let _lapsed = ledger.lease(&host(), &blob()).await.unwrap();
    advance(LEASE_LASTS).await;
    ledger.lease_ended(&host(), &blob(), PATIENCE).await;
    assert_eq!(began.elapsed(), LEASE_LASTS);
}

/// The blob is most likely there then.
pub async fn all_who_wait_for_a_lease_are_woken_when_it_is_dropped(ledger: Arc<dyn Ledger>) {
    pause();
    let lease = ledger.lease(&host(), &blob()).await.unwrap();
    let waiters: Vec<_> = (0..5).map(|_| waiter(&ledger, PATIENCE)).collect();
    for _ in 0..3 {
        tokio::time::sleep(LEASE_LASTS * 9 / 10).await;
        lease.renew();
    }
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()), "it was renewed");
    drop(lease);
    let dropped = Instant::now();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), dropped);
    }
    assert!(is_free(&*ledger).await);
}

/// And not before.
pub async fn who_waits_for_a_lease_is_woken_when_it_lapses(ledger: Arc<dyn Ledger>) {
    pause();
    let lease = ledger.lease(&host(), &blob()).await.unwrap();
    let waiter = waiter(&ledger, PATIENCE);
    tokio::time::sleep(LEASE_LASTS / 3).await;
    lease.renew();
    let renewed = Instant::now();
    let waited = waiter.await.unwrap() - renewed;
    assert!((LEASE_LASTS..LEASE_LASTS + 2 * MOMENT).contains(&waited), "{waited:?}");
    assert!(is_free(&*ledger).await);
}

/// The lease is not touched by that.
pub async fn who_waits_for_a_lease_gives_up_in_the_end(ledger: Arc<dyn Ledger>) {
    pause();
    let _lease = ledger.lease(&host(), &blob()).await.unwrap();
    let began = Instant::now();
    let patience = LEASE_LASTS / 3;
    let waited = waiter(&ledger, patience).await.unwrap() - began;
    assert!((patience..patience + 2 * MOMENT).contains(&waited), "{waited:?}");
    ledger.lease_ended(&host(), &blob(), Duration::ZERO).await;
    assert!(!is_free(&*ledger).await);
    let began = Instant::now();
    waiter(&ledger, Duration::MAX).await.unwrap();
    assert!(began.elapsed() <= LEASE_LASTS, "patience without end waits for the lease alone");
}

/// Waits in a task of its own; tells when it was over.
fn waiter(ledger: &Arc<dyn Ledger>, patience: Duration) -> tokio::task::JoinHandle<Instant> {
    let ledger = Arc::clone(ledger);
    tokio::spawn(async move {
        ledger.lease_ended(&host(), &blob(), patience).await;
        Instant::now()
    })
}
