//! A run as a value, and how it is read from its row.

use jiff::Timestamp;
use proto::{Digest, Outcome, RunId};

use super::StoreError;
use super::db::Row;

/// A run to be.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its name.
    pub id: RunId,
    /// The job that it executes.
    pub job: String,
    /// Digest of the job's file, includes and all.
    pub file_digest: Digest,
    /// Absolute path of the job's file.
    pub file_path: String,
    /// The commit that the file is of, if it lies in a repository.
    pub git_commit: Option<String>,
    /// Who started it.
    pub started_by: String,
    /// Whether it takes destination tags that other jobs own.
    pub take_over: bool,
    /// What it is limited to, in words; none if it is all of its job.
    pub only: Option<String>,
    /// When.
    pub started_at: Timestamp,
    /// A name that its starter gave it, unique in all of the store: who asks twice under one key gets one run.
    pub key: Option<String>,
    /// How many of its tasks may be with the workers at once; none if as many as there is room for.
    pub max_concurrency: Option<u32>,
    /// When its time is over: from then on nothing of it is begun.
    pub deadline: Option<Timestamp>,
    /// What it works by, in evidence; none where it lives no longer than the process that has read its job file.
    pub pinned: Option<Pinned>,
}

/// What a run works by, in evidence, so that whoever goes on with it does the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// What it is to do.
    pub order: Digest,
    /// What holds for all its tasks, which name it to the workers.
    pub bundle: Digest,
}

/// A run that was to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// Its name.
    pub run: RunId,
    /// Whether it began now; else it had begun before, because of the same.
    pub is_new: bool,
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
    /// Absolute path of the job's file.
    pub file_path: String,
    /// The commit that the file is of.
    pub git_commit: Option<String>,
    /// Who started it.
    pub started_by: String,
    /// Whether it takes destination tags that other jobs own.
    pub take_over: bool,
    /// What it is limited to, in words; none if it is all of its job.
    pub only: Option<String>,
    /// When it was started.
    pub started_at: Timestamp,
    /// The name that its starter gave it.
    pub key: Option<String>,
    /// How many of its tasks may be with the workers at once.
    pub max_concurrency: Option<u32>,
    /// When its time is over.
    pub deadline: Option<Timestamp>,
    /// What it works by, in evidence.
    pub pinned: Option<Pinned>,
    /// Whether all its tasks are there.
    pub expanded: bool,
    /// How and when it ended; none while it is open.
    pub ended: Option<(RunEnd, Timestamp)>,
    /// Who cancelled it.
    pub ended_by: Option<String>,
    /// Where its report is, once there is one.
    pub report: Option<RunReport>,
    /// How many tasks it has, and how they ended.
    pub counts: Counts,
    /// Whether its tasks are kept yet; of an old run only what is said here, and its report.
    pub has_tasks: bool,
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
    /// Where it was written: the path of its document; or `evidence:`, and the digest of a list of its files there.
    pub path: String,
}

/// How many images a run has, and how those that are done ended: its tasks, and what it saw unchanged without one.
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

pub(super) fn read_run(row: &Row) -> Result<Run, StoreError> {
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
    let pinned = match (row.opt_parse("order_digest")?, row.opt_parse("bundle")?) {
        (Some(order), Some(bundle)) => Some(Pinned { order, bundle }),
        _ => None,
    };
    Ok(Run {
        id: row.parse("id")?,
        job: row.text("job")?,
        file_digest: row.parse("file_digest")?,
        file_path: row.text("file_path")?,
        git_commit: row.opt_text("git_commit")?,
        started_by: row.text("started_by")?,
        take_over: row.flag("take_over")?,
        only: row.opt_text("only_text")?,
        started_at: row.parse("started_at")?,
        key: row.opt_text("key")?,
        max_concurrency: row.opt_number("max_concurrency")?,
        deadline: row.opt_parse("deadline")?,
        pinned,
        expanded: row.opt_text("expanded_at")?.is_some(),
        ended,
        ended_by: row.opt_text("ended_by")?,
        report,
        counts: read_counts(row)?,
        has_tasks: row.text("kept")? == "all",
    })
}

pub(super) fn read_counts(row: &Row) -> Result<Counts, StoreError> {
    let unchanged: u64 = row.number("unchanged")?;
    Ok(Counts {
        tasks: row.number::<u64>("tasks")? + unchanged,
        up_to_date: row.number::<u64>("up_to_date")? + unchanged,
        pushed: row.number("pushed")?,
        postponed: row.number("postponed")?,
        cancelled: row.number("cancelled")?,
        failed: row.number("failed")?,
    })
}
