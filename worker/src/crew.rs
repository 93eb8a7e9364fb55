//! What a worker of a fleet says and hears beside its tasks: that it lives, and which runs were cancelled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backends::Ledger;
use backends::ledger::{BEAT_EVERY, Beat, Underway};
use proto::RunId;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::activity::{Activity, Running};

/// How often it is asked which of the runs under way were cancelled.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// The runs whose attempts are under way, and how to interrupt them. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Runs(Arc<Mutex<HashMap<RunId, UnderWay>>>);

struct UnderWay {
    attempts: usize,
    interrupt: CancellationToken,
}

/// Held by an attempt as long as it goes on.
pub(crate) struct Entry {
    runs: Runs,
    run: RunId,
    /// Cancelled with the run, and with whatever interrupts all attempts.
    pub(crate) interrupt: CancellationToken,
}

impl Runs {
    /// Enters an attempt of a run. `interrupt` interrupts all attempts.
    pub(crate) fn enter(&self, run: RunId, interrupt: &CancellationToken) -> Entry {
        let mut runs = self.lock();
        let new = || UnderWay { attempts: 0, interrupt: interrupt.child_token() };
        let under_way = runs.entry(run).or_insert_with(new);
        under_way.attempts += 1;
        Entry { runs: self.clone(), run, interrupt: under_way.interrupt.clone() }
    }

    /// Interrupts attempts of runs that were cancelled, for ever.
    pub(crate) async fn interrupt_cancelled(&self, ledger: &dyn Ledger) {
        let mut ticks = interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let runs: Vec<RunId> = self.lock().keys().copied().collect();
            for run in runs {
                if ledger.is_cancelled(run).await
                    && let Some(under_way) = self.lock().get(&run)
                {
                    under_way.interrupt.cancel();
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, UnderWay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut runs = self.runs.lock();
        let Some(under_way) = runs.get_mut(&self.run) else { return };
        under_way.attempts -= 1;
        if under_way.attempts == 0 {
            runs.remove(&self.run);
        }
    }
}

/// Says every few seconds that a worker lives and what it does, for ever; once `drain` is cancelled, that it takes no more.
pub(crate) async fn beat(
    ledger: &dyn Ledger,
    activity: &Activity,
    (name, slots): (&str, usize),
    drain: &CancellationToken,
) {
    let mut ticks = interval(BEAT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // Said at once, so that the coordinator hands out no more for its slots.
            () = drain.cancelled(), if !drain.is_cancelled() => {}
        }
        let now = activity.snapshot();
        let beat = Beat {
            worker: name.to_owned(),
            slots: slots.try_into().unwrap_or(u32::MAX),
            drains: drain.is_cancelled(),
            running: now.running.iter().map(underway).collect(),
            bytes_written: now.bytes_written,
            bytes_saved: now.bytes_saved,
        };
        ledger.beat(&beat).await;
    }
}

fn underway(running: &Running) -> Underway {
    Underway {
        task: running.task,
        attempt: running.attempt,
        source: running.source.to_string(),
        stage: Some(running.stage),
        bytes_done: running.bytes_done,
        bytes_expected: running.bytes_expected,
    }
}
