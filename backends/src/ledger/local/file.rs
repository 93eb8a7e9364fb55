//! The file below a local Ledger: SQL, and what becomes of a file that is not as it should be.

use std::ffi::OsString;
use std::future::ready;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proto::{Digest, Host, Repository};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::Mutex;

use super::memory::{Found, Told};
use super::unsaved::Unsaved;
use super::write::{self, Written};
use crate::ledger::BESIDE_MAX;
use crate::ledger::kept::Kept;

/// The form of the tables: `form.sql`, counted up with each change.
const FORM: i64 = 1;

/// How long a statement waits for another process: longer waiting would cost more than is known.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// What each connection keeps of the file in memory, in the words of SQLite: so many KiB.
const PAGES_KIB: &str = "-500";

/// Reading connections.
const READERS: u32 = 4;

/// A file that was opened.
pub(super) struct LedgerFile {
    path: PathBuf,
    /// One connection: SQLite has one writer at a time.
    writer: SqlitePool,
    readers: SqlitePool,
    /// Held while something is written, so that who waits for its turn finds all written that was noted before.
    written: Mutex<Written>,
    /// It is damaged, and was put aside.
    is_lost: AtomicBool,
    /// What was last tried did not succeed.
    is_failing: AtomicBool,
}

impl LedgerFile {
    /// Opens or begins a file; one that is damaged, of another form, or cannot be written is put aside first. None if
    /// there can be no file.
    pub(super) async fn open(path: &Path) -> Option<Self> {
        let began = Instant::now();
        let error = loop {
            match Self::try_open(path).await {
                Ok(file) => return Some(file),
                // Who begins or closes the file may refuse others without letting them wait
                // (<https://sqlite.org/wal.html>, section 9).
                Err(error) if has_code(&error, &[BUSY, LOCKED]) && began.elapsed() < BUSY_TIMEOUT => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => break error,
            }
        };
        let is_unfit = is_damage(&error) || has_code(&error, &[PERM, READONLY, CANTOPEN]);
        if is_unfit {
            put_aside(path);
            if let Ok(file) = Self::try_open(path).await {
                tracing::warn!(
                    path = %path.display(), %error,
                    "the ledger's file could not be used and was begun anew: this run asks registries more than the last"
                );
                return Some(file);
            }
        }
        tracing::warn!(
            path = %path.display(), %error,
            "the ledger's file cannot be used: what this run learns ends with it; see that the folder can be written"
        );
        None
    }

