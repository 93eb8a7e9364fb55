//! The database below the Store: connections, transactions, statements and rows, as text and whole numbers.
//!
//! Only this file knows which database runs: all others hold SQL text with `$1` placeholders, and `?` beside a chunk.

use std::future::ready;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Connection as _, Row as _, SqlStr, Transaction};

use super::StoreError;

/// How long a statement waits for another process that writes: `run` holds the store for milliseconds at a time, so
/// this is only reached when a disk hangs.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Statements that a connection keeps prepared: all that there are, for chunks of each size.
const STATEMENTS: usize = 250;

/// Rows that an answer may be ahead of who asked: for each one more the database would wait until it is asked for.
const ROWS: usize = 1_000;

/// What a reading connection keeps of the file in memory, in the words of SQLite: so many KiB. All pages are in the
/// system's cache.
const READERS_KIB: &str = "-500";

/// Reading connections: for the loops and some people who look on.
const READERS: u32 = 4;

#[derive(Clone)]
pub(super) enum Db {
    /// One connection writes, because SQLite has one writer at a time and waiting in a pool is fair; others read.
    Sqlite { writer: SqlitePool, readers: SqlitePool },
}

impl Db {
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
        migrate(&writer).await?;
        let readers = pool(READERS).connect_lazy_with(options.pragma("cache_size", READERS_KIB));
        Ok(Self::Sqlite { writer, readers })
    }

    /// None if nothing was ever written to it.
    pub(super) async fn look(path: &Path) -> Result<Option<Self>, StoreError> {
        if !path.exists() {
            return Ok(None);
        }
        let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
        let readers = pool(READERS).connect_with(options).await;
        let readers = readers.map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        let db = Self::Sqlite { writer: readers.clone(), readers };
        let sql = "select name from sqlite_master where name = '_sqlx_migrations'";
        if db.rows("look into the store", sql, &[]).await?.is_empty() {
            return Ok(None);
        }
        let sql = "select coalesce(max(version), 0) as form from _sqlx_migrations";
        let rows = db.rows("read the store's form", sql, &[]).await?;
        match rows.first().map_or(Ok(0), |row| row.number("form"))? {
            0 => Ok(None),
            FORM => Ok(Some(db)),
            form => Err(StoreError::OtherForm { form, ours: FORM }),
        }
    }

    pub(super) async fn in_memory() -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
        let error = |source| StoreError::Open { path: ":memory:".into(), source };
        // The database lives in its connection, so there is one, for writing and reading, and it is never given up.
        let writer = pool(1).connect_with(options).await.map_err(error)?;
        migrate(&writer).await?;
        Ok(Self::Sqlite { readers: writer.clone(), writer })
    }

    /// Begins a transaction that reads and writes; dropped without [`Tx::commit`], it changes nothing.
    pub(super) async fn begin(&self) -> Result<Tx, StoreError> {
        let Self::Sqlite { writer, .. } = self;
        // Immediate: one that starts as a reader may find at its first write that another was faster.
        let begun = writer.begin_with("begin immediate").await;
        begun.map(Tx::Sqlite).map_err(|source| StoreError::Statement { what: "begin a transaction", source })
    }

    /// Rows, outside of any transaction.
    pub(super) async fn rows(
        &self,
        what: &'static str,
        sql: &'static str,
        args: &[Arg],
    ) -> Result<Vec<Row>, StoreError> {
        let Self::Sqlite { readers, .. } = self;
        let mut connection = readers.acquire().await.map_err(|source| StoreError::Statement { what, source })?;
        rows(&mut connection, what, sql, args).await
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// The form of the tables: the number of the last migration.
const FORM: i64 = 3;

async fn migrate(pool: &SqlitePool) -> Result<(), StoreError> {
    let migration = |form, name: &'static str, sql| {
        Migration::new(form, name.into(), MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    let migrations = vec![
        migration(1, "first", include_str!("migrations/1_first.sql")),
        migration(2, "listings", include_str!("migrations/2_listings.sql")),
        migration(FORM, "turns", include_str!("migrations/3_turns.sql")),
    ];
    Migrator::with_migrations(migrations).run(pool).await.map_err(StoreError::Migrate)
}

/// A transaction.
pub(super) enum Tx {
    Sqlite(Transaction<'static, sqlx::Sqlite>),
}

impl Tx {
    /// Executes a statement; says how many rows it changed.
    pub(super) async fn execute(
        &mut self,
        what: &'static str,
        sql: &'static str,
        args: &[Arg],
    ) -> Result<u64, StoreError> {
        let Self::Sqlite(transaction) = self;
        let done = bind(sql, args).execute(&mut **transaction).await;
        done.map(|done| done.rows_affected()).map_err(|source| StoreError::Statement { what, source })
    }

    /// Rows as this transaction sees them.
    pub(super) async fn rows(
        &mut self,
        what: &'static str,
        sql: &'static str,
        args: &[Arg],
    ) -> Result<Vec<Row>, StoreError> {
        let Self::Sqlite(transaction) = self;
        rows(transaction, what, sql, args).await
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

    /// Makes all of it true at once, and lasting.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        let Self::Sqlite(transaction) = self;
        transaction.commit().await.map_err(|source| StoreError::Statement { what: "commit a transaction", source })
    }
}

async fn rows(
    connection: &mut SqliteConnection,
    what: &'static str,
    sql: &'static str,
    args: &[Arg],
) -> Result<Vec<Row>, StoreError> {
    let rows = bind(sql, args).fetch_all(connection).await;
    let rows = rows.map_err(|source| StoreError::Statement { what, source })?;
    Ok(rows.into_iter().map(Row::Sqlite).collect())
}

fn bind<'q>(sql: &'static str, args: &[Arg]) -> sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    args.iter().fold(sqlx::query(sql), |query, arg| match arg {
        Arg::Text(text) => query.bind(text.clone()),
        Arg::Number(number) => query.bind(*number),
    })
}

/// A value for a placeholder.
#[derive(Clone)]
pub(super) enum Arg {
    /// Text, or null.
    Text(Option<String>),
    /// A whole number, or null.
    Number(Option<i64>),
}

impl Arg {
    /// Null in a column of the same kind.
    pub(super) fn null(&self) -> Self {
        match self {
            Self::Text(_) => Self::Text(None),
            Self::Number(_) => Self::Number(None),
        }
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<&str>> for Arg {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Arg {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Arg {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        i64::from(number).into()
    }
}

impl From<usize> for Arg {
    fn from(number: usize) -> Self {
        i64::try_from(number).unwrap_or(i64::MAX).into()
    }
}

impl From<bool> for Arg {
    fn from(flag: bool) -> Self {
        i64::from(flag).into()
    }
}

impl From<Timestamp> for Arg {
    fn from(time: Timestamp) -> Self {
        // Always six decimals, so that texts sort as the times do.
        Self::Text(Some(format!("{time:.6}")))
    }
}

impl From<Option<Timestamp>> for Arg {
    fn from(time: Option<Timestamp>) -> Self {
        time.map_or(Self::Text(None), Self::from)
    }
}

macro_rules! id_args {
    ($($id:ty),+) => {$(
        impl From<$id> for Arg {
            fn from(id: $id) -> Self {
                Self::Text(Some(id.to_string()))
            }
        }
    )+};
}

id_args!(proto::RunId, proto::TaskId);

/// A row of an answer.
pub(super) enum Row {
    Sqlite(SqliteRow),
}

impl Row {
    pub(super) fn opt_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        let Self::Sqlite(row) = self;
        row.try_get(column).map_err(|source| StoreError::Statement { what: column, source })
    }

    pub(super) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        let Self::Sqlite(row) = self;
        row.try_get(column).map_err(|source| StoreError::Statement { what: column, source })
    }

    pub(super) fn number<N: TryFrom<i64>>(&self, column: &'static str) -> Result<N, StoreError> {
        let Self::Sqlite(row) = self;
        let number: i64 = row.try_get(column).map_err(|source| StoreError::Statement { what: column, source })?;
        N::try_from(number).map_err(|_| StoreError::Corrupt { column, text: number.to_string() })
    }

    /// The same, where it may be missing.
    pub(super) fn opt_number<N: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<N>, StoreError> {
        let Self::Sqlite(row) = self;
        let number: Option<i64> =
            row.try_get(column).map_err(|source| StoreError::Statement { what: column, source })?;
        let convert =
            |number| N::try_from(number).map_err(|_| StoreError::Corrupt { column, text: number.to_string() });
        number.map(convert).transpose()
    }

    pub(super) fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        Ok(self.number::<i64>(column)? != 0)
    }

    /// A value that is kept as its text form.
    pub(super) fn parse<T: FromStr>(&self, column: &'static str) -> Result<T, StoreError> {
        let text = self.text(column)?;
        text.parse().map_err(|_| StoreError::Corrupt { column, text })
    }

    /// The same, where it may be missing.
    pub(super) fn opt_parse<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let parse = |text: String| text.parse().map_err(|_| StoreError::Corrupt { column, text });
        self.opt_text(column)?.map(parse).transpose()
    }

    /// A value that is kept as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|_| StoreError::Corrupt { column, text })
    }

    /// The same, where it may be missing.
    pub(super) fn opt_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let parse = |text: String| serde_json::from_str(&text).map_err(|_| StoreError::Corrupt { column, text });
        self.opt_text(column)?.map(parse).transpose()
    }
}

/// A value as it is kept.
#[expect(clippy::expect_used, reason = "our values are plain structs with text keys, which JSON can always hold")]
pub(super) fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a plain struct as JSON")
}
