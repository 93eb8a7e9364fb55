//! Who leads: of several coordinators over one Store, one at a time runs the loops.
//!
//! The lead is a row of the Store that lasts for a time by the database's clock. Its holder counts that time on its own
//! clock, from before it asked, and stops in good time; what it writes after all is refused by the Store, which knows the
//! term. So a coordinator that was suspended, or cannot reach the database, does nothing that its successor does too.

use std::time::Duration;

use backends::Store;
use backends::store::Term;
use daemon::ErrorChain;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

/// Everything in time about the lead.
#[derive(Debug, Clone, Copy)]
pub struct LeadTimes {
    /// How long the lead lasts after it was taken or kept.
    pub lasts: Duration,
    /// How often its holder keeps it, and how often others ask for it.
    pub every: Duration,
    /// How long after it was last kept its holder stops.
    pub stop_after: Duration,
}

impl Default for LeadTimes {
    fn default() -> Self {
        Self { lasts: Duration::from_secs(10), every: Duration::from_secs(3), stop_after: Duration::from_secs(7) }
    }
}

/// Takes the lead of `store` whenever nobody has it, and then does `work`, with the Store of the term, until the lead is
/// lost: `work` is told so, and what it still does after `lasts` is dropped. Ends with `stop`, giving up the lead.
///
/// `holder` is a name that no other process has, not even the same program after a restart.
pub async fn lead<W>(
    store: &Store,
    holder: &str,
    times: LeadTimes,
    stop: &CancellationToken,
    work: impl Fn(Store, CancellationToken) -> W,
) where
    W: Future<Output = ()>,
{
    let mut was_unreachable = false;
    while !stop.is_cancelled() {
        let asked = Instant::now();
        match store.take_leadership(holder, times.lasts).await {
            Ok(Some(term)) => {
                was_unreachable = false;
                tracing::info!(term = %term, "this coordinator leads, in term {term}");
                let lost = stop.child_token();
                let work = work(store.led_by(term), lost.clone());
                hold(store, (holder, term), times, (asked, &lost), work).await;
                if stop.is_cancelled() {
                    // The next one need not wait for the time to pass.
                    if let Err(error) = store.resign_leadership(term, holder).await {
                        tracing::warn!("give up the lead: {}", ErrorChain(&error));
                    }
                } else {
                    tracing::warn!(term = %term, "this coordinator leads no more");
                }
            }
            Ok(None) => was_unreachable = false,
            Err(error) => {
                if !was_unreachable {
                    tracing::warn!("ask for the lead: {}; trying again", ErrorChain(&error));
                }
                was_unreachable = true;
            }
        }
        // Spread, so that those who wait do not ask all at once.
        let pause = times.every.mul_f64(0.75 + fastrand::f64() / 2.0);
        let _ = stop.run_until_cancelled(sleep(pause)).await;
    }
}

/// Keeps the lead while `work` goes on, and ends it in time if it is lost. `kept` is when the lead was last asked for with
/// success.
async fn hold(
    store: &Store,
    (holder, term): (&str, Term),
    times: LeadTimes,
    (mut kept, lost): (Instant, &CancellationToken),
    work: impl Future<Output = ()>,
) {
    let keep = async {
        loop {
            sleep(times.every).await;
            let asked = Instant::now();
            // An answer that comes later is of no use.
            match timeout_at(kept + times.stop_after, store.renew_leadership(term, holder, times.lasts)).await {
                Ok(Ok(true)) => kept = asked,
                Ok(Ok(false)) => break tracing::warn!("another coordinator has taken the lead"),
                Ok(Err(error)) => tracing::warn!("keep the lead: {}", ErrorChain(&error)),
                Err(_) => tracing::warn!("the store did not answer in time to keep the lead"),
            }
            if kept.elapsed() + times.every > times.stop_after {
                break;
            }
        }
    };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        () = &mut work => return,
        () = keep => {}
        () = lost.cancelled() => {}
    }
    lost.cancel();
    // The step that it is in may be finished, as long as nobody else can lead.
    let _ = timeout_at(kept + times.lasts, work).await;
}
