//! What follows for a task once its destinations changed: it is closed, or another attempt is due. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proto::{Outcome, RunId};

use super::StoreError;
use super::batch::{Found, Settled};
use super::db::{Row, Tx};
use super::run::Counts;
use super::runs::add_counts;

/// Counters that a transaction adds to its runs, at its end and at once.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<RunId, Counts>);

impl Tally {
    fn add(&mut self, run: RunId, outcome: Outcome) {
        self.0.entry(run).or_default().add(outcome);
    }

    pub(super) async fn write(self, tx: &mut Tx) -> Result<(), StoreError> {
        for (run, counts) in self.0 {
            add_counts(tx, run, &counts).await?;
        }
        Ok(())
    }
}

/// Closes a task whose destinations are all done; else makes its next attempt ready, for those that are not.
pub(super) fn settle(found: &mut Found, now: Timestamp, tally: &mut Tally) {
    if close_if_done(found, now, tally) {
        return;
    }
    let open = || found.destinations.iter().filter(|destination| destination.outcome.is_none());
    let not_before = open().map(|destination| destination.not_before).min();
    let deferred = open().all(|destination| destination.deferred);
    found.settled = Some(Settled::Ready { not_before: not_before.unwrap_or(now), deferred });
    found.attempt = found.attempt.next();
}

/// Closes a task if its destinations are all done, as the worst of them; says whether it did.
pub(super) fn close_if_done(found: &mut Found, now: Timestamp, tally: &mut Tally) -> bool {
    let outcomes: Option<Vec<Outcome>> = found.destinations.iter().map(|destination| destination.outcome).collect();
    let Some(outcomes) = outcomes else { return false };
    let outcome = outcomes.into_iter().fold(Outcome::UpToDate, Outcome::max);
    found.settled = Some(Settled::Done { outcome, ended_at: now });
    found.is_open = false;
    tally.add(found.run, outcome);
    true
}

/// The outcome that a row holds; none while it is open.
pub(super) fn read_outcome(row: &Row) -> Result<Option<Outcome>, StoreError> {
    let read = |text: String| Outcome::from_name(&text).ok_or(StoreError::Corrupt { column: "outcome", text });
    row.opt_text("outcome")?.map(read).transpose()
}
