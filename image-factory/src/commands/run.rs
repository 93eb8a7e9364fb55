//! `run`: mirror what a job file says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use coordinator::intake::Submission;
use coordinator::report::Summary;
use daemon::Shutdown;
use daemon::crash::{self, Effect};
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
    let Some(done) = mirror(order, &shutdown).await? else {
        say("stopped: the next run closes this one and goes on from what is placed");
        return Ok(Exit::Incomplete);
    };
    let kept = args.report_dir.as_ref().map(|folder| keep(&done.report, folder)).transpose();
    let copy = kept.as_ref().ok().and_then(Option::as_ref);
    summary::print(&done.summary, copy.unwrap_or(&done.report))?;
    kept?;
    Ok(Exit::of_run(&done.summary))
}

/// What is to be run, and how.
pub(crate) struct Order<'a> {
    pub(crate) file: &'a Path,
    pub(crate) data: &'a DataFolder,
    pub(crate) slots: usize,
    /// Name of the job; by default the file's.
    pub(crate) job: Option<&'a str>,
    pub(crate) take_over: bool,
    pub(crate) options: Options,
    pub(crate) retry_after: [Duration; 2],
}

/// A run that has its report.
pub(crate) struct Done {
    pub(crate) summary: Summary,
    pub(crate) report: PathBuf,
}

/// Runs a job file to its report; none if it was stopped before.
pub(crate) async fn mirror(order: Order<'_>, shutdown: &Shutdown) -> anyhow::Result<Option<Done>> {
    let file = files::load(order.file)?;
    if !file.warnings.is_empty() {
        warn(&file.warnings.to_string());
    }
    let client = Client::new(&file.access, order.options)?;
    let factory = Factory::open(order.data, client, order.slots, order.retry_after).await?;
    let (job, path) = (files::job_name(order.file), files::absolute(order.file)?);
    if order.job.is_none() && !order.take_over {
        factory.refuse_namesake(&job, &path).await?;
    }
    let submission = Submission {
        job: order.job.map_or(job, str::to_owned),
        path,
        commit: files::git_commit(order.file).await,
        started_by: files::user().await,
        take_over: order.take_over,
    };
    let run = factory.run(&file, submission, shutdown).await;
    let run = run.with_context(|| format!("run with data folder `{}`", order.data.path().display()))?;
    let Some(run) = run else { return Ok(None) };
    let report = factory.report_of(run).await?;
    let summary = Summary::read(&report).with_context(|| format!("read report `{}`", report.display()))?;
    Ok(Some(Done { summary, report }))
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
    crash::before(Effect::ReportCopy);
    let copied = std::fs::copy(report, &copy);
    crash::after(Effect::ReportCopy);
    copied.with_context(|| format!("write report `{}`", copy.display()))?;
    Ok(copy)
}
