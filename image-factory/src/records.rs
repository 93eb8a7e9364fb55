//! Past and present runs, for commands that only look: nothing is created, and no lock is taken.

use std::collections::BTreeSet;

use backends::store::{ReportRow, Run, RunEnd};
use backends::{Store, StoreError};
use coordinator::report::Causes;
use coordinator::report::model::{CauseSection, UnlistedSection};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use proto::RunId;

use crate::causes::Rest;
use crate::cli::args::DataArgs;
use crate::data::DataFolder;
use crate::exit::UsageError;
use crate::text;

/// Runs among which the newest of other jobs are looked for.
const RUNS: usize = 200;

/// Rows read at once.
const ROWS: usize = 500;

/// A data folder that has seen a run.
pub(crate) struct Records {
    data: DataFolder,
    pub(crate) store: Store,
}

/// A run, as it stands.
pub(crate) struct Seen {
    pub(crate) run: Run,
    /// It is open, and no process works on it: the next run closes it.
    pub(crate) is_cut_off: bool,
}

/// What was not done right in a run until now.
#[derive(Default)]
pub(crate) struct Undone {
    pub(crate) causes: Vec<CauseSection>,
    /// Images that these have hit, each counted once.
    pub(crate) images: u64,
    /// Repositories that were not taken in full.
    pub(crate) unlisted: Vec<UnlistedSection>,
}

impl Records {
    /// The records in the folder that `args` names; none if there was no run.
    pub(crate) async fn open(args: &DataArgs) -> anyhow::Result<Option<Self>> {
        let data = DataFolder::find(args)?;
        let store = Store::look(&data.store()).await?;
        Ok(store.map(|store| Self { data, store }))
    }

    /// The same, where there must be some.
    pub(crate) async fn need(args: &DataArgs) -> anyhow::Result<Self> {
        match Self::open(args).await? {
            Some(records) => Ok(records),
            None => Err(no_run(&DataFolder::find(args)?).into()),
        }
    }

    /// The run that `text` names, by its job or its id; without one the open run, else the newest.
    pub(crate) async fn run(&self, text: Option<&str>) -> anyhow::Result<Seen> {
        let was_held = self.data.is_held();
        let run = match text {
            Some(text) => find(&self.store, text).await?,
            None => newest(&self.store, &self.data).await?,
        };
        // Asked before and after: a run may have begun, or ended, meanwhile.
        let is_cut_off = run.ended.is_none() && !was_held && !self.data.is_held();
        Ok(Seen { run, is_cut_off })
    }

    /// The newest runs, newest first.
    pub(crate) async fn runs(&self, limit: usize) -> anyhow::Result<Vec<Seen>> {
        let was_held = self.data.is_held();
        let runs = self.store.runs(limit).await?;
        let is_held = was_held || self.data.is_held();
        Ok(runs.into_iter().map(|run| Seen { is_cut_off: run.ended.is_none() && !is_held, run }).collect())
    }

    /// The newest runs of other jobs of the same file in which something failed, and, if this run had no image, that of
    /// its own job; each in a line.
    pub(crate) async fn others(&self, this: &Run) -> anyhow::Result<Vec<String>> {
        let mut runs = self.store.runs(RUNS).await?;
        runs.retain(|run| run.file_path == this.file_path && run.id != this.id && run.counts.tasks > 0);
        let mut jobs = BTreeSet::new();
        runs.retain(|run| jobs.insert(run.job.clone()) && (run.job != this.job || this.counts.tasks == 0));
        let failed = runs.iter().filter(|run| run.counts.failed > 0);
        let line = |run: &Run| {
            format!("also     job {}, run {}: {} failed", run.job, run.id.short(), text::number(run.counts.failed))
        };
        Ok(failed.map(line).collect())
    }

