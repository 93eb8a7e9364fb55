//! A TCP proxy that cuts, refuses and delays on command, to stand between a client and a real server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

/// So many bytes are never reached.
const NO_CUT: u64 = u64::MAX;

/// What is done to connections.
#[derive(Debug, Clone, Copy, Default)]
struct Fault {
    /// Connections of an earlier age are cut.
    age: u64,
    refuses: bool,
    delay: Duration,
}

/// A proxy before one server. It ends when it is dropped.
pub struct Proxy {
    /// Where it listens, as in `127.0.0.1:21234`.
    pub address: String,
    fault: watch::Sender<Fault>,
    /// Bytes that still pass from clients to the server before all connections are cut.
    left: Arc<AtomicU64>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Begins to listen before the server at `target`.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (fault, left) = (watch::Sender::default(), Arc::new(AtomicU64::new(NO_CUT)));
        let lines = Lines { target: target.to_owned(), fault: fault.clone(), left: Arc::clone(&left) };
        Self { address, fault, left, _accepting: AbortOnDropHandle::new(tokio::spawn(lines.accept(listener))) }
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.fault.send_modify(|fault| fault.age += 1);
    }

    /// Cuts all connections once so many bytes more have come from clients; the last of them never arrive.
    pub fn cut_after(&self, bytes: u64) {
        self.left.store(bytes, Ordering::SeqCst);
    }

    /// Whether [`Proxy::cut_after`] has still to cut.
    pub fn has_to_cut(&self) -> bool {
        self.left.load(Ordering::SeqCst) != NO_CUT
    }

    /// Closes new connections as soon as they come, or lets them pass again.
    pub fn refuse(&self, refuses: bool) {
        self.fault.send_modify(|fault| fault.refuses = refuses);
    }

    /// Holds back, in both directions, what comes from now on.
    pub fn delay(&self, delay: Duration) {
        self.fault.send_modify(|fault| fault.delay = delay);
    }
}

/// What every connection knows of its proxy.
#[derive(Clone)]
struct Lines {
    target: String,
    fault: watch::Sender<Fault>,
    left: Arc<AtomicU64>,
}

impl Lines {
    async fn accept(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            if !self.fault.borrow().refuses {
                connections.spawn(self.clone().carry(client));
            }
        }
    }

    /// Carries bytes both ways until one side ends or the connection is cut.
    async fn carry(self, client: TcpStream) {
        let mut fault = self.fault.subscribe();
        let age = fault.borrow_and_update().age;
        let Ok(server) = TcpStream::connect(&self.target).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            () = self.pass(from_client, to_server, true) => {}
            () = self.pass(from_server, to_client, false) => {}
            _ = fault.wait_for(|fault| fault.age != age) => {}
        }
    }

    async fn pass(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, counts: bool) {
        let mut chunk = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut chunk).await {
            let delay = self.fault.borrow().delay;
            if delay > Duration::ZERO {
                sleep(delay).await;
            }
            let passing = if counts { self.count(read) } else { read };
            if to.write_all(&chunk[..passing]).await.is_err() || passing < read {
                return;
            }
        }
    }

    /// How many of these bytes still pass; if not all, all connections are cut.
    fn count(&self, bytes: usize) -> usize {
        let mut passing = bytes;
        let take = |left: u64| {
            passing = bytes.min(usize::try_from(left).unwrap_or(usize::MAX));
            (left != NO_CUT).then(|| if passing < bytes { NO_CUT } else { left - passing as u64 })
        };
        let _ = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        if passing < bytes {
            self.fault.send_modify(|fault| fault.age += 1);
        }
        passing
    }
}
