//! PostgreSQL below the Store: a server that several coordinators share, and that may be away for a while.

use std::sync::Arc;
use std::time::Duration;
use std::{future::Future, io};

use sqlx::migrate::MigrateError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;

use super::settings::address;
use super::{Arg, PostgresSettings, Row, STATEMENTS, forms};
use crate::store::StoreError;

/// Sets of what a connection is bound by, whatever the server's own settings are.
///
/// A client that stands still in the midst of a transaction has the lock that all writers wait for: its session is
/// ended before those who wait give up. What it does not read is sent to it for no longer, either. A commit has
/// happened once it is on the disk. The statements are small, and compiling them would take longer than they do.
const SESSION: [(&str, &str); 7] = [
    ("idle_in_transaction_session_timeout", "8s"),
    ("lock_timeout", "10s"),
    ("statement_timeout", "10s"),
    ("tcp_user_timeout", "10s"),
    ("synchronous_commit", "on"),
    ("jit", "off"),
    ("client_min_messages", "warning"),
];

/// How long an answer is waited for: longer than the server tries. So only a server that stands still, or is away, meets
/// this limit.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);

/// How long a connection is waited for. Verbs are milliseconds, so a free one is never long in coming; a server that is
/// being started again may be.
const CONNECTION_WITHIN: Duration = Duration::from_secs(10);

/// The same, for a sign of life, and to learn why there is none.
const SIGN_OF_LIFE_WITHIN: Duration = Duration::from_secs(2);

/// How long bringing the tables to our form may take, and waiting for another process that does it.
const MIGRATION_WITHIN: Duration = Duration::from_secs(600);

/// Connections for verbs that write: one does, and the next one stands by while the first comes back to the pool.
const WRITERS: u32 = 2;

/// Connections for verbs that read: for the loops and some people who look on.
const READERS: u32 = 4;

/// A connection that was idle for longer is asked whether it is alive before it is used. One that died since then tells so
/// to its verb: the server was not away and back again in so short a time.
const ALIVE_FOR: Duration = Duration::from_millis(100);

/// A connection to be closed when nobody wanted it for so long: a firewall between may have forgotten it by then.
const IDLE_MAX: Duration = Duration::from_secs(60);

macro_rules! lock {
    () => {
        "select pg_advisory_xact_lock(7596551667214119283)"
    };
}

/// One writer at a time, as SQLite has it: each verb was thought through as if it were alone, from what it reads to what
/// it writes, and lasts milliseconds. So nothing is ever written by what another has changed meanwhile, and two that
/// write never wait for each other. The lock ends with the transaction, and its number is ours alone by convention.
///
/// Waiting for it is a statement of its own, and each statement after it sees all that is committed by then; it would not
/// if the transaction were repeatable, as the server may have it by default.
const BEGIN: &str = concat!("begin isolation level read committed; ", lock!());

/// Waits until nobody writes, and lets nobody else write until the end of the transaction.
const LOCK: &str = lock!();

/// The time, in the form of [`Arg`]; not the time at which the transaction began, which may have waited since.
pub(super) const CLOCK: &str =
    "select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') as clock";

#[derive(Clone)]
pub(in crate::store) struct Postgres {
    writers: PgPool,
    readers: PgPool,
}

impl Postgres {
    pub(super) async fn connect(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let options = settings.options()?.options(SESSION).statement_cache_capacity(STATEMENTS);
        migrate(&options).await?;
        Ok(Self { writers: pool(WRITERS, &options), readers: pool(READERS, &options) })
    }

    pub(super) async fn begin(&self) -> Result<PostgresTx, StoreError> {
        let what = "begin a transaction";
        let mut link = Link::from(&self.writers, what, CONNECTION_WITHIN).await?;
        let Link { connection, options, .. } = &mut link;
        answered(what, options, ANSWER_WITHIN, sqlx::raw_sql(BEGIN).execute(&mut **connection)).await?;
        Ok(PostgresTx(link))
    }

    pub(super) async fn rows(
        &self,
        what: &'static str,
        sql: &'static str,
        args: &[Arg],
    ) -> Result<Vec<Row>, StoreError> {
        let mut link = Link::from(&self.readers, what, CONNECTION_WITHIN).await?;
        let rows = link.rows(what, sql, args).await?;
        link.is_at_rest = true;
        Ok(rows)
    }

    pub(super) async fn health(&self) -> Result<(), StoreError> {
        let what = "ask for a sign of life";
        let mut link = Link::from(&self.readers, what, SIGN_OF_LIFE_WITHIN).await?;
        let Link { connection, options, .. } = &mut link;
        answered(what, options, SIGN_OF_LIFE_WITHIN, sqlx::raw_sql("select 'alive'").execute(&mut **connection))
            .await?;
        link.is_at_rest = true;
        Ok(())
    }
}

