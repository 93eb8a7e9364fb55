//! Turns signals into a wish to drain and an order to stop.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The end of a process in two steps. Clones share the same end.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Cancelled by the first signal: take nothing new, finish what runs.
    pub drain: CancellationToken,
    /// Cancelled by the second: leave at once. What was begun is found again at the next start.
    pub stop: CancellationToken,
}

impl Shutdown {
    /// Listens for SIGINT and SIGTERM from now on.
    ///
    /// # Errors
    /// The signals cannot be listened for.
    pub fn on_signals() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = Self::default();
        let Self { drain, stop } = shutdown.clone();
        tokio::spawn(async move {
            for (step, meaning) in [(drain, "finishing what is under way"), (stop, "leaving at once")] {
                let signal = tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                };
                tracing::info!(signal, "{signal}: {meaning}");
                step.cancel();
            }
        });
        Ok(shutdown)
    }

    /// Does `work`, which ends by itself once it is to drain. It is left as it is `grace` after that, and the log says
    /// so, or at once when it is to stop; then there is none.
    pub async fn drained<T>(&self, grace: Duration, what: &str, work: impl Future<Output = T>) -> Option<T> {
        let overdue = async {
            self.drain.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.stop.cancelled() => None,
            () = overdue => {
                tracing::warn!(what, "{what} did not end within {} s, and is left as it is", grace.as_secs_f64());
                None
            }
        }
    }
}
