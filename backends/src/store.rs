//! The Store keeps what must not be lost: runs, tasks and their states, placements. One struct, domain verbs.
//!
//! It lies in SQLite or in PostgreSQL, which only `db` can tell. A verb is a transaction, so whatever stops the program between two verbs, the Store is whole. No verb asks a clock:
//! `now` is handed in. The states of a task:
//!
//! ```text
//! ready ──publish, confirm──▶ published ──result──▶ done(outcome) | ready(attempt + 1, not_before)
//!   └──────────────── cancel, from any open state ──────────────▶ done(Cancelled)
//! ```
//!
//! # Layout
//!
//! - `run`, `runs`: a run, its beginning, its end and its report
//! - `tasks`: what `expand` writes
//! - `dispatch`: what is due, and who may have a destination tag
//! - `taking`: which of them are taken, and written as such
//! - `record`: results and dead letters
//! - `batch`: the tasks that a batch of them is about
//! - `settle`: what follows for a task: closed, or another attempt
//! - `stop`: runs that end before their tasks, and deferred tasks that nobody waits for
//! - `placements`: what lies under destination tags
//! - `unchanged`: what listings show as it was placed
//! - `sample`: which placements are to be read back
//! - `report`: rows of a run, in order
//! - `waiting`: what an open run waits for
//! - `story`: what is on record about an image
//! - `warnings`: what is worth a look and is no failure
//! - `schedules`: what is started when it is due, once each time, and what is paused
//! - `tokens`: who may call
//! - `retention`: what is kept no longer
//! - `leadership`: which of several coordinators writes
//! - `db`: the database below
//! - `chunks`: questions about many rows at once, and changes of many
//! - `books` (feature `conformance`): what a test wants to know of the rows

mod batch;
#[cfg(feature = "conformance")]
mod books;
mod chunks;
mod db;
mod dispatch;
mod error;
mod leadership;
mod placements;
mod record;
mod report;
mod retention;
mod run;
mod runs;
mod sample;
mod schedules;
mod settle;
mod stop;
mod story;
mod taking;
mod tasks;
mod tokens;
mod unchanged;
mod waiting;
mod warnings;

use std::path::Path;
use std::time::Duration;

use db::Db;
use proto::limits;

#[cfg(feature = "conformance")]
pub use books::{Books, TaskEntry};
pub use db::PostgresSettings;
pub use dispatch::target_owned;
pub use error::StoreError;
pub use leadership::Term;
pub use placements::{Kept, Placement};
pub use record::Recorded;
pub use report::{ReportDestination, ReportRow};
pub use retention::CleanedUp;
pub use run::{Begun, Counts, NewRun, Pinned, Progress, Run, RunEnd, RunReport};
pub use sample::{Candidate, affordable};
pub use schedules::{Firing, Pause};
pub use story::{Story, StoryDestination};
pub use tasks::{NewDestination, NewTask, Origin};
pub use tokens::{NewToken, Role, Token};
pub use unchanged::Unchanged;
pub use waiting::Waiting;

/// Keeps runs, tasks and placements. Clones share one database.
///
/// Only coordinators open it. Of several at one PostgreSQL each verb of one is alone with the database; who of them does
/// what the leader does is told by [`Store::take_leadership`]. Of several at one file whoever starts one locks the data
/// folder first.
#[derive(Clone)]
pub struct Store {
    db: Db,
    /// Delays before the second and the third try of a task.
    retry_after: [Duration; 2],
    /// Verbs that write do so only as long as this term lasts.
    term: Option<Term>,
}

impl Store {
    /// Opens the database at `path`; makes it if it is missing, and brings an older one to the present form.
    ///
    /// # Errors
    /// The file cannot be read or written, is no database, or was written by a newer program.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::over(Db::open(path).await?))
    }

    /// Connects to a PostgreSQL, by a URL or by more, and brings its tables to the present form. From then on it need not
    /// be there: each verb fails with [`StoreError::is_unreachable`] while it is away, and works when it is back.
    ///
    /// # Errors
    /// The settings name no database, it cannot be reached, or a newer program has been there.
    pub async fn connect(settings: impl Into<PostgresSettings>) -> Result<Self, StoreError> {
        Ok(Self::over(Db::connect(&settings.into()).await?))
    }

    /// Opens the database at `path` to read it, and changes nothing, whoever else has it open; verbs that write fail.
    /// None if there is none, or one to which nothing was written yet.
    ///
    /// # Errors
    /// The file cannot be read, is no database, or was written by an older or a newer program.
    pub async fn look(path: &Path) -> Result<Option<Self>, StoreError> {
        Ok(Db::look(path).await?.map(Self::over))
    }

    /// A database that ends with the process, for tests.
    ///
    /// # Errors
    /// There is no memory for it.
    pub async fn in_memory() -> Result<Self, StoreError> {
        Ok(Self::over(Db::in_memory().await?))
    }

    fn over(db: Db) -> Self {
        Self { db, retry_after: [limits::SECOND_TRY_AFTER, limits::THIRD_TRY_AFTER], term: None }
    }

    /// The same Store with other delays before the second and the third try of a task.
    pub fn with_retry_after(self, retry_after: [Duration; 2]) -> Self {
        Self { retry_after, ..self }
    }

    /// Whether the database answers, within a few seconds.
    ///
    /// # Errors
    /// It does not, and why.
    pub async fn health(&self) -> Result<(), StoreError> {
        self.db.health().await
    }
}
