//! What a run is to do: its job file as it was read, the job, and how much of it. Kept in evidence, so that whichever
//! coordinator goes on with the run does the same.

use backends::Evidence;
use jobfile::{Job, JobFile, Pack};
use proto::Digest;
use serde::{Deserialize, Serialize};

use crate::audit::Audit;
use crate::error::CoordinatorError;
use crate::expand::Only;

/// What a run is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Its job file, and all that this names.
    pub pack: Pack,
    /// The job, by the name under which it runs.
    pub job: String,
    /// How much of it.
    pub extent: Extent,
}

impl Order {
    /// Keeps it in evidence.
    ///
    /// # Errors
    /// The evidence store does not take it.
    pub async fn keep(&self, evidence: &Evidence) -> Result<Digest, CoordinatorError> {
        let document =
            serde_json::to_vec(self).map_err(|source| CoordinatorError::Document { what: "write", source })?;
        Ok(evidence.keep(document).await?)
    }

    /// The order that was kept.
    ///
    /// # Errors
    /// The evidence store does not give it, or it is none of this program's.
    pub async fn read(evidence: &Evidence, digest: &Digest) -> Result<Self, CoordinatorError> {
        let document = evidence.read(digest).await?;
        serde_json::from_slice(&document).map_err(|source| CoordinatorError::Document { what: "read", source })
    }
}

/// The job that runs under this name: a file without `jobs` is one job, whatever it is called.
pub fn job_of<'f>(file: &'f JobFile, name: &str) -> Option<&'f Job> {
    file.jobs.iter().find(|job| job.name.as_deref().is_none_or(|own| own == name))
}

/// Of what the tasks of a run are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// Of what sources list, as far as it is among this.
    Listed(Only),
    /// Of what was placed.
    Placed(Audit),
}

impl Extent {
    /// What the run is limited to, for its report; none if it is not.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Listed(only) => only.text(),
            Self::Placed(audit) => Some(audit.text()),
        }
    }
}
