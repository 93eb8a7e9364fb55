//! A job file becomes a run.

use std::time::Duration;

use backends::store::{Begun, NewRun, Pinned};
use backends::{Evidence, Store};
use daemon::crash::{Effect, around};
use jiff::Timestamp;
use jobfile::JobFile;
use proto::{Bundle, RunId};

use crate::coordinator::Coordinator;
use crate::error::CoordinatorError;
use crate::order::{Extent, Order, job_of};

/// Who wants a run of what.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Name of the job: it owns the destination tags that it sets.
    pub job: String,
    /// Absolute path of the file.
    pub path: String,
    /// Git commit of the file, if it lies in a work tree.
    pub commit: Option<String>,
    /// Who started it.
    pub started_by: String,
    /// Whether to take over tags that another job owns.
    pub take_over: bool,
    /// What the run is limited to, in words; none if it is all of the job.
    pub only: Option<String>,
}

/// A run of a fleet that somebody wants.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who wants it of what.
    pub submission: Submission,
    /// How much of the job.
    pub extent: Extent,
    /// A name that the caller gave it: who asks twice under one key gets one run.
    pub key: Option<String>,
}

/// How long a run of a fleet may last whose job does not say.
const MAX_DURATION: Duration = Duration::from_secs(8 * 60 * 60);

/// The run of a fleet that `request` is to become, of `file`. What it works by is kept in evidence, before anybody can begin
/// with it.
///
/// # Errors
/// The evidence store does not take it, or the file has no such job.
pub async fn prepare(evidence: &Evidence, file: &JobFile, request: Request) -> Result<NewRun, CoordinatorError> {
    let Request { submission, extent, key } = request;
    let id = RunId::new();
    let Some(job) = job_of(file, &submission.job) else {
        return Err(CoordinatorError::Order { run: id, faults: format!("no job `{}`", submission.job) });
    };
    let now = Timestamp::now();
    let lasts = now.checked_add(job.max_duration.unwrap_or(MAX_DURATION)).unwrap_or(Timestamp::MAX);
    let closes = job.window.as_ref().map(|window| window.ends(now));
    let bundle = Bundle { access: file.access.clone() }.to_json();
    let bundle = bundle.map_err(|source| CoordinatorError::Document { what: "write", source })?;
    let order = Order { pack: file.pack.clone(), job: submission.job.clone(), extent };
    let pinned = Pinned { order: order.keep(evidence).await?, bundle: evidence.keep(bundle).await? };
    Ok(NewRun {
        key,
        max_concurrency: job.max_concurrency,
        deadline: Some(closes.map_or(lasts, |closes: Timestamp| closes.min(lasts))),
        pinned: Some(pinned),
        ..new_run(file, submission, id, now)
    })
}

/// Begins a run that was prepared, with the warnings of its file, or finds the one that has begun under its key.
///
/// # Errors
/// The Store does not take it.
pub async fn begin(store: &Store, file: &JobFile, run: &NewRun) -> Result<Begun, CoordinatorError> {
    let begun = around(Effect::RunCreate, store.create_run(run)).await?;
    if begun.is_new {
        tell_begun(run);
        for warning in file.warnings.lines() {
            store.add_warning(begun.run, &warning).await?;
        }
    }
    Ok(begun)
}

/// Says that a run has begun, in the log and in its trace.
pub(crate) fn tell_begun(run: &NewRun) {
    let (id, job) = (run.id, run.job.as_str());
    daemon::trace::begin(&tracing::info_span!("submit", run.id = %id, job), id.as_u128());
    tracing::info!(run.id = %id, job, "run {id} of job `{job}` begins");
}

/// A run with no bounds but its job's end.
fn new_run(file: &JobFile, submission: Submission, id: RunId, now: Timestamp) -> NewRun {
    NewRun {
        id,
        job: submission.job,
        file_digest: file.digest.clone(),
        file_path: submission.path,
        git_commit: submission.commit,
        started_by: submission.started_by,
        take_over: submission.take_over,
        only: submission.only,
        started_at: now,
        key: None,
        max_concurrency: None,
        deadline: None,
        pinned: None,
    }
}

impl Coordinator {
    /// Makes a run, with the warnings of its file; its tasks come with [`Coordinator::expand`].
    ///
    /// # Errors
    /// The Store does not take it.
    pub async fn submit(&self, file: &JobFile, submission: Submission) -> Result<RunId, CoordinatorError> {
        let run = new_run(file, submission, RunId::new(), Timestamp::now());
        Ok(begin(&self.store, file, &run).await?.run)
    }
}