    /// What was not done right in a run until now, folded into `causes`.
    pub(crate) async fn undone(&self, run: RunId, mut causes: Causes) -> anyhow::Result<Undone> {
        let mut unlisted = Vec::new();
        each_undone(&self.store, run, |row| {
            causes.note(&row);
            if let Some(failure) = &row.failure {
                unlisted.push(UnlistedSection { failure: failure.into(), repository: row.source });
            }
        })
        .await?;
        Ok(Undone { images: causes.images(), causes: causes.into_list(), unlisted })
    }
}

/// Hands what was not done right in a run until now to `note`, row by row.
pub(crate) async fn each_undone(store: &Store, run: RunId, mut note: impl FnMut(ReportRow)) -> anyhow::Result<()> {
    let mut after: Option<String> = None;
    loop {
        let rows = store.undone_rows(run, after.as_deref(), ROWS).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.source.clone());
        rows.into_iter().for_each(&mut note);
    }
}

impl Undone {
    /// What helps a run, as a command; none while it goes on, or if nothing is left to do.
    pub(crate) fn next(&self, seen: &Seen, data: &str) -> Option<String> {
        let run = &seen.run;
        let (file, unlisted) = (&run.file_path, self.unlisted.len() as u64);
        if run.ended.is_none() {
            let closing = format!("image-factory run {file}{data}: it closes this run and goes on from what is done");
            return seen.is_cut_off.then_some(closing);
        }
        let rest = Rest {
            run: &run.id.short(),
            file,
            data,
            is_whole: run.expanded,
            postponed: run.counts.postponed,
            cancelled: run.counts.cancelled,
            failed: run.counts.failed.saturating_sub(unlisted),
            causes: &self.causes,
            unlisted: &self.unlisted,
        };
        rest.next()
    }
}

impl Seen {
    /// How it stands, in a word or two.
    pub(crate) fn state(&self) -> &'static str {
        match self.run.ended {
            Some((RunEnd::Finished, _)) => "finished",
            Some((RunEnd::Cancelled, _)) => "cancelled",
            Some((RunEnd::Interrupted, _)) => "interrupted",
            None if self.is_cut_off => "cut off",
            None => "running",
        }
    }
}

/// Refuses the job file at `path` if a job of its name was last run from another: both would own the same tags.
pub(crate) async fn refuse_namesake(store: &Store, job: &str, path: &str) -> anyhow::Result<()> {
    match store.newest_run_of(job).await? {
        Some(run) if run.file_path != path => Err(UsageError(format!(
            "job `{job}` was last run from `{}`, and this file is `{path}`: if it is another job, give it another \
             name, under `jobs` or with `--job`; if the file has moved, say `--job {job}`",
            run.file_path
        ))
        .into()),
        _ => Ok(()),
    }
}

async fn newest(store: &Store, data: &DataFolder) -> anyhow::Result<Run> {
    if let Some(open) = store.open_runs().await?.pop() {
        return Ok(open);
    }
    Ok(store.runs(1).await?.pop().ok_or_else(|| no_run(data))?)
}

/// The newest run of the job of this name, or the run with `text` in its id; what does not fit is the user's to mend.
async fn find(store: &Store, text: &str) -> anyhow::Result<Run> {
    if let Some(run) = store.newest_run_of(text).await? {
        return Ok(run);
    }
    match store.find_run(text).await {
        Err(error @ (StoreError::NoSuchRun(_) | StoreError::AmbiguousRun { .. })) => {
            Err(UsageError(format!("{error}: see `image-factory runs`")).into())
        }
        found => Ok(found?),
    }
}

fn no_run(data: &DataFolder) -> UsageError {
    UsageError(format!("there is no run in `{}` yet", data.path().display()))
}

/// A time as the clock on this wall shows it; without the date if that is today's.
pub(crate) fn clock(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (at.to_zoned(TimeZone::system()), now.to_zoned(TimeZone::system()));
    let form = if at.date() == now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    at.strftime(form).to_string()
}

/// The first digits of a digest, which is enough to tell files and images apart by eye.
pub(crate) fn brief(digest: &str) -> &str {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    hex.get(..8).unwrap_or(hex)
}
