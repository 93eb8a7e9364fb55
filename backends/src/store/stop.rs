//! Runs that end before their tasks, and deferred tasks that nobody waits for.

use jiff::Timestamp;
use proto::{Outcome, RunId};

use super::db::Tx;
use super::run::{Counts, RunEnd};
use super::runs::add_counts;
use super::settle::read_outcome;
use super::{Store, StoreError};

impl Store {
    /// Ends a run because a person says so: its open tasks are closed as cancelled. False if it had ended.
    ///
    /// # Errors
    /// The database failed.
    pub async fn cancel_run(&self, id: RunId, now: Timestamp) -> Result<bool, StoreError> {
        self.stop_run(id, RunEnd::Cancelled, now).await
    }

    /// Ends a run that the factory was stopped under: its open tasks are closed as cancelled. False if it had ended.
    ///
    /// # Errors
    /// The database failed.
    pub async fn interrupt_run(&self, id: RunId, now: Timestamp) -> Result<bool, StoreError> {
        self.stop_run(id, RunEnd::Interrupted, now).await
    }

    async fn stop_run(&self, id: RunId, end: RunEnd, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.db.begin().await?;
        let sql = "update runs set ended_at = $2, ended_as = $3 where id = $1 and ended_at is null";
        if tx.execute("end a run", sql, &[id.into(), now.into(), end.as_str().into()]).await? == 0 {
            return Ok(false);
        }
        close_all(&mut tx, id, Outcome::Cancelled, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Closes a run's deferred tasks as postponed, once nothing else is left of it and none of them is due; says how
    /// many. The run can be finished then.
    ///
    /// # Errors
    /// The database failed.
    pub async fn postpone_deferred(&self, id: RunId, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "select id from runs where id = $1 and expanded_at is not null and ended_at is null
            and not exists (select 1 from tasks where run = $1 and state = 'published')
            and not exists (
                select 1 from tasks where run = $1 and state = 'ready' and (deferred = 0 or not_before <= $2))";
        let (what, args) = ("look for tasks that are not deferred", [id.into(), now.into()]);
        // Asked first beside the writer, who is busy while there is something else to do.
        if self.db.rows(what, sql, &args).await?.is_empty() {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        if tx.row(what, sql, &args).await?.is_none() {
            return Ok(0);
        }
        let counts = close_all(&mut tx, id, Outcome::Postponed, now).await?;
        tx.commit().await?;
        Ok(counts.done())
    }
}

/// Closes all that is open in a run: unfinished destinations as `outcome`, tasks as the worst of their destinations'.
async fn close_all(tx: &mut Tx, run: RunId, outcome: Outcome, now: Timestamp) -> Result<Counts, StoreError> {
    tx.execute(
        "close open destinations",
        "update destinations set outcome = $2
         where outcome is null and task in (select id from tasks where run = $1 and state in ('ready', 'published'))",
        &[run.into(), outcome.as_str().into()],
    )
    .await?;
    let closed = tx
        .rows(
            "close open tasks",
            "update tasks set state = 'done', deferred = 0, ended_at = $3,
                 outcome = case when exists (
                     select 1 from destinations where task = tasks.id and outcome = 'failed')
                     then 'failed' else $2 end
             where run = $1 and state in ('ready', 'published')
             returning outcome",
            &[run.into(), outcome.as_str().into(), now.into()],
        )
        .await?;
    let sql = "delete from claims where task in (select id from tasks where run = $1)";
    tx.execute("release destination tags", sql, &[run.into()]).await?;
    let mut counts = Counts::default();
    for row in &closed {
        counts.add(read_outcome(row)?.unwrap_or(outcome));
    }
    add_counts(tx, run, &counts).await?;
    Ok(counts)
}
