//! What follows for a task once its destinations changed: it is closed, or another attempt is due.

use std::collections::BTreeMap;

use jiff::Timestamp;
use proto::{Outcome, RunId, TaskId};

use super::StoreError;
use super::db::{Row, Tx};
use super::run::Counts;
use super::runs::add_counts;

/// Counters that a transaction adds to its runs, at its end and at once.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<RunId, Counts>);

impl Tally {
    pub(super) fn add(&mut self, run: RunId, outcome: Outcome) {
        self.0.entry(run).or_default().add(outcome);
    }

    pub(super) async fn write(self, tx: &mut Tx) -> Result<(), StoreError> {
        for (run, counts) in self.0 {
            add_counts(tx, run, &counts).await?;
        }
        Ok(())
    }
}

/// What is left to do of a task.
enum Left {
    /// Nothing: it ended like this, the worst of its destinations.
    Nothing(Outcome),
    /// Some destinations: the first of them may be tried again at this time.
    Some { not_before: Timestamp, deferred: bool },
}

/// Closes a task whose destinations are all done; else makes its next attempt ready, for those that are not.
pub(super) async fn settle(
    tx: &mut Tx,
    run: RunId,
    task: TaskId,
    now: Timestamp,
    tally: &mut Tally,
) -> Result<(), StoreError> {
    match left(tx, task).await? {
        Left::Nothing(outcome) => close(tx, run, task, outcome, now, tally).await,
        Left::Some { not_before, deferred } => {
            tx.execute(
                "make the next attempt ready",
                "update tasks set state = 'ready', attempt = attempt + 1, not_before = $2, deferred = $3 where id = $1",
                &[task.into(), not_before.into(), deferred.into()],
            )
            .await?;
            release(tx, task).await
        }
    }
}

/// Closes a task if its destinations are all done; says whether it did.
pub(super) async fn close_if_done(
    tx: &mut Tx,
    run: RunId,
    task: TaskId,
    now: Timestamp,
    tally: &mut Tally,
) -> Result<bool, StoreError> {
    let Left::Nothing(outcome) = left(tx, task).await? else { return Ok(false) };
    close(tx, run, task, outcome, now, tally).await?;
    Ok(true)
}

/// Gives up the destination tags that a task claimed.
pub(super) async fn release(tx: &mut Tx, task: TaskId) -> Result<(), StoreError> {
    tx.execute("release destination tags", "delete from claims where task = $1", &[task.into()]).await?;
    Ok(())
}

async fn left(tx: &mut Tx, task: TaskId) -> Result<Left, StoreError> {
    let sql = "select outcome, not_before, deferred from destinations where task = $1";
    let mut outcome = Outcome::UpToDate;
    let mut unfinished: Option<(Timestamp, bool)> = None;
    for row in tx.rows("read a task's destinations", sql, &[task.into()]).await? {
        if let Some(ended) = read_outcome(&row)? {
            outcome = outcome.max(ended);
        } else {
            let (at, deferred): (Timestamp, bool) = (row.parse("not_before")?, row.flag("deferred")?);
            let (first, all) = unfinished.unwrap_or((at, true));
            unfinished = Some((first.min(at), all && deferred));
        }
    }
    Ok(match unfinished {
        Some((not_before, deferred)) => Left::Some { not_before, deferred },
        None => Left::Nothing(outcome),
    })
}

async fn close(
    tx: &mut Tx,
    run: RunId,
    task: TaskId,
    outcome: Outcome,
    now: Timestamp,
    tally: &mut Tally,
) -> Result<(), StoreError> {
    tx.execute(
        "close a task",
        "update tasks set state = 'done', outcome = $2, ended_at = $3, deferred = 0 where id = $1",
        &[task.into(), outcome.as_str().into(), now.into()],
    )
    .await?;
    tally.add(run, outcome);
    release(tx, task).await
}

/// The outcome that a row holds; none while it is open.
pub(super) fn read_outcome(row: &Row) -> Result<Option<Outcome>, StoreError> {
    let read = |text: String| Outcome::from_name(&text).ok_or(StoreError::Corrupt { column: "outcome", text });
    row.opt_text("outcome")?.map(read).transpose()
}
