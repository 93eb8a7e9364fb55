//! A job file becomes a run.

use backends::store::NewRun;
use daemon::crash::{Effect, around};
use jiff::Timestamp;
use jobfile::JobFile;
use proto::RunId;

use crate::coordinator::Coordinator;
use crate::error::CoordinatorError;

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

impl Coordinator {
    /// Makes a run, with the warnings of its file; its tasks come with [`Coordinator::expand`].
    ///
    /// # Errors
    /// The Store does not take it.
    pub async fn submit(&self, file: &JobFile, submission: Submission) -> Result<RunId, CoordinatorError> {
        let run = NewRun {
            id: RunId::new(),
            job: submission.job,
            file_digest: file.digest.clone(),
            file_path: submission.path,
            git_commit: submission.commit,
            started_by: submission.started_by,
            take_over: submission.take_over,
            only: submission.only,
            started_at: Timestamp::now(),
        };
        let (id, job) = (run.id, run.job.as_str());
        let span = tracing::info_span!("submit", run.id = %id, job);
        daemon::trace::begin(&span, id.as_u128());
        around(Effect::RunCreate, self.store.create_run(&run)).await?;
        for warning in file.warnings.lines() {
            self.store.add_warning(run.id, &warning).await?;
        }
        tracing::info!(run.id = %id, job, "run {id} of job `{job}` begins");
        Ok(id)
    }
}
