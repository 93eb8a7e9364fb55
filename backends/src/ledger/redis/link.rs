//! The connection to a Redis: made when it is needed and again when it broke; what takes long is not waited for.
//!
//! The driver's own manager is not used: callers wait in it while it connects, however long that takes, and once the
//! server refused it (a wrong password, a server that still loads its data) it never tries again.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError,
    RedisResult, ScriptInvocation, ServerErrorKind, TlsCertificates,
};
use tokio::time::{Instant, timeout};

use super::RedisSettings;

/// How long anything takes at most, connecting included.
const LIMIT: Duration = Duration::from_secs(1);

/// After a failure nothing is asked for so long: thousands of calls would each wait for the limit.
const PAUSE: Duration = Duration::from_millis(500);

/// How often it is told that the server refuses what it is asked.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// A connection that is there, or will be.
pub(super) struct Link {
    settings: RedisSettings,
    /// Host and port, for people.
    address: String,
    state: Mutex<State>,
    /// Held by the one that connects, for all who wait.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// Connections so far: what fails on an old one says nothing of the next.
    count: u64,
    outage: Option<Outage>,
    /// When it was last told that the server refuses something.
    told: Option<Instant>,
}

struct Outage {
    cause: String,
    /// Nobody tries before; then one does, for all.
    until: Instant,
}

impl Link {
    /// Connects to nothing yet.
    pub(super) fn new(settings: RedisSettings) -> Self {
        let address = match info(&settings) {
            Ok(info) => info.addr().to_string(),
            // What is no URL may hold a password all the same.
            Err(_) => "an address that cannot be read".to_owned(),
        };
        Self { settings, address, state: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    /// What the commands of `asked` give; none if that cannot be told.
    pub(super) async fn ask<T: FromRedisValue>(&self, asked: &Pipeline) -> Option<T> {
        self.within(LIMIT, |mut connection| async move { asked.query_async(&mut connection).await }).await
    }

    /// What a script gives; none if that cannot be told.
    pub(super) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Option<T> {
        self.within(LIMIT, |mut connection| async move { script.invoke_async(&mut connection).await }).await
    }

    /// Whether the server answers; an error is a sentence with its address and what is wrong.
    pub(super) async fn health(&self) -> Result<(), String> {
        let mut ping = redis::pipe();
        ping.cmd("PING").ignore();
        match self.ask::<()>(&ping).await {
            Some(()) => Ok(()),
            None => {
                let cause = self.state().outage.as_ref().map(|outage| outage.cause.clone());
                let cause = cause.unwrap_or_else(|| "it refused a `PING`".to_owned());
                Err(format!("the ledger at `{}` cannot be asked: {cause}", self.address))
            }
        }
    }

    async fn within<T, F>(&self, limit: Duration, ask: impl FnOnce(MultiplexedConnection) -> F) -> Option<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let tried = AtomicU64::new(self.begin(limit)?);
        let asked = async {
            let (count, connection) = self.connection().await?;
            tried.store(count, Ordering::Relaxed);
            ask(connection).await
        };
        let answer = timeout(limit, asked).await;
        let tried = tried.into_inner();
        match answer {
            Ok(Ok(value)) => {
                self.note_answer();
                Some(value)
            }
            Ok(Err(error)) if is_refusal(&error) => {
                self.note_answer();
                self.note_refusal(&error);
                None
            }
            Ok(Err(error)) => self.note_outage(tried, error.to_string()),
            Err(_) => self.note_outage(tried, format!("it does not answer within {} ms", limit.as_millis())),
        }
    }

    /// The connections so far, if something may be asked now.
    fn begin(&self, limit: Duration) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(outage) = &mut state.outage {
            if now < outage.until {
                return None;
            }
            outage.until = now + limit;
        }
        Some(state.count)
    }

    async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let there = || {
            let state = self.state();
            state.connection.clone().map(|connection| (state.count, connection))
        };
        if let Some(there) = there() {
            return Ok(there);
        }
        let _turn = self.connecting.lock().await;
        if let Some(there) = there() {
            return Ok(there);
        }
        let connection = connect(&self.settings).await?;
        let mut state = self.state();
        state.count += 1;
        state.connection = Some(connection.clone());
        Ok((state.count, connection))
    }

    fn note_answer(&self) {
        if self.state().outage.take().is_some() {
            tracing::info!(address = %self.address, "the ledger is there again");
        }
    }

    /// Takes note that the connection `tried`, or the way to the next one, is of no use.
    fn note_outage<T>(&self, tried: u64, cause: String) -> Option<T> {
        let mut state = self.state();
        if state.count != tried {
            return None;
        }
        state.connection = None;
        if state.outage.is_none() {
            tracing::warn!(
                address = %self.address, %cause,
                "the ledger cannot be reached: until it is there again, registries are asked more, and nothing is shared"
            );
        }
        state.outage = Some(Outage { cause, until: Instant::now() + PAUSE });
        None
    }

    fn note_refusal(&self, error: &RedisError) {
        let now = Instant::now();
        let told = &mut self.state().told;
        if told.is_none_or(|told| told + TOLD_EVERY <= now) {
            *told = Some(now);
            let address = &self.address;
            tracing::warn!(%address, %error, "the ledger refuses what it is asked: registries are asked more");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where it is and who asks.
fn info(settings: &RedisSettings) -> RedisResult<ConnectionInfo> {
    let info = settings.url.as_str().into_connection_info()?;
    Ok(match &settings.password {
        Some(password) => {
            let redis = info.redis_settings().clone().set_password(password);
            info.set_redis_settings(redis)
        }
        None => info,
    })
}

async fn connect(settings: &RedisSettings) -> RedisResult<MultiplexedConnection> {
    let info = info(settings)?;
    let client = match &settings.ca_file {
        Some(path) => {
            let unread = |error| RedisError::from((ErrorKind::InvalidClientConfig, "its certificates", error));
            let pem = tokio::fs::read(path).await;
            let pem = pem.map_err(|error| unread(format!("read `{}`: {error}", path.display())))?;
            Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(pem) })?
        }
        None => Client::open(info)?,
    };
    // Whoever asks has a limit, and what takes longer takes the connection with it.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Whether it was answered: that the server does not do this, and not that it is of no use.
fn is_refusal(error: &RedisError) -> bool {
    use ServerErrorKind::{CrossSlot, ExecAbort, NoPerm, NoScript, ResponseError};
    match error.kind() {
        ErrorKind::Server(kind) => matches!(kind, CrossSlot | ExecAbort | NoPerm | NoScript | ResponseError),
        ErrorKind::Extension | ErrorKind::UnexpectedReturnType => true,
        _ => false,
    }
}
