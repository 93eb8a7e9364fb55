//! What can go wrong between us and the Store.

use std::path::PathBuf;

use proto::RunId;
use proto::failure::Class;

/// What went wrong between us and the Store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be opened.
    #[error("open the store `{}`", path.display())]
    Open {
        /// The database's file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The tables could not be brought to this program's form: usually a newer program has been here.
    #[error("bring the store to the form that this program reads")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A statement failed.
    #[error("{what}")]
    Statement {
        /// What was tried.
        what: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// A row holds what this program cannot have written.
    #[error("read column `{column}`: `{text}` is not valid there")]
    Corrupt {
        /// The column.
        column: &'static str,
        /// What stands in it.
        text: String,
    },
    /// There is no such run.
    #[error("no run has `{0}` in its id")]
    NoSuchRun(String),
    /// Several runs fit.
    #[error("`{text}` is part of the ids of several runs: {}", list(matches))]
    AmbiguousRun {
        /// What was asked for.
        text: String,
        /// Some of those that fit, newest first.
        matches: Vec<RunId>,
    },
    /// The run takes no more tasks.
    #[error("run `{0}` has ended")]
    RunEnded(RunId),
}

fn list(runs: &[RunId]) -> String {
    runs.iter().map(|run| format!("`{run}`")).collect::<Vec<_>>().join(", ")
}

impl StoreError {
    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Open { source, .. } | Self::Statement { source, .. } => class_of(source),
            Self::Migrate(_) | Self::NoSuchRun(_) | Self::AmbiguousRun { .. } | Self::RunEnded(_) => Class::Reject,
            Self::Corrupt { .. } => Class::Bug,
        }
    }
}

/// By SQLite's primary result codes (sqlite.org/rescode.html), which are the low byte of the extended ones.
fn class_of(error: &sqlx::Error) -> Class {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const READ_ONLY: u32 = 8;
    const IO: u32 = 10;
    const FULL: u32 = 13;
    const CANNOT_OPEN: u32 = 14;
    const NOT_A_DATABASE: u32 = 26;
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    match (error, code.map(|code| code & 0xff)) {
        (sqlx::Error::PoolTimedOut | sqlx::Error::Io(_), _) | (_, Some(BUSY | LOCKED)) => Class::Retry,
        (_, Some(READ_ONLY | IO | FULL | CANNOT_OPEN | NOT_A_DATABASE)) => Class::Reject,
        _ => Class::Bug,
    }
}
