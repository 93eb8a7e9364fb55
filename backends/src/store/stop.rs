//! Runs that end before their tasks, and tasks that nobody waits for any more.

use jiff::Timestamp;
use proto::failure::{Class, Code};
use proto::{Failure, Outcome, RunId};

use super::db::{Tx, to_json};
use super::run::{Counts, RunEnd};
use super::runs::add_counts;
use super::settle::read_outcome;
use super::{Store, StoreError};

/// Which open tasks of a run are closed.
#[derive(Clone, Copy)]
enum Which {
    All,
    /// Those that are not with the workers.
    Ready,
}

impl Store {
    /// Ends a run because a person says so: its open tasks are closed as cancelled. False if it had ended.
    ///
    /// # Errors
    /// The database failed.
    pub async fn cancel_run(&self, id: RunId, by: &str, now: Timestamp) -> Result<bool, StoreError> {
        self.stop_run(id, RunEnd::Cancelled, Some(by), now).await
    }

    /// Ends a run that the factory was stopped under: its open tasks are closed as cancelled. False if it had ended.
    ///
    /// # Errors
    /// The database failed.
    pub async fn interrupt_run(&self, id: RunId, now: Timestamp) -> Result<bool, StoreError> {
        self.stop_run(id, RunEnd::Interrupted, None, now).await
    }

    async fn stop_run(&self, id: RunId, end: RunEnd, by: Option<&str>, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "update runs set ended_at = $2, ended_as = $3, ended_by = $4 where id = $1 and ended_at is null";
        let args = [id.into(), now.into(), end.as_str().into(), by.into()];
        if tx.execute("end a run", sql, &args).await? == 0 {
            return Ok(false);
        }
        close(&mut tx, id, Which::All, Outcome::Cancelled, now).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Closes tasks of runs whose time is over as postponed, but for those with the workers; says how many. Whoever calls
    /// it again and again closes what comes back from there, too, or is added later. A run can be finished then.
    ///
    /// # Errors
    /// The database failed.
    pub async fn postpone_overdue(&self, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "select id from runs
             where report_digest is null and ended_at is null and deadline <= $1
                 and exists (select 1 from tasks where run = runs.id and state = 'ready')
             order by id";
        let (what, args) = ("look for runs whose time is over", [now.into()]);
        // Asked first beside the writer: most often there is none.
        if self.db.rows(what, sql, &args).await?.is_empty() {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        let mut postponed = 0;
        for row in tx.rows(what, sql, &args).await? {
            postponed += close(&mut tx, row.parse("id")?, Which::Ready, Outcome::Postponed, now).await?.done();
        }
        tx.commit().await?;
        Ok(postponed)
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
        let mut tx = self.begin().await?;
        if tx.row(what, sql, &args).await?.is_none() {
            return Ok(0);
        }
        let counts = close(&mut tx, id, Which::All, Outcome::Postponed, now).await?;
        tx.commit().await?;
        Ok(counts.done())
    }
}

/// Closes what is open in a run: unfinished destinations as `outcome`, tasks as the worst of their destinations'.
async fn close(tx: &mut Tx, run: RunId, which: Which, outcome: Outcome, now: Timestamp) -> Result<Counts, StoreError> {
    let (other, why) = match which {
        Which::All => ("published", None),
        Which::Ready => ("ready", Some(to_json(&time_over()))),
    };
    tx.execute(
        "close open destinations",
        "update destinations set outcome = $2, failure = coalesce(failure, $4)
         where outcome is null and task in (select id from tasks where run = $1 and state in ('ready', $3))",
        &[run.into(), outcome.as_str().into(), other.into(), why.into()],
    )
    .await?;
    let closed = tx
        .rows(
            "close open tasks",
            "update tasks set state = 'done', deferred = 0, ended_at = $4,
                 outcome = case when exists (
                     select 1 from destinations where task = tasks.id and outcome = 'failed')
                     then 'failed' else $2 end
             where run = $1 and state in ('ready', $3)
             returning outcome",
            &[run.into(), outcome.as_str().into(), other.into(), now.into()],
        )
        .await?;
    let sql = "delete from claims where task in (select id from tasks where run = $1 and state = 'done')";
    tx.execute("release destination tags", sql, &[run.into()]).await?;
    let mut counts = Counts::default();
    for row in &closed {
        counts.add(read_outcome(row)?.unwrap_or(outcome));
    }
    add_counts(tx, run, &counts).await?;
    Ok(counts)
}

fn time_over() -> Failure {
    let message = "the run's time was over before this was begun";
    let hint = "give the job a longer window, or more workers";
    Failure::new(None, Code::TimeOver, Class::Defer, message, Some(hint))
}
