//! What a run is to do: its job file as it was read, the job, and how much of it. Kept in evidence, so that whichever
//! coordinator goes on with the run does the same.

use serde::{Deserialize, Serialize};

use crate::audit::Audit;
use crate::expand::Only;

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
