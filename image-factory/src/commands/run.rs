//! `run`: mirror what a job file says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use coordinator::intake::Submission;
use coordinator::report::Summary;
use daemon::Shutdown;
use registry::{Client, Options};

use crate::cli::RunArgs;
use crate::data::DataFolder;
use crate::embedded::Factory;
use crate::exit::{Exit, UsageError};
use crate::files;
use crate::progress::{say, warn};
use crate::summary;

pub(crate) async fn run(args: RunArgs) -> anyhow::Result<Exit> {
    let shutdown = Shutdown::on_signals().context("listen for signals")?;
    let data = DataFolder::open(&args.data)?;
    if let Some(folder) = &args.report_dir {
        prepare(folder)?;
    }
    let order = Order {
        file: &args.file,
        data: &data,
        slots: args.slots,
        job: args.job.as_deref(),
        take_over: args.take_over,
        options: args.patience.options(),
        retry_after: retry_after(&args.retry_after)?,
    };
    let mut exit = Exit::Done;
    let all = mirror(order, &shutdown, |done| {
        let folder =
            args.report_dir.as_ref().map(|folder| if done.is_only { folder.clone() } else { folder.join(&done.job) });
        let kept = folder.map(|folder| keep(&done.report, &folder)).transpose();
        let copy = kept.as_ref().ok().and_then(Option::as_ref);
        summary::print(&done.summary, copy.unwrap_or(&done.report))?;
        exit = exit.worse(Exit::of_run(&done.summary));
        kept.map(drop)
    });
    if !all.await? {
        say("stopped: the next run closes this one and goes on from what is placed");
        exit = exit.worse(Exit::Incomplete);
    }
    Ok(exit)
}

/// What is to be run, and how.
pub(crate) struct Order<'a> {
    pub(crate) file: &'a Path,
    pub(crate) data: &'a DataFolder,
    pub(crate) slots: usize,
    /// The only job to run, or the name of the job that a file without `jobs` is.
    pub(crate) job: Option<&'a str>,
    pub(crate) take_over: bool,
    pub(crate) options: Options,
    pub(crate) retry_after: [Duration; 2],
}

/// A run that has its report.
pub(crate) struct Done {
    pub(crate) job: String,
    /// Whether no other job was to be run.
    pub(crate) is_only: bool,
    pub(crate) summary: Summary,
    pub(crate) report: PathBuf,
}

/// Runs the jobs of a file one after the other, and hands each to `tell` when it has its report; false if it was
/// stopped before all had theirs.
pub(crate) async fn mirror(
    order: Order<'_>,
    shutdown: &Shutdown,
    mut tell: impl FnMut(Done) -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let file = files::load(order.file)?;
    if !file.warnings.is_empty() {
        warn(&file.warnings.to_string());
    }
    let jobs = files::jobs(&file, order.file, order.job)?;
    let path = files::absolute(order.file)?;
    let client = Client::new(&file.access, order.options)?;
    let factory = Factory::open(order.data, client, order.slots, order.retry_after).await?;
    if order.job.is_none() && !order.take_over {
        for (name, _) in &jobs {
            factory.refuse_namesake(name, &path).await?;
        }
    }
    let is_only = jobs.len() == 1;
    for (name, job) in jobs {
        if shutdown.drain.is_cancelled() {
            return Ok(false);
        }
        let submission = Submission {
            job: name.clone(),
            path: path.clone(),
            commit: files::git_commit(order.file, &file.files).await,
            started_by: files::user().await,
            take_over: order.take_over,
        };
        let run = factory.run(&file, job, submission, shutdown).await;
        let run = run.with_context(|| format!("run with data folder `{}`", order.data.path().display()))?;
        let Some(run) = run else { return Ok(false) };
        let report = factory.report_of(run).await?;
        let summary = Summary::read(&report).with_context(|| format!("read report `{}`", report.display()))?;
        tell(Done { job: name, is_only, summary, report })?;
    }
    Ok(true)
}

fn retry_after(delays: &[Duration]) -> Result<[Duration; 2], UsageError> {
    delays.try_into().map_err(|_| UsageError("`--retry-after` takes two times, as in `5s,30s`".to_owned()))
}

/// Creates the folder for the report, and writes into it: a run of hours should not end with a report that is lost.
fn prepare(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .and_then(|()| tempfile::tempfile_in(folder))
        .map(drop)
        .with_context(|| format!("write into report folder `{}`", folder.display()))
}

/// Copies the report to where the person wants it.
fn keep(report: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let copy = folder.join("report.json");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::copy(report, &copy))
        .with_context(|| format!("write report `{}`", copy.display()))?;
    Ok(copy)
}
