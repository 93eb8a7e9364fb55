//! A request that waits at a registry, so that a test can act in that very moment.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use sandbox::{Effect, Fault, Registry, Store};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::support::PATIENCE;

/// Holds one request, before anything comes of it, until this is dropped.
pub(crate) struct Hold {
    reached: Arc<Notify>,
    _open: Sender<()>,
}

impl Hold {
    /// Lets `after` requests pass that are a `method` whose path contains `path`, and holds the next one.
    pub(crate) fn on(registry: &Registry, method: &str, path: &str, after: u64) -> Self {
        let reached = Arc::new(Notify::new());
        let (open, opened) = channel::<()>();
        let opened = Mutex::new(opened);
        let notify = reached.clone();
        let wait = move |_: &Store| {
            notify.notify_one();
            // Ends with an error when the other end is dropped: that is the sign to go on.
            tokio::task::block_in_place(|| opened.lock().unwrap().recv_timeout(PATIENCE).ok());
        };
        registry.fault(Fault::on(method, path, Effect::act(wait)).after(after).times(1));
        Self { reached, _open: open }
    }

    /// The same, and nothing ever comes of the request.
    pub(crate) fn losing(registry: &Registry, method: &str, path: &str, after: u64) -> Self {
        let hold = Self::on(registry, method, path, after);
        registry.fault(Fault::on(method, path, Effect::Close).after(after).times(1));
        hold
    }

    /// Waits until the request is there.
    pub(crate) async fn reached(&self) {
        timeout(PATIENCE, self.reached.notified()).await.expect("the request to be held never came");
    }
}
