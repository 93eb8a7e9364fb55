//! What is kept no longer: the tasks of old runs, and at last the runs.
//!
//! A placement is never old, and the run that made it is kept as long as it is there.

use jiff::Timestamp;

use super::chunks::Change;
use super::db::{Arg, Row, Tx};
use super::{Store, StoreError};

/// How many rows were deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CleanedUp {
    /// Tasks, and repositories that could not be listed.
    pub tasks: u64,
    /// Destinations of those tasks.
    pub destinations: u64,
    /// Recorded attempts of those tasks.
    pub attempts: u64,
    /// Destination tags that were seen unchanged.
    pub unchanged: u64,
    /// Runs, with their warnings.
    pub runs: u64,
}

impl Store {
    /// Deletes the tasks of runs that ended before `tasks_before` and have their report, and runs without tasks that ended
    /// before `runs_before`: of each up to `limit`, in one transaction. Nothing is left to do once it deleted nothing.
    ///
    /// # Errors
    /// The database failed; then nothing is deleted.
    pub async fn clean_up(
        &self,
        tasks_before: Timestamp,
        runs_before: Timestamp,
        limit: usize,
    ) -> Result<CleanedUp, StoreError> {
        let mut tx = self.begin().await?;
        // From here on its counters are no longer those of its rows.
        let sql = "update runs set kept = 'some' where kept = 'all' and report_digest is not null and ended_at < $1";
        tx.execute("look for old runs", sql, &[tasks_before.into()]).await?;
        let mut cleaned = CleanedUp::default();
        clean_tasks(&mut tx, limit, &mut cleaned).await?;
        let sql = "delete from unchanged where project = 'default' and target in (
                 select target from unchanged where run in (select id from runs where kept = 'some') limit $1)";
        cleaned.unchanged = tx.execute("delete what was seen unchanged", sql, &[limit.into()]).await?;
        let sql = "update runs set kept = 'run' where kept = 'some'
                 and not exists (select 1 from tasks where run = runs.id)
                 and not exists (select 1 from unchanged where run = runs.id)";
        tx.execute("note that a run has no tasks any more", sql, &[]).await?;
        cleaned.runs = clean_runs(&mut tx, runs_before, limit).await?;
        tx.commit().await?;
        Ok(cleaned)
    }
}

async fn clean_tasks(tx: &mut Tx, limit: usize, cleaned: &mut CleanedUp) -> Result<(), StoreError> {
    static ATTEMPTS: Change<1> = Change::new("delete from attempts where task in (select column1 from (CHUNK) as old)");
    static DESTINATIONS: Change<1> =
        Change::new("delete from destinations where task in (select column1 from (CHUNK) as old)");
    static TASKS: Change<1> = Change::new("delete from tasks where id in (select column1 from (CHUNK) as old)");
    let sql = "select id from tasks where run in (select id from runs where kept = 'some') limit $1";
    let tasks = ids(&tx.rows("list old tasks", sql, &[limit.into()]).await?)?;
    cleaned.attempts = ATTEMPTS.execute(tx, "delete old attempts", tasks.clone()).await?;
    cleaned.destinations = DESTINATIONS.execute(tx, "delete old destinations", tasks.clone()).await?;
    cleaned.tasks = TASKS.execute(tx, "delete old tasks", tasks).await?;
    Ok(())
}

async fn clean_runs(tx: &mut Tx, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
    static WARNINGS: Change<1> = Change::new("delete from warnings where run in (select column1 from (CHUNK) as old)");
    static AUDITS: Change<1> = Change::new("delete from audits_due where run in (select column1 from (CHUNK) as old)");
    static FIRINGS: Change<1> = Change::new("delete from firings where run in (select column1 from (CHUNK) as old)");
    static RUNS: Change<1> = Change::new("delete from runs where id in (select column1 from (CHUNK) as old)");
    let sql = "select id from runs where kept = 'run' and ended_at < $1
             and not exists (select 1 from placements where run = runs.id)
         limit $2";
    let runs = ids(&tx.rows("list old runs", sql, &[before.into(), limit.into()]).await?)?;
    WARNINGS.execute(tx, "delete old warnings", runs.clone()).await?;
    AUDITS.execute(tx, "delete old audits", runs.clone()).await?;
    FIRINGS.execute(tx, "delete what schedules started long ago", runs.clone()).await?;
    RUNS.execute(tx, "delete old runs", runs).await
}

fn ids(rows: &[Row]) -> Result<Vec<[Arg; 1]>, StoreError> {
    rows.iter().map(|row| Ok([row.text("id")?.into()])).collect()
}
