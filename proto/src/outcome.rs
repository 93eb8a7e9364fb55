//! How a task ended: what the worker says of each destination, and what is recorded of it.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::failure::{Failure, Stage};
use crate::ids::{Attempt, RunId, TaskId};
use crate::image::Location;
use crate::task::{Fingerprint, Task};

/// How a task ended at a destination, from best to worst; a task's own outcome is the worst of its destinations'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The destination had it already.
    UpToDate,
    /// The tag was created or moved.
    Pushed,
    /// The other side did not allow it in time.
    Postponed,
    /// Stopped before it was done.
    Cancelled,
    /// It could not be done.
    Failed,
}

impl Outcome {
    /// All outcomes, from best to worst.
    pub const ALL: [Self; 5] = [Self::UpToDate, Self::Pushed, Self::Postponed, Self::Cancelled, Self::Failed];

    /// The name in store, report and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UpToDate => "up_to_date",
            Self::Pushed => "pushed",
            Self::Postponed => "postponed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// The outcome with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.as_str().replace('_', " "))
    }
}

/// The result of one attempt: a message from worker to coordinator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskResult {
    /// The task's run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// Which attempt ended.
    pub attempt: Attempt,
    /// The digest that the source showed, if it was asked.
    #[serde(default)]
    pub source_digest: Option<Digest>,
    /// One entry for each destination of the attempt.
    pub destinations: Vec<DestinationResult>,
    /// What it took.
    #[serde(default)]
    pub spent: Spent,
    /// How long each stage took, in the order in which they ran.
    #[serde(default)]
    pub stages: Vec<StageTime>,
    /// What is worth a person's look, and is no failure.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl End {
    /// Given back, to be taken up again at once.
    pub const INTERRUPTED: Self = Self::Interrupted { wait: Duration::ZERO };

    /// Placed, without having been read back.
    pub fn placed(digest: Digest, fingerprint: Fingerprint, moved: bool) -> Self {
        Self::Placed { digest, fingerprint, moved, read_back: false, parts: None }
    }
}

impl TaskResult {
    /// The result of an attempt that found out nothing and took nothing.
    pub fn new(task: &Task, destinations: Vec<DestinationResult>) -> Self {
        Self {
            run: task.run,
            task: task.id,
            attempt: task.attempt,
            source_digest: None,
            destinations,
            spent: Spent::default(),
            stages: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// How an attempt ended at one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationResult {
    /// The destination.
    pub location: Location,
    /// How it ended there.
    pub end: End,
}

/// How an attempt ended at a destination; the last three are not the end of the task there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The tag was verified to show this content. Whether that was news follows from the digest at dispatch too: an
    /// attempt that was lost may have moved the tag.
    Placed {
        /// What the tag shows: the digest of the source, or that of an index that was written anew.
        digest: Digest,
        /// Of what the content was made.
        fingerprint: Fingerprint,
        /// Whether the tag showed something else, or was not there, when the attempt began.
        #[serde(default)]
        moved: bool,
        /// Whether all of it was asked for there, to its last blob.
        #[serde(default)]
        read_back: bool,
        /// How many manifests and blobs it consists of, as far as that was found out: what reading it back costs.
        #[serde(default)]
        parts: Option<u32>,
    },
    /// It failed; the class says whether another attempt may help.
    Failed(Failure),
    /// Given back without being counted: the other side named a later time.
    Deferred {
        /// How long from now.
        wait: Duration,
        /// Who asked for it and how.
        failure: Failure,
    },
    /// Given back without being counted: the worker drains, time was over and work was done, or somebody else brings
    /// what is left to do.
    Interrupted {
        /// How long from now it is to be taken up again.
        wait: Duration,
    },
}

/// What an attempt, a task or a run took and saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// Bytes of blobs read from the source.
    pub bytes_read: u64,
    /// Bytes of blobs sent to destinations.
    pub bytes_written: u64,
    /// Bytes of blobs that lay at the destination already.
    pub bytes_skipped: u64,
    /// Bytes of blobs that the destination took from another of its repositories.
    pub bytes_mounted: u64,
    /// Blobs sent.
    pub blobs_written: u64,
    /// Blobs that lay there already.
    pub blobs_skipped: u64,
    /// Blobs mounted.
    pub blobs_mounted: u64,
    /// Manifests put, referrers and children among them.
    pub manifests_written: u64,
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
        self.bytes_skipped += other.bytes_skipped;
        self.bytes_mounted += other.bytes_mounted;
        self.blobs_written += other.blobs_written;
        self.blobs_skipped += other.blobs_skipped;
        self.blobs_mounted += other.blobs_mounted;
        self.manifests_written += other.manifests_written;
    }
}

/// How long a stage took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTime {
    /// The stage.
    pub stage: Stage,
    /// Wall time in milliseconds.
    pub ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_sort_from_best_to_worst_and_read_back() {
        assert!(Outcome::ALL.is_sorted());
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_name(outcome.as_str()), Some(outcome));
        }
    }
}
