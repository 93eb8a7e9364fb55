//! A run's beginning, end and report.

use jiff::Timestamp;
use proto::RunId;

use super::db::{Arg, Row, Tx};
use super::run::{read_counts, read_run};
use super::{Begun, Counts, NewRun, Progress, Run, RunEnd, RunReport, Store, StoreError};

impl Store {
    /// Begins a run. One of this name or of this key that has begun before, in whatever words, stays as it is.
    ///
    /// # Errors
    /// The database failed.
    pub async fn create_run(&self, run: &NewRun) -> Result<Begun, StoreError> {
        let mut tx = self.begin().await?;
        let begun = begin_run(&mut tx, run).await?;
        tx.commit().await?;
        Ok(begun)
    }

    /// The run.
    ///
    /// # Errors
    /// The database failed, or there is no such run.
    pub async fn run(&self, id: RunId) -> Result<Run, StoreError> {
        let rows = self.db.rows("read a run", "select * from runs where id = $1", &[id.into()]).await?;
        rows.first().map_or_else(|| Err(StoreError::NoSuchRun(id.to_string())), read_run)
    }

    /// The newest runs, newest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn runs(&self, limit: usize) -> Result<Vec<Run>, StoreError> {
        let sql = "select * from runs order by started_at desc, id desc limit $1";
        read_runs(&self.db.rows("list runs", sql, &[limit.into()]).await?)
    }

    /// The newest run of a job, if it has any.
    ///
    /// # Errors
    /// The database failed.
    pub async fn newest_run_of(&self, job: &str) -> Result<Option<Run>, StoreError> {
        let sql = "select * from runs where job = $1 order by started_at desc, id desc limit 1";
        let rows = self.db.rows("find a job's newest run", sql, &[job.into()]).await?;
        rows.first().map(read_run).transpose()
    }

    /// When each job's newest run ended that was of all of the job, came to its end, and had nothing that failed.
    ///
    /// # Errors
    /// The database failed.
    pub async fn last_successes(&self) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let sql = "select job, max(ended_at) as ended_at from runs
                   where ended_as = $1 and only_text is null and failed = 0 group by job order by job";
        let rows = self.db.rows("list jobs that succeeded", sql, &[RunEnd::Finished.as_str().into()]).await?;
        rows.iter().map(|row| Ok((row.text("job")?, row.parse("ended_at")?))).collect()
    }

    /// The run whose id holds `text`, as in [`RunId::short`].
    ///
    /// # Errors
    /// The database failed; no run fits, or several do.
    pub async fn find_run(&self, text: &str) -> Result<Run, StoreError> {
        let digits = text.replace('-', "").to_ascii_lowercase();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(StoreError::NoSuchRun(text.to_owned()));
        }
        let sql = "select * from runs where id like $1 order by started_at desc, id desc limit 10";
        let rows = self.db.rows("find a run", sql, &[format!("%{digits}%").into()]).await?;
        let mut runs = read_runs(&rows)?;
        match runs.len() {
            0 => Err(StoreError::NoSuchRun(text.to_owned())),
            1 => Ok(runs.remove(0)),
            _ => Err(StoreError::AmbiguousRun {
                text: text.to_owned(),
                matches: runs.into_iter().map(|run| run.id).collect(),
            }),
        }
    }

    /// The runs that have not ended, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn open_runs(&self) -> Result<Vec<Run>, StoreError> {
        let sql = "select * from runs where report_digest is null and ended_at is null order by id";
        read_runs(&self.db.rows("list open runs", sql, &[]).await?)
    }

    /// What waits for a report: runs that ended, and open ones whose tasks are all there and all done, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn closable_runs(&self) -> Result<Vec<Run>, StoreError> {
        let sql = "select * from runs where report_digest is null and (ended_at is not null
                       or (expanded_at is not null
                           and tasks = up_to_date + pushed + postponed + cancelled + failed))
                   order by id";
        read_runs(&self.db.rows("list runs to be closed", sql, &[]).await?)
    }

    /// Ends a run whose tasks are all there and all done; false if it is not so, or if it has ended before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn finish_run(&self, id: RunId, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let changed = tx
            .execute(
                "finish a run",
                "update runs set ended_at = $2, ended_as = $3
                 where id = $1 and ended_at is null and expanded_at is not null
                     and tasks = up_to_date + pushed + postponed + cancelled + failed",
                &[id.into(), now.into(), RunEnd::Finished.as_str().into()],
            )
            .await?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Notes the report of a run that ended; false if it is open, or has one already.
    ///
    /// # Errors
    /// The database failed.
    pub async fn set_report(&self, id: RunId, report: &RunReport) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let changed = tx
            .execute(
                "note a report",
                "update runs set report_digest = $2, report_path = $3
                 where id = $1 and ended_at is not null and report_digest is null",
                &[id.into(), report.digest.as_str().into(), report.path.as_str().into()],
            )
            .await?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// How many repositories of a run could not be listed; its counters have them among the failed tasks.
    ///
    /// # Errors
    /// The database failed.
    pub async fn unlisted(&self, id: RunId) -> Result<u64, StoreError> {
        let sql = "select count(*) as count from tasks where run = $1 and kind = 'listing'";
        let rows = self.db.rows("count repositories without a list", sql, &[id.into()]).await?;
        rows.first().map_or(Ok(0), |row| row.number("count"))
    }

    /// How far a run is.
    ///
    /// # Errors
    /// The database failed, or there is no such run.
    pub async fn progress(&self, id: RunId) -> Result<Progress, StoreError> {
        let sql = "select runs.*,
                (select count(*) from tasks where run = $1 and state = 'ready' and deferred = 0) as ready,
                (select count(*) from tasks where run = $1 and state = 'ready' and deferred = 1) as deferred,
                (select count(*) from tasks where run = $1 and state = 'published') as published
            from runs where id = $1";
        let rows = self.db.rows("count a run's tasks", sql, &[id.into()]).await?;
        let row = rows.first().ok_or_else(|| StoreError::NoSuchRun(id.to_string()))?;
        Ok(Progress {
            counts: read_counts(row)?,
            ready: row.number("ready")?,
            deferred: row.number("deferred")?,
            published: row.number("published")?,
        })
    }
}

