//! The database below the Store: connections, transactions, statements and rows, as text and whole numbers.
//!
//! Only here it is known which database runs: all other files hold one SQL text, with `$1` placeholders, and `?` beside a
//! chunk.
//!
//! # Layout
//!
//! - `sqlite`, `postgres`: each database's connections and its ways
//! - `settings`: where a PostgreSQL is
//! - `forms`: the form of the tables, and how older ones are brought to it
//! - `arg`, `row`: values for placeholders, and rows of answers

mod arg;
mod forms;
mod postgres;
mod row;
mod settings;
mod sqlite;

use std::path::Path;

use jiff::Timestamp;

use super::StoreError;
use postgres::{Postgres, PostgresTx};
use sqlite::{Sqlite, SqliteTx};

pub(super) use arg::{Arg, to_json};
pub(super) use row::Row;
pub use settings::PostgresSettings;

/// A database of which clones share the connections.
#[derive(Clone)]
pub(super) enum Db {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// How a statement with chunks writes its placeholders.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Placeholders {
    /// `?` each, told apart by their order: of numbered ones SQLite would look for each among all of them.
    Bare,
    /// `$1` and on, because PostgreSQL has no others.
    Numbered,
}

impl Db {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::Sqlite(Sqlite::open(path).await?))
    }

    /// None if nothing was ever written to it.
    pub(super) async fn look(path: &Path) -> Result<Option<Self>, StoreError> {
        Ok(Sqlite::look(path).await?.map(Self::Sqlite))
    }

    pub(super) async fn in_memory() -> Result<Self, StoreError> {
        Ok(Self::Sqlite(Sqlite::in_memory().await?))
    }

    pub(super) async fn connect(settings: &PostgresSettings) -> Result<Self, StoreError> {
        Ok(Self::Postgres(Postgres::connect(settings).await?))
    }

    /// Begins a transaction that reads and writes; dropped without [`Tx::commit`], it changes nothing. It waits until no
    /// other one writes, and each of its statements sees all that was committed.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite(db) => Ok(Tx::Sqlite(db.begin().await?)),
            // In a box, as all that asks PostgreSQL: a future that holds another one is as large as both.
            Self::Postgres(db) => Ok(Tx::Postgres(Box::pin(db.begin()).await?)),
        }
    }

    /// Rows, outside of any transaction.
    pub(super) async fn rows(
        &self,
        what: &'static str,
        sql: &'static str,
        args: &[Arg],
    ) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(db) => db.rows(what, sql, args).await,
            Self::Postgres(db) => Box::pin(db.rows(what, sql, args)).await,
        }
    }

    /// Whether it answers, in a few seconds.
    pub(super) async fn health(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(db) => db.rows("ask for a sign of life", "select 'alive'", &[]).await.map(drop),
            Self::Postgres(db) => db.health().await,
        }
    }

    pub(super) fn placeholders(&self) -> Placeholders {
        match self {
            Self::Sqlite(_) => Placeholders::Bare,
            Self::Postgres(_) => Placeholders::Numbered,
        }
    }
}

/// A transaction.
pub(super) enum Tx {
    Sqlite(SqliteTx),
    Postgres(PostgresTx),
}

impl Tx {
    /// Executes a statement; says how many rows it changed.
    pub(super) async fn execute(
        &mut self,
        what: &'static str,
        sql: &'static str,
        args: &[Arg],
    ) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(tx) => sqlite::execute(tx, what, sql, args).await,
            Self::Postgres(tx) => Box::pin(tx.execute(what, sql, args)).await,
        }
    }

    /// Rows as this transaction sees them.
    pub(super) async fn rows(
        &mut self,
        what: &'static str,
        sql: &'static str,
        args: &[Arg],
    ) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(tx) => sqlite::rows(tx, what, sql, args).await,
            Self::Postgres(tx) => Box::pin(tx.rows(what, sql, args)).await,
        }
    }

    /// The first row, if there is one.
    pub(super) async fn row(
        &mut self,
        what: &'static str,
        sql: &'static str,
        args: &[Arg],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(what, sql, args).await?.into_iter().next())
    }

    /// The time by the database's clock, which is one for all who use it.
    pub(super) async fn clock(&mut self) -> Result<Timestamp, StoreError> {
        let sql = match self {
            Self::Sqlite(_) => sqlite::CLOCK,
            Self::Postgres(_) => postgres::CLOCK,
        };
        let row = self.row("ask for the database's time", sql, &[]).await?;
        row.map_or(Err(StoreError::Corrupt { column: "clock", text: String::new() }), |row| row.parse("clock"))
    }

    /// Makes all of it true at once, and lasting.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => sqlite::commit(tx).await,
            Self::Postgres(tx) => tx.commit().await,
        }
    }

    pub(super) fn placeholders(&self) -> Placeholders {
        match self {
            Self::Sqlite(_) => Placeholders::Bare,
            Self::Postgres(_) => Placeholders::Numbered,
        }
    }
}

/// Statements that a connection keeps prepared: all that there are, for chunks of each size.
const STATEMENTS: usize = 250;
