//! A run's beginning, end and report.

use jiff::Timestamp;
use proto::{Digest, Outcome, RunId};

use super::db::{Arg, Row, Tx};
use super::{Store, StoreError};

/// A run to be.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its name.
    pub id: RunId,
    /// The job that it executes.
    pub job: String,
    /// Digest of the job's file, includes and all.
    pub file_digest: Digest,
    /// The commit that the file is of, if it lies in a repository.
    pub git_commit: Option<String>,
    /// Who started it.
    pub started_by: String,
    /// Whether it takes destination tags that other jobs own.
    pub take_over: bool,
    /// When.
    pub started_at: Timestamp,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// The job that it executes.
    pub job: String,
    /// Digest of the job's file.
    pub file_digest: Digest,
    /// The commit that the file is of.
    pub git_commit: Option<String>,
    /// Who started it.
    pub started_by: String,
    /// Whether it takes destination tags that other jobs own.
    pub take_over: bool,
    /// When it was started.
    pub started_at: Timestamp,
    /// Whether all its tasks are there.
    pub expanded: bool,
    /// How and when it ended; none while it is open.
    pub ended: Option<(RunEnd, Timestamp)>,
    /// Where its report is, once there is one.
    pub report: Option<RunReport>,
    /// How many tasks it has, and how they ended.
    pub counts: Counts,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// All its tasks are done.
    Finished,
    /// A person stopped it.
    Cancelled,
    /// The factory stopped under it.
    Interrupted,
}

/// The kept report of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunReport {
    /// Of its content.
    pub digest: Digest,
    /// Where it was written.
    pub path: String,
}

/// How many tasks a run has, and how those that are done ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All, open ones too.
    pub tasks: u64,
    /// Done: the destinations had it already.
    pub up_to_date: u64,
    /// Done: a tag was created or moved.
    pub pushed: u64,
    /// Given up for now.
    pub postponed: u64,
    /// Stopped.
    pub cancelled: u64,
    /// Done in vain; repositories that could not be listed are among them.
    pub failed: u64,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many tasks there are, and how those that are done ended.
    pub counts: Counts,
    /// Open: to be published, deferred ones not counted.
    pub ready: u64,
    /// Open: somebody named a later time for all that is left to do.
    pub deferred: u64,
    /// Open: with the workers, or on the way there.
    pub published: u64,
}

impl RunEnd {
    /// The name in store, report and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Finished, Self::Cancelled, Self::Interrupted].into_iter().find(|end| end.as_str() == name)
    }
}

impl Counts {
    /// How many tasks ended like this.
    pub fn of(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::UpToDate => self.up_to_date,
            Outcome::Pushed => self.pushed,
            Outcome::Postponed => self.postponed,
            Outcome::Cancelled => self.cancelled,
            Outcome::Failed => self.failed,
        }
    }

    /// Counts a task that ended like this.
    pub(super) fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::UpToDate => self.up_to_date += 1,
            Outcome::Pushed => self.pushed += 1,
            Outcome::Postponed => self.postponed += 1,
            Outcome::Cancelled => self.cancelled += 1,
            Outcome::Failed => self.failed += 1,
        }
    }

    /// How many tasks are done.
    pub fn done(&self) -> u64 {
        Outcome::ALL.into_iter().map(|outcome| self.of(outcome)).sum()
    }
}

impl Store {
    /// Begins a run.
    ///
    /// # Errors
    /// The database failed, or there is a run of this name.
    pub async fn create_run(&self, run: &NewRun) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        tx.execute(
            "create a run",
            "insert into runs (id, job, file_digest, git_commit, started_by, take_over, started_at)
             values ($1, $2, $3, $4, $5, $6, $7)",
            &[
                run.id.into(),
                run.job.as_str().into(),
                run.file_digest.as_str().into(),
                run.git_commit.as_deref().into(),
                run.started_by.as_str().into(),
                run.take_over.into(),
                run.started_at.into(),
            ],
        )
        .await?;
        tx.commit().await
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
        let mut tx = self.db.begin().await?;
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
        let mut tx = self.db.begin().await?;
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

/// Adds to a run's counters.
pub(super) async fn add_counts(tx: &mut Tx, run: RunId, more: &Counts) -> Result<(), StoreError> {
    let number = |count: u64| Arg::Number(i64::try_from(count).unwrap_or(i64::MAX));
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

fn read_run(row: &Row) -> Result<Run, StoreError> {
    let ended_as = row.opt_text("ended_as")?;
    let ended = match (ended_as, row.opt_parse("ended_at")?) {
        (Some(text), Some(at)) => {
            let end = RunEnd::from_name(&text);
            Some((end.ok_or(StoreError::Corrupt { column: "ended_as", text })?, at))
        }
        _ => None,
    };
    let report = match (row.opt_parse("report_digest")?, row.opt_text("report_path")?) {
        (Some(digest), Some(path)) => Some(RunReport { digest, path }),
        _ => None,
    };
    Ok(Run {
        id: row.parse("id")?,
        job: row.text("job")?,
        file_digest: row.parse("file_digest")?,
        git_commit: row.opt_text("git_commit")?,
        started_by: row.text("started_by")?,
        take_over: row.flag("take_over")?,
        started_at: row.parse("started_at")?,
        expanded: row.opt_text("expanded_at")?.is_some(),
        ended,
        report,
        counts: read_counts(row)?,
    })
}

fn read_counts(row: &Row) -> Result<Counts, StoreError> {
    Ok(Counts {
        tasks: row.number("tasks")?,
        up_to_date: row.number("up_to_date")?,
        pushed: row.number("pushed")?,
        postponed: row.number("postponed")?,
        cancelled: row.number("cancelled")?,
        failed: row.number("failed")?,
    })
}