fn pool(connections: u32, options: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(CONNECTION_WITHIN)
        .idle_timeout(IDLE_MAX)
        .test_before_acquire(false)
        .before_acquire(|connection, seen| {
            Box::pin(async move {
                if seen.idle_for > ALIVE_FOR {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options.clone())
}

async fn migrate(options: &PgConnectOptions) -> Result<(), StoreError> {
    let what = "bring the tables to the form that this program reads";
    // Changing all rows of a table may take its time.
    let patient = pool(1, &options.clone().options([("statement_timeout", "0"), ("lock_timeout", "60s")]));
    Link::from(&patient, what, CONNECTION_WITHIN).await?.is_at_rest = true;
    let migrated = timeout(MIGRATION_WITHIN, forms::of_postgres(LOCK).run(&patient)).await;
    // The server notices anyhow.
    drop(timeout(SIGN_OF_LIFE_WITHIN, patient.close()).await);
    match migrated.unwrap_or_else(|_| Err(MigrateError::Execute(no_answer(MIGRATION_WITHIN)))) {
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) if is_outage(&error) => {
            Err(unreachable(what, options, error))
        }
        done => done.map_err(StoreError::Migrate),
    }
}

/// A transaction that waited for all others that write. Dropped without a commit, it ends with its connection: the server
/// then undoes it, whatever was under way.
pub(in crate::store) struct PostgresTx(Link);

impl PostgresTx {
    pub(super) async fn execute(
        &mut self,
        what: &'static str,
        sql: &'static str,
        args: &[Arg],
    ) -> Result<u64, StoreError> {
        let Link { connection, options, .. } = &mut self.0;
        let done = answered(what, options, ANSWER_WITHIN, bind(sql, args).execute(&mut **connection)).await?;
        Ok(done.rows_affected())
    }

    pub(super) async fn rows(
        &mut self,
        what: &'static str,
        sql: &'static str,
        args: &[Arg],
    ) -> Result<Vec<Row>, StoreError> {
        self.0.rows(what, sql, args).await
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let Link { connection, options, .. } = &mut self.0;
        let commit = sqlx::raw_sql("commit").execute(&mut **connection);
        answered("commit a transaction", options, ANSWER_WITHIN, commit).await?;
        self.0.is_at_rest = true;
        Ok(())
    }
}

/// A connection of a pool. It goes back only if nothing is under way on it: what was begun and not waited for, or never
/// answered, ends with it.
struct Link {
    connection: PoolConnection<sqlx::Postgres>,
    options: Arc<PgConnectOptions>,
    is_at_rest: bool,
}

impl Link {
    async fn from(pool: &PgPool, what: &'static str, within: Duration) -> Result<Self, StoreError> {
        let options = pool.connect_options();
        let error = match timeout(within, pool.acquire()).await {
            Ok(Ok(connection)) => return Ok(Self { connection, options, is_at_rest: false }),
            // The pool goes on trying until then, and does not tell what it meets.
            Err(_) | Ok(Err(sqlx::Error::PoolTimedOut)) => why_none(&options).await,
            Ok(Err(error)) => error,
        };
        Err(unreachable(what, &options, error))
    }

    async fn rows(&mut self, what: &'static str, sql: &'static str, args: &[Arg]) -> Result<Vec<Row>, StoreError> {
        let Self { connection, options, .. } = self;
        let rows = answered(what, options, ANSWER_WITHIN, bind(sql, args).fetch_all(&mut **connection)).await?;
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.is_at_rest {
            self.connection.close_on_drop();
        }
    }
}

/// Why a pool has no connection to give.
async fn why_none(options: &PgConnectOptions) -> sqlx::Error {
    match timeout(SIGN_OF_LIFE_WITHIN, options.connect()).await {
        Ok(Ok(_)) => sqlx::Error::PoolTimedOut,
        Ok(Err(error)) => error,
        Err(_) => no_answer(SIGN_OF_LIFE_WITHIN),
    }
}

/// What the server says to something; it may not take longer than `within`.
async fn answered<T>(
    what: &'static str,
    options: &PgConnectOptions,
    within: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, StoreError> {
    let answer = timeout(within, work).await.unwrap_or_else(|_| Err(no_answer(within)));
    answer.map_err(|error| {
        if is_outage(&error) {
            unreachable(what, options, error)
        } else {
            StoreError::Statement { what, source: error }
        }
    })
}

fn no_answer(within: Duration) -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", within.as_secs())).into()
}

fn unreachable(what: &'static str, options: &PgConnectOptions, source: sqlx::Error) -> StoreError {
    StoreError::Unreachable { what, address: address(options), source }
}

/// Classes of SQL states, and single ones, that tell of the server and not of the statement: away, starting or stopping, or
/// short of something; too slow for our limits; not the one that writes any more; no such database yet.
const OUTAGES: [&str; 9] = ["08", "53", "57", "58", "25P03", "25006", "55P03", "40P01", "3D000"];

fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| OUTAGES.iter().any(|outage| code.starts_with(outage)))
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

fn bind<'q>(sql: &'static str, args: &[Arg]) -> sqlx::query::Query<'q, sqlx::Postgres, PgArguments> {
    args.iter().fold(sqlx::query(sql), |query, arg| match arg {
        // The one character that its text cannot hold: what a registry said to a worker may have it.
        Arg::Text(Some(text)) => query.bind(text.replace('\0', "\u{fffd}")),
        Arg::Text(None) => query.bind(None::<String>),
        Arg::Number(number) => query.bind(*number),
    })
}
