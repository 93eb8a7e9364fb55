//! A request that waits, so that a test can act in that very moment.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::faults::{Effect, Fault};
use crate::registry::Registry;

/// A test that forgot to let go ends instead of hanging.
const LONGEST: Duration = Duration::from_secs(60);

/// Holds one request, before anything comes of it, until this is dropped. Needs a runtime of several threads.
#[derive(Debug)]
pub struct Hold {
    reached: Arc<Notify>,
    _open: Sender<()>,
}

impl Hold {
    /// Lets `after` requests pass that are a `method` whose path contains `path`, and holds the next one.
    pub fn on(registry: &Registry, method: &str, path: &str, after: u64) -> Self {
        let reached = Arc::new(Notify::new());
        let (open, opened) = channel::<()>();
        let opened = Mutex::new(opened);
        let notify = reached.clone();
        let wait = move |_: &crate::Store| {
            notify.notify_one();
            let opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
            // Ends with an error when the other end is dropped: that is the sign to go on.
            tokio::task::block_in_place(|| opened.recv_timeout(LONGEST).ok());
        };
        registry.fault(Fault::on(method, path, Effect::act(wait)).after(after).times(1));
        Self { reached, _open: open }
    }

    /// The same, and nothing ever comes of the request: its connection is closed.
    pub fn losing(registry: &Registry, method: &str, path: &str, after: u64) -> Self {
        let hold = Self::on(registry, method, path, after);
        registry.fault(Fault::on(method, path, Effect::Close).after(after).times(1));
        hold
    }

    /// Waits until the request is there. Bound it with a timeout.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }
}
