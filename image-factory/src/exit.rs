//! How the program ends, for scripts: 0 done, 1 something failed, 2 usage or file, 3 could not run, 5 incomplete.

use std::process::ExitCode;

use coordinator::report::Summary;
use coordinator::report::model::RunEnd;

/// The program's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Done,
    /// Something failed.
    Failed,
    /// The command line or the file is wrong.
    Usage,
    /// The factory itself could not run.
    Broken,
    /// Stopped, or postponed, before everything was done.
    Incomplete,
}

/// The job file, or a reference on the command line, cannot be used as it is.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

impl Exit {
    /// The code for an error that ended the program.
    pub(crate) fn of_error(error: &anyhow::Error) -> Self {
        if error.is::<UsageError>() { Self::Usage } else { Self::Broken }
    }

    /// The one of both that a script should hear of: what failed weighs more than what was not reached.
    pub(crate) fn worse(self, other: Self) -> Self {
        let weight = |exit: Self| match exit {
            Self::Done => 0,
            Self::Incomplete => 1,
            Self::Failed => 2,
            Self::Usage => 3,
            Self::Broken => 4,
        };
        if weight(other) > weight(self) { other } else { self }
    }

    /// The code for a run: what failed weighs more than what was not reached.
    pub(crate) fn of_run(summary: &Summary) -> Self {
        let totals = &summary.totals;
        if totals.failed + totals.unlisted > 0 {
            Self::Failed
        } else if totals.postponed + totals.cancelled > 0 || summary.run.end == RunEnd::Interrupted {
            Self::Incomplete
        } else {
            Self::Done
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Broken => 3,
            Exit::Incomplete => 5,
        })
    }
}
