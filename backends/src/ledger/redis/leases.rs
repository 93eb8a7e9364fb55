//! Who in the fleet has which lease: first within this process, then beyond it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use proto::{Digest, Host};
use redis::Script;
use tokio::time::{Instant, sleep};

use super::link::Link;
use super::{RedisLedger, millis};
use crate::ledger::{Hold, Lease};

/// How long until it is looked again whether another process still has a lease: doubled each time, to the most.
const LOOK_AFTER: Duration = Duration::from_millis(50);
const LOOK_AFTER_MAX: Duration = Duration::from_secs(1);

/// A lease is renewed in the Redis after this part of its time, and not with each byte that moves.
const RENEWED_EACH: u32 = 10;

/// What is kept of a lease that the whole fleet respects.
struct RedisHold {
    within_process: Lease,
    link: Arc<Link>,
    key: String,
    holder: String,
    lasts: Duration,
    renewed: Mutex<Instant>,
}

impl RedisLedger {
    /// A lease; within this process only while nobody else can be asked, since who waited for it then would wait for
    /// nothing.
    pub(super) async fn take_lease(&self, registry: &Host, blob: &Digest) -> Option<Lease> {
        static LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease.lua")));
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let within_process = self.leases.take(registry, blob)?;
        let key = self.lease_key(registry, blob);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut take = LEASE.key(&key);
        take.arg(&self.process).arg(number).arg(millis(self.leases_last));
        match self.link.run::<bool>(&take).await {
            Some(false) => None,
            None => Some(within_process),
            Some(true) => Some(Lease::new(Box::new(RedisHold {
                within_process,
                link: self.link.clone(),
                key,
                holder: format!("{}{number}", self.process),
                lasts: self.leases_last,
                renewed: Mutex::new(Instant::now()),
            }))),
        }
    }

    /// Returns once nobody is known to have the lease, but after `patience` in any case.
    pub(super) async fn wait_for_lease(&self, registry: &Host, blob: &Digest, patience: Duration) {
        let began = Instant::now();
        self.leases.ended(registry, blob, patience).await;
        let mut look = redis::pipe();
        look.cmd("GET").arg(self.lease_key(registry, blob));
        let mut pause = LOOK_AFTER;
        loop {
            let holder: Option<(Option<String>,)> = self.link.ask(&look).await;
            let is_others = |(holder,): (Option<String>,)| holder.is_some_and(|it| !it.starts_with(&self.process));
            let left = patience.saturating_sub(began.elapsed());
            if !holder.is_some_and(is_others) || left.is_zero() {
                return;
            }
            // Not all at the same time.
            sleep(pause.mul_f64(0.5 + fastrand::f64()).min(left)).await;
            pause = (pause * 2).min(LOOK_AFTER_MAX);
        }
    }

    fn lease_key(&self, registry: &Host, blob: &Digest) -> String {
        self.key("lease", format_args!("{registry}:{blob}"))
    }
}

impl RedisHold {
    /// Makes the lease last so long from now on; not at all if that is no time.
    fn last(&self, lasts: Duration) {
        static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("renew.lua")));
        // Where nothing runs any more, the lease lapses.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (link, key, holder) = (self.link.clone(), self.key.clone(), self.holder.clone());
        runtime.spawn(async move { link.run::<()>(RENEW.key(key).arg(holder).arg(millis(lasts))).await });
    }
}

impl Hold for RedisHold {
    fn renew(&self) {
        self.within_process.renew();
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if renewed.elapsed() >= self.lasts / RENEWED_EACH {
            *renewed = Instant::now();
            self.last(self.lasts);
        }
    }
}

impl Drop for RedisHold {
    fn drop(&mut self) {
        self.last(Duration::ZERO);
    }
}
