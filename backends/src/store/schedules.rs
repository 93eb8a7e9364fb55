//! What is started when it is due, once each time; and schedules that a person has paused.

use jiff::Timestamp;
use proto::RunId;

use super::db::{Row, Tx};
use super::runs::begin_run;
use super::{Begun, NewRun, Store, StoreError};

/// A run that a schedule started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firing {
    /// The time at which it was due, by the schedule.
    pub due_at: Timestamp,
    /// The run.
    pub run: RunId,
}

/// A schedule that starts nothing until it is resumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Its job.
    pub job: String,
    /// Since when.
    pub since: Timestamp,
    /// Who paused it.
    pub by: String,
}

impl Store {
    /// Begins the run of its job that is due at a time of the job's schedule. Whoever asks again for the same time, with
    /// whatever run, gets the one that has begun.
    ///
    /// # Errors
    /// The database failed; then either all of it has happened or nothing.
    pub async fn fire(&self, run: &NewRun, due_at: Timestamp) -> Result<Begun, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "select run from firings where project = 'default' and job = $1 and due_at = $2";
        let known = tx.row("look for what was started", sql, &[run.job.as_str().into(), due_at.into()]).await?;
        if let Some(known) = known {
            return Ok(Begun { run: known.parse("run")?, is_new: false });
        }
        let begun = begin_run(&mut tx, run).await?;
        let sql = "insert into firings (job, due_at, run) values ($1, $2, $3)";
        let args = [run.job.as_str().into(), due_at.into(), begun.run.into()];
        tx.execute("note what a schedule started", sql, &args).await?;
        settle(&mut tx, &run.job, due_at).await?;
        tx.commit().await?;
        Ok(begun)
    }

    /// What the schedule of a job started last, by the time at which it was due.
    ///
    /// # Errors
    /// The database failed.
    pub async fn last_firing(&self, job: &str) -> Result<Option<Firing>, StoreError> {
        let sql = "select due_at, run from firings where project = 'default' and job = $1 order by due_at desc limit 1";
        let rows = self.db.rows("find what a schedule started last", sql, &[job.into()]).await?;
        let read = |row: &Row| Ok(Firing { due_at: row.parse("due_at")?, run: row.parse("run")? });
        rows.first().map(read).transpose()
    }

    /// Until when the times of a job's schedule are settled. A schedule with other `times` than before, in whatever words,
    /// begins now: what is new in the file was not missed.
    ///
    /// # Errors
    /// The database failed.
    pub async fn schedule_since(&self, job: &str, times: &str, now: Timestamp) -> Result<Timestamp, StoreError> {
        let sql = "select since from schedules where project = 'default' and job = $1 and times = $2";
        let rows = self.db.rows("read a schedule", sql, &[job.into(), times.into()]).await?;
        if let Some(row) = rows.first() {
            return row.parse("since");
        }
        let mut tx = self.begin().await?;
        let sql = "insert into schedules (job, times, since) values ($1, $2, $3)
            on conflict (project, job) do update set times = excluded.times, since = excluded.since";
        tx.execute("note a schedule", sql, &[job.into(), times.into(), now.into()]).await?;
        tx.commit().await?;
        Ok(now)
    }

    /// Notes that nothing more comes of the times of a job's schedule until `until`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn settle_schedule(&self, job: &str, until: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        settle(&mut tx, job, until).await?;
        tx.commit().await
    }

    /// Pauses the schedule of a job. False if it was paused before; then it stays so, by whom it was.
    ///
    /// # Errors
    /// The database failed.
    pub async fn pause_schedule(&self, job: &str, by: &str, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "insert into paused_schedules (job, since, paused_by) values ($1, $2, $3) on conflict do nothing";
        let paused = tx.execute("pause a schedule", sql, &[job.into(), now.into(), by.into()]).await?;
        tx.commit().await?;
        Ok(paused == 1)
    }

    /// Lets the schedule of a job start runs again. False if it was not paused.
    ///
    /// # Errors
    /// The database failed.
    pub async fn resume_schedule(&self, job: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "delete from paused_schedules where project = 'default' and job = $1";
        let resumed = tx.execute("resume a schedule", sql, &[job.into()]).await?;
        tx.commit().await?;
        Ok(resumed == 1)
    }

    /// The schedules that are paused, by the names of their jobs.
    ///
    /// # Errors
    /// The database failed.
    pub async fn paused_schedules(&self) -> Result<Vec<Pause>, StoreError> {
        let sql = "select job, since, paused_by from paused_schedules where project = 'default' order by job";
        let rows = self.db.rows("list paused schedules", sql, &[]).await?;
        let read =
            |row: &Row| Ok(Pause { job: row.text("job")?, since: row.parse("since")?, by: row.text("paused_by")? });
        rows.iter().map(read).collect()
    }
}

async fn settle(tx: &mut Tx, job: &str, until: Timestamp) -> Result<(), StoreError> {
    let sql = "update schedules set since = $2 where project = 'default' and job = $1 and since < $2";
    tx.execute("settle the times of a schedule", sql, &[job.into(), until.into()]).await?;
    Ok(())
}
