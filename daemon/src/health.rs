//! What a process answers about itself over HTTP: that it lives, whether it is ready, and its numbers.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// How long whoever is asked may take: less than a probe waits.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Something that is asked each time somebody asks us.
type Ask = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// What a process answers about itself: `/healthz`, `/readyz` and `/metrics`.
pub struct Health {
    metrics: Arc<Metrics>,
    drain: CancellationToken,
    dependencies: Vec<Dependency>,
    measures: Vec<Ask>,
    /// Held by whoever measures: what others counted is taken over once.
    measuring: Mutex<()>,
}

/// Something without which a process can do nothing.
struct Dependency {
    name: &'static str,
    address: String,
    check: Ask,
    /// Whether it was missed when it was last asked.
    is_missed: AtomicBool,
}

impl Health {
    /// Of a process that counts in `metrics`, depends on nothing yet, and is not ready once `shutdown` drains.
    pub fn new(metrics: Arc<Metrics>, shutdown: &Shutdown) -> Self {
        let drain = shutdown.drain.clone();
        Self { metrics, drain, dependencies: Vec::new(), measures: Vec::new(), measuring: Mutex::default() }
    }

    /// The same, ready only while `check` finds no fault. `address` is where it lies, without passwords: it is shown.
    #[must_use]
    pub fn depends_on<F>(
        mut self,
        name: &'static str,
        address: impl Into<String>,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let check: Ask = Box::new(move || Box::pin(check()));
        self.dependencies.push(Dependency { name, address: address.into(), check, is_missed: AtomicBool::new(false) });
        self
    }

    /// The same, with `measure` brought up to date before each look at the metrics.
    #[must_use]
    pub fn measuring<F>(mut self, measure: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.measures.push(Box::new(move || Box::pin(measure())));
        self
    }

    /// The routes, to be merged with others or served alone.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(Arc::new(self))
    }

    /// Serves the routes at `address`, as in `0.0.0.0:8080`, until what this gives is dropped: while the process drains
    /// too. Port 0 is any that is free; the log says which.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn listen(self, address: &str) -> io::Result<Listening> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        tracing::info!(%address, "listening on http://{address}");
        let serve = axum::serve(listener, self.router());
        // It ends with the handle, and by nothing else.
        let server = AbortOnDropHandle::new(tokio::spawn(async move { drop(serve.await) }));
        Ok(Listening { address, _server: server })
    }

    /// A line for each dependency that does not answer as it should, and for the end of the process.
    async fn missed(&self) -> Vec<String> {
        let asked = join_all(self.dependencies.iter().map(Dependency::missed)).await;
        let mut missed: Vec<_> = asked.into_iter().flatten().collect();
        if self.drain.is_cancelled() {
            missed.push("draining: this process takes nothing new".to_owned());
        }
        for dependency in &self.dependencies {
            let is_up = !dependency.is_missed.load(Ordering::Relaxed);
            self.metrics.up.set(f64::from(u8::from(is_up)), [dependency.name]);
        }
        missed
    }
}

impl Dependency {
    /// What is wrong with it. Its coming and going is told once.
    async fn missed(&self) -> Option<String> {
        let (name, address) = (self.name, &self.address);
        let fault = bounded((self.check)()).await.err().map(|fault| format!("{name} {address}: {fault}"));
        let was_missed = self.is_missed.swap(fault.is_some(), Ordering::Relaxed);
        match &fault {
            Some(fault) if !was_missed => tracing::warn!(dependency = name, "not ready: {fault}"),
            None if was_missed => tracing::info!(dependency = name, "{name} {address} answers again"),
            _ => {}
        }
        fault
    }
}

async fn bounded(asked: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let late = |_| Err(format!("no answer within {} s", ANSWER_WITHIN.as_secs_f64()));
    timeout(ANSWER_WITHIN, asked).await.unwrap_or_else(late)
}

async fn readyz(State(health): State<Arc<Health>>) -> Response {
    let missed = health.missed().await;
    if missed.is_empty() {
        return "ready\n".into_response();
    }
    let lines = missed.iter().fold(String::new(), |mut lines, line| {
        // A cause of several lines would look like several causes.
        let _ = writeln!(lines, "{}", line.replace('\n', " "));
        lines
    });
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    let _measuring = health.measuring.lock().await;
    let measured = join_all(health.measures.iter().map(|measure| bounded(measure())));
    let (_, measured) = tokio::join!(health.missed(), measured);
    for fault in measured.into_iter().filter_map(Result::err) {
        tracing::debug!("some metrics are as they were: {fault}");
    }
    match health.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// A server that answers until this is dropped.
#[derive(Debug)]
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    _server: AbortOnDropHandle<()>,
}
