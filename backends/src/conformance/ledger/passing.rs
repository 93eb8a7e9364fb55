//! Who may send a blob, and for how long, where the clock cannot be set: what was given back is had soon, not at once.

use std::sync::Arc;
use std::time::Duration;

use proto::{Digest, Host};
use tokio::time::{Instant, sleep};

use crate::conformance::PATIENCE;
use crate::{Lease, Ledger};

fn host() -> Host {
    "registry.example.com".parse().unwrap()
}

fn blob() -> Digest {
    Digest::of(b"layer")
}

async fn take(ledger: &dyn Ledger) -> Option<Lease> {
    ledger.lease(&host(), &blob()).await
}

async fn is_free(ledger: &dyn Ledger) -> bool {
    take(ledger).await.is_some()
}

/// Takes it once nobody else has it, having looked at it often.
async fn take_next(ledger: &dyn Ledger, lasts: Duration) -> Lease {
    let began = Instant::now();
    loop {
        if let Some(lease) = take(ledger).await {
            return lease;
        }
        assert!(began.elapsed() < PATIENCE);
        sleep(lasts / 50).await;
    }
}

/// Of one blob, at one registry.
pub async fn a_lease_passes_on_once_it_is_dropped(ledger: Arc<dyn Ledger>, lasts: Duration) {
    let mut lease = take(&*ledger).await.unwrap();
    let other_blob = ledger.lease(&host(), &Digest::of(b"other")).await;
    let other_registry = ledger.lease(&"other.example.com".parse().unwrap(), &blob()).await;
    assert!(other_blob.is_some() && other_registry.is_some());
    drop((other_blob, other_registry));
    for _ in 0..10 {
        assert!(!is_free(&*ledger).await && !is_free(&*ledger).await);
        drop(lease);
        lease = take_next(&*ledger, lasts).await;
    }
}

/// Whoever had it is gone, or stands still.
pub async fn a_lease_passes_on_when_it_lapses_and_not_before(ledger: Arc<dyn Ledger>, lasts: Duration) {
    let began = Instant::now();
    let _lapsing = take(&*ledger).await.unwrap();
    let _next = take_next(&*ledger, lasts).await;
    assert!(began.elapsed() >= lasts, "{:?}", began.elapsed());
}

/// However long the upload takes.
pub async fn a_lease_does_not_pass_on_while_it_is_renewed(ledger: Arc<dyn Ledger>, lasts: Duration) {
    let began = Instant::now();
    let lease = take(&*ledger).await.unwrap();
    while began.elapsed() < 2 * lasts {
        assert!(!is_free(&*ledger).await);
        lease.renew();
        sleep(lasts / 50).await;
    }
    let renewed = Instant::now();
    lease.renew();
    let _next = take_next(&*ledger, lasts).await;
    assert!(renewed.elapsed() >= lasts / 2, "{:?}", renewed.elapsed());
}

/// What was slow comes back, and finds that it is not its turn.
pub async fn a_lease_that_passed_on_is_not_ended_by_who_had_it(ledger: Arc<dyn Ledger>, lasts: Duration) {
    let old = take(&*ledger).await.unwrap();
    let began = Instant::now();
    let new = take_next(&*ledger, lasts).await;
    old.renew();
    drop(old);
    while began.elapsed() < 2 * lasts {
        assert!(!is_free(&*ledger).await);
        new.renew();
        sleep(lasts / 50).await;
    }
}

/// Because it was dropped, or lapsed, or because nobody had it.
pub async fn who_waits_for_a_lease_goes_on_when_it_passed_on(ledger: Arc<dyn Ledger>, lasts: Duration) {
    ledger.lease_ended(&host(), &blob(), Duration::MAX).await;
    let began = Instant::now();
    let lapsing = take(&*ledger).await.unwrap();
    ledger.lease_ended(&host(), &blob(), Duration::MAX).await;
    assert!(began.elapsed() >= lasts, "{:?}", began.elapsed());
    drop(lapsing);
    let lease = take_next(&*ledger, lasts).await;
    let waiters: Vec<_> = (0..5)
        .map(|_| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move { ledger.lease_ended(&host(), &blob(), Duration::MAX).await })
        })
        .collect();
    sleep(lasts / 2).await;
    lease.renew();
    assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
    drop(lease);
    for waiter in waiters {
        waiter.await.unwrap();
    }
    drop(take_next(&*ledger, lasts).await);
}

/// The lease is not touched by that.
pub async fn who_waits_for_a_lease_has_so_much_patience_and_no_more(ledger: Arc<dyn Ledger>, lasts: Duration) {
    let lease = take(&*ledger).await.unwrap();
    let renewing = async {
        loop {
            lease.renew();
            sleep(lasts / 50).await;
        }
    };
    let waiting = async {
        let began = Instant::now();
        ledger.lease_ended(&host(), &blob(), lasts / 3).await;
        assert!(began.elapsed() >= lasts / 3, "{:?}", began.elapsed());
        ledger.lease_ended(&host(), &blob(), Duration::ZERO).await;
        assert!(!is_free(&*ledger).await);
    };
    tokio::select! {
        () = renewing => {}
        () = waiting => {}
    }
}
