//! SQLite below the Store: a file, or memory, of one process.

use std::future::ready;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Connection as _, Transaction};

use super::{Arg, Row, STATEMENTS, forms};
use crate::store::StoreError;

/// How long a statement waits for another process that writes: `run` holds the store for milliseconds at a time, so
/// this is only reached when a disk hangs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Rows that an answer may be ahead of who asked: for each one more the database would wait until it is asked for.
const ROWS: usize = 1_000;

/// What a reading connection keeps of the file in memory, in the words of SQLite: so many KiB. All pages are in the
/// system's cache.
const READERS_KIB: &str = "-500";

/// Reading connections: for the loops and some people who look on.
const READERS: u32 = 4;

/// The time, in the form of [`Arg`].
pub(super) const CLOCK: &str = "select strftime('%Y-%m-%dT%H:%M:%fZ', 'now') as clock";

/// One connection writes, because SQLite has one writer at a time and waiting in a pool is fair; others read.
#[derive(Clone)]
pub(in crate::store) struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
}

pub(in crate::store) type SqliteTx = Transaction<'static, sqlx::Sqlite>;

impl Sqlite {
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A result is acked after its commit, so a commit must survive a power cut: NORMAL would not sync the log.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(STATEMENTS)
            .row_buffer_size(ROWS)
            .foreign_keys(true);
        let error = |source| StoreError::Open { path: path.to_owned(), source };
        // SQLite itself ends a transaction that the disk fails, and the driver still counts it as open: such a connection
        // begins no other one.
        let writer = pool(1).before_acquire(|connection, _| Box::pin(ready(Ok(!connection.is_in_transaction()))));
        let writer = writer.connect_with(options.clone()).await.map_err(error)?;
        forms::of_sqlite().run(&writer).await.map_err(StoreError::Migrate)?;
        let readers = pool(READERS).connect_lazy_with(options.pragma("cache_size", READERS_KIB));
        Ok(Self { writer, readers })
    }

    /// None if nothing was ever written to it.
    pub(super) async fn look(path: &Path) -> Result<Option<Self>, StoreError> {
        if !path.exists() {
            return Ok(None);
        }
        let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
        let readers = pool(READERS).connect_with(options).await;
        let readers = readers.map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        let db = Self { writer: readers.clone(), readers };
        let sql = "select name from sqlite_master where name = '_sqlx_migrations'";
        if db.rows("look into the store", sql, &[]).await?.is_empty() {
            return Ok(None);
        }
        let sql = "select coalesce(max(version), 0) as form from _sqlx_migrations";
        let rows = db.rows("read the store's form", sql, &[]).await?;
        match rows.first().map_or(Ok(0), |row| row.number("form"))? {
            0 => Ok(None),
            forms::FORM => Ok(Some(db)),
            form => Err(StoreError::OtherForm { form, ours: forms::FORM }),
        }
    }

    pub(super) async fn in_memory() -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
        let error = |source| StoreError::Open { path: ":memory:".into(), source };
        // The database lives in its connection, so there is one, for writing and reading, and it is never given up.
        let writer = pool(1).connect_with(options).await.map_err(error)?;
        forms::of_sqlite().run(&writer).await.map_err(StoreError::Migrate)?;
        Ok(Self { readers: writer.clone(), writer })
    }

    pub(super) async fn begin(&self) -> Result<SqliteTx, StoreError> {
        // Immediate: one that starts as a reader may find at its first write that another was faster.
        let begun = self.writer.begin_with("begin immediate").await;
        begun.map_err(|source| StoreError::Statement { what: "begin a transaction", source })
    }

    pub(super) async fn rows(
        &self,
        what: &'static str,
        sql: &'static str,
        args: &[Arg],
    ) -> Result<Vec<Row>, StoreError> {
        let connection = self.readers.acquire().await;
        rows(&mut *connection.map_err(|source| StoreError::Statement { what, source })?, what, sql, args).await
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

pub(super) async fn execute(
    connection: &mut SqliteConnection,
    what: &'static str,
    sql: &'static str,
    args: &[Arg],
) -> Result<u64, StoreError> {
    let done = bind(sql, args).execute(connection).await;
    done.map(|done| done.rows_affected()).map_err(|source| StoreError::Statement { what, source })
}

pub(super) async fn rows(
    connection: &mut SqliteConnection,
    what: &'static str,
    sql: &'static str,
    args: &[Arg],
) -> Result<Vec<Row>, StoreError> {
    let rows = bind(sql, args).fetch_all(connection).await;
    let rows = rows.map_err(|source| StoreError::Statement { what, source })?;
    Ok(rows.into_iter().map(Row::Sqlite).collect())
}

pub(super) async fn commit(tx: SqliteTx) -> Result<(), StoreError> {
    tx.commit().await.map_err(|source| StoreError::Statement { what: "commit a transaction", source })
}

fn bind<'q>(sql: &'static str, args: &[Arg]) -> sqlx::query::Query<'q, sqlx::Sqlite, SqliteArguments> {
    args.iter().fold(sqlx::query(sql), |query, arg| match arg {
        Arg::Text(text) => query.bind(text.clone()),
        Arg::Number(number) => query.bind(*number),
    })
}
