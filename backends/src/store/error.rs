//! What can go wrong between us and the Store.

use std::path::PathBuf;

use proto::RunId;

use super::Term;

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
    /// The settings do not say where a database is.
    #[error("the store's address is no `postgres://` URL that can be used")]
    Address(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server that has the database cannot be reached, refuses us, does not answer in time, or is short of something.
    /// What was tried has happened as a whole or not at all, and may be tried again.
    #[error("{what} in the store at `{address}`")]
    Unreachable {
        /// What was tried.
        what: &'static str,
        /// Where the database is, as `host:port/database`.
        address: String,
        /// What came back.
        #[source]
        source: sqlx::Error,
    },
    /// Another coordinator leads by now, and this one has written nothing.
    #[error("term {0} as the leader has ended: another coordinator leads")]
    NotLeader(Term),
    /// The tables could not be brought to this program's form: usually a newer program has been here.
    #[error("bring the store to the form that this program reads")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The tables have another form, and are only looked at.
    #[error(
        "the store has form {form}, and this program reads {ours}: {}",
        if form < ours { "the next `run` brings it to that" } else { "use the newer program that wrote it" }
    )]
    OtherForm {
        /// The form that they have.
        form: i64,
        /// The form that this program reads.
        ours: i64,
    },
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

impl StoreError {
    /// Whether it tells of the database's server, and not of what was asked: a loop goes on trying.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

fn list(runs: &[RunId]) -> String {
    runs.iter().map(|run| format!("`{run}`")).collect::<Vec<_>>().join(", ")
}
