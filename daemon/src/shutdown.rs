//! Turns signals into a wish to drain and an order to stop.

use std::io;

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
            for step in [drain, stop] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                step.cancel();
            }
        });
        Ok(shutdown)
    }
}
