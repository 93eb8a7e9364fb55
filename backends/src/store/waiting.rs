//! What an open run waits for: tries that failed and come again, and what was deferred.

use jiff::Timestamp;
use proto::{Failure, Location, RunId, TaskId};

use super::chunks::Question;
use super::db::Row;
use super::{Store, StoreError};

/// A destination that is tried again later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The image.
    pub source: String,
    /// The destination.
    pub location: Location,
    /// How many tries have failed; deferrals are none.
    pub tries: u32,
    /// Whether somebody else named the time.
    pub is_deferred: bool,
    /// When it is due.
    pub not_before: Timestamp,
    /// Why it waits: what the last attempt came back with.
    pub failure: Failure,
}

/// Reads destinations that wait, of the tasks for which a condition holds, in an order.
macro_rules! select_waiting {
    ($condition:literal, $order:literal) => {
        concat!(
            "select tasks.source, tasks.tries, destinations.target, destinations.deferred,
                 destinations.not_before, destinations.failure
             from tasks join destinations on destinations.task = tasks.id
             where tasks.state = 'ready' and destinations.outcome is null and destinations.failure is not null and ",
            $condition,
            " order by ",
            $order
        )
    };
}

impl Store {
    /// What an open run waits for, what is due first at the front. What is with the workers again is not among it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn waiting(&self, run: RunId) -> Result<Vec<Waiting>, StoreError> {
        let sql = select_waiting!("tasks.run = $1", "destinations.not_before, tasks.source, destinations.position");
        let rows = self.db.rows("list what waits", sql, &[run.into()]).await?;
        rows.iter().map(read_waiting).collect()
    }

    /// The same, of some tasks.
    ///
    /// # Errors
    /// The database failed.
    pub async fn waiting_of(&self, tasks: &[TaskId]) -> Result<Vec<Waiting>, StoreError> {
        static SQL: Question = Question::new(select_waiting!("tasks.id in (CHUNK)", "tasks.id, destinations.position"));
        let names: Vec<String> = tasks.iter().map(ToString::to_string).collect();
        let rows = self.db.ask("read what tasks wait for", &SQL, &names).await?;
        rows.iter().map(read_waiting).collect()
    }
}

fn read_waiting(row: &Row) -> Result<Waiting, StoreError> {
    Ok(Waiting {
        source: row.text("source")?,
        location: row.parse("target")?,
        tries: row.number("tries")?,
        is_deferred: row.flag("deferred")?,
        not_before: row.parse("not_before")?,
        failure: row.json("failure")?,
    })
}