pub(super) async fn begin_run(tx: &mut Tx, run: &NewRun) -> Result<Begun, StoreError> {
    let sql = "select id from runs where id = $1 or (project = 'default' and key = $2)";
    let known = tx.row("look for a run", sql, &[run.id.into(), run.key.as_deref().into()]).await?;
    if let Some(known) = known {
        return Ok(Begun { run: known.parse("id")?, is_new: false });
    }
    tx.execute(
        "create a run",
        "insert into runs (id, job, file_digest, file_path, git_commit, started_by, take_over, only_text, started_at,
             key, max_concurrency, deadline, order_digest, bundle)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        &[
            run.id.into(),
            run.job.as_str().into(),
            run.file_digest.as_str().into(),
            run.file_path.as_str().into(),
            run.git_commit.as_deref().into(),
            run.started_by.as_str().into(),
            run.take_over.into(),
            run.only.as_deref().into(),
            run.started_at.into(),
            run.key.as_deref().into(),
            run.max_concurrency.map(i64::from).into(),
            run.deadline.into(),
            run.pinned.as_ref().map(|pinned| pinned.order.as_str()).into(),
            run.pinned.as_ref().map(|pinned| pinned.bundle.as_str()).into(),
        ],
    )
    .await?;
    Ok(Begun { run: run.id, is_new: true })
}

/// Adds to a run's counters.
pub(super) async fn add_counts(tx: &mut Tx, run: RunId, more: &Counts) -> Result<(), StoreError> {
    let number = |count: u64| Arg::from(i64::try_from(count).unwrap_or(i64::MAX));
    tx.execute(
        "count tasks",
        "update runs set tasks = tasks + $2, up_to_date = up_to_date + $3, pushed = pushed + $4,
             postponed = postponed + $5, cancelled = cancelled + $6, failed = failed + $7
         where id = $1",
        &[
            run.into(),
            number(more.tasks),
            number(more.up_to_date),
            number(more.pushed),
            number(more.postponed),
            number(more.cancelled),
            number(more.failed),
        ],
    )
    .await?;
    Ok(())
}

fn read_runs(rows: &[Row]) -> Result<Vec<Run>, StoreError> {
    rows.iter().map(read_run).collect()
}