    async fn try_open(path: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).busy_timeout(BUSY_TIMEOUT);
        let mut connection = options.connect().await?;
        let begun = begin(&mut connection).await;
        // One that closes later would take the journal of the next file with it.
        connection.close().await?;
        begun?;
        // What a power cut takes is learned again. The pages are in the system's cache: more of our own would save
        // little.
        let options = options.synchronous(SqliteSynchronous::Off).pragma("cache_size", PAGES_KIB);
        // SQLite itself ends a transaction that the disk fails, and the driver still counts it as open: such a connection
        // begins no other one.
        let writer = pool(1).before_acquire(|connection, _| Box::pin(ready(Ok(!connection.is_in_transaction()))));
        let writer = writer.connect_lazy_with(options.clone());
        let readers = pool(READERS).connect_lazy_with(options);
        let written = Mutex::default();
        let [is_lost, is_failing] = [false, false].map(AtomicBool::new);
        Ok(Self { path: path.to_owned(), writer, readers, written, is_lost, is_failing })
    }

    /// Where each of these digests lies; nothing if the file cannot be read now.
    pub(super) async fn holders(&self, repository: &Repository, wanted: Vec<Digest>) -> Found {
        if self.is_lost() {
            return Found::default();
        }
        let found = read_holders(&self.readers, repository, wanted).await;
        self.judge("look up who holds content", found).await.unwrap_or_default()
    }

    /// The bytes of a manifest, as they were kept; unchecked.
    pub(super) async fn manifest(&self, digest: &Digest) -> Option<Kept> {
        if self.is_lost() {
            return None;
        }
        let sql = "select media_type, raw from manifests where digest = unhex($1)";
        let row = sqlx::query(sql).bind(digest.hex()).fetch_optional(&self.readers).await;
        let read = |row: sqlx::sqlite::SqliteRow| {
            Ok(Kept { media_type: row.try_get("media_type")?, raw: row.try_get::<Vec<u8>, _>("raw")?.into() })
        };
        let kept = row.and_then(|row| row.map(read).transpose());
        self.judge("read a manifest", kept).await.flatten()
    }

    pub(super) async fn learned(&self, registry: &Host) -> Option<String> {
        if self.is_lost() {
            return None;
        }
        let sql = "select learned from registries where host = $1 and learned is not null";
        let learned = sqlx::query_scalar(sql).bind(registry.as_str()).fetch_optional(&self.readers).await;
        self.judge("read what was learned of a registry", learned).await.flatten()
    }

    /// Takes what is unsaved, once it is its turn, and writes it in one transaction; what cannot be written is lost.
    pub(super) async fn write(&self, take: impl FnOnce() -> Unsaved) {
        let mut written = self.written.lock().await;
        let unsaved = take();
        if !unsaved.is_empty() && !self.is_lost() {
            let done = write::write(&self.writer, &unsaved, &mut written).await;
            self.judge("write what was noted", done).await;
        }
    }

    /// Forgets a manifest whose bytes are not what they should be.
    pub(super) async fn forget_manifest(&self, digest: &Digest) {
        let sql = sqlx::query("delete from manifests where digest = unhex($1)").bind(digest.hex());
        let done = sql.execute(&self.writer).await;
        self.judge("delete a manifest", done).await;
    }

    fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// What came of a statement. A damaged file is put aside, so that the next process begins anew.
    async fn judge<T>(&self, what: &'static str, result: Result<T, sqlx::Error>) -> Option<T> {
        let path = self.path.display();
        match result {
            Ok(value) => {
                self.is_failing.store(false, Ordering::Relaxed);
                return Some(value);
            }
            Err(error) if is_damage(&error) => {
                if !self.is_lost.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%path, %error, what, "the ledger's file is damaged: the next run begins a new one");
                    self.writer.close().await;
                    self.readers.close().await;
                    put_aside(&self.path);
                }
            }
            Err(error) => {
                // Said once, not with each of thousands of calls.
                if !self.is_lost() && !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%path, %error, what, "the ledger's file cannot be used now: registries are asked more");
                }
            }
        }
        None
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(BUSY_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Makes the tables of a new file; refuses one of another form.
async fn begin(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let start = "pragma journal_mode = wal; pragma synchronous = off; begin immediate";
    sqlx::raw_sql(start).execute(&mut *connection).await?;
    let form: i64 = sqlx::query_scalar("pragma user_version").fetch_one(&mut *connection).await?;
    let tables: i64 = sqlx::query_scalar("select count(*) from sqlite_master").fetch_one(&mut *connection).await?;
    match form {
        FORM => {}
        0 if tables == 0 => {
            sqlx::raw_sql(include_str!("form.sql")).execute(&mut *connection).await?;
            let sql = format!("pragma user_version = {FORM}");
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
        }
        other => return Err(sqlx::Error::Protocol(format!("it is of form {other}, and this program knows {FORM}"))),
    }
    sqlx::raw_sql("commit").execute(connection).await?;
    Ok(())
}

async fn read_holders(
    readers: &SqlitePool,
    repository: &Repository,
    wanted: Vec<Digest>,
) -> Result<Found, sqlx::Error> {
    let digests: Vec<_> = wanted.iter().map(Digest::hex).collect();
    let rows = sqlx::query(include_str!("holders.sql"))
        .bind(repository.host().as_str())
        .bind(repository.path())
        .bind(serde_json::Value::from(digests).to_string())
        // Room for some that memory knows to be gone.
        .bind(i64::try_from(2 * BESIDE_MAX).unwrap_or(i64::MAX))
        .fetch_all(readers)
        .await?;
    let (mut knows_repository, mut all) = (false, vec![Told::default(); wanted.len()]);
    for row in rows {
        let (place, path): (Option<i64>, Option<String>) = (row.try_get("place")?, row.try_get("path")?);
        let Some(place) = place else {
            knows_repository = true;
            continue;
        };
        let Some(told) = usize::try_from(place).ok().and_then(|place| all.get_mut(place)) else { continue };
        match path {
            None => told.here = true,
            Some(path) => told.beside.extend(Repository::new(repository.host().clone(), &path)),
        }
    }
    Ok(Found { knows_repository, told: wanted.into_iter().zip(all).collect() })
}

// Primary result codes (<https://sqlite.org/rescode.html>).
const ERROR: i32 = 1;
const PERM: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const CORRUPT: i32 = 11;
const CANTOPEN: i32 = 14;
const NOTADB: i32 = 26;

/// Whether the file is to blame, and not the machine or another process: it is not whole, has other tables (ERROR), or
/// other values.
fn is_damage(error: &sqlx::Error) -> bool {
    use sqlx::Error::{ColumnDecode, ColumnNotFound, Decode, Protocol, TypeNotFound};
    let is_other =
        matches!(error, ColumnDecode { .. } | ColumnNotFound(_) | Decode(_) | Protocol(_) | TypeNotFound { .. });
    is_other || has_code(error, &[ERROR, CORRUPT, NOTADB])
}

fn has_code(error: &sqlx::Error, codes: &[i32]) -> bool {
    let extended = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    extended.is_some_and(|extended| codes.contains(&(extended & 0xff)))
}

/// Takes a file out of the way. It is kept once, since it may be no file of ours.
fn put_aside(path: &Path) {
    let with = |end: &str| {
        let mut name = OsString::from(path);
        name.push(end);
        PathBuf::from(name)
    };
    // First the journals: they must never be applied to the next file.
    for end in ["-wal", "-shm", "-journal"] {
        std::fs::remove_file(with(end)).ok();
    }
    if std::fs::rename(path, with(".aside")).is_err() {
        std::fs::remove_file(path).ok();
    }
}
