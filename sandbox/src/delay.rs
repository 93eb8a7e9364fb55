//! A TCP proxy that adds latency and limits bandwidth, in front of any server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Error;
use crate::body::pace;
use crate::serve::listen;

/// Bytes that are passed on at once.
const CHUNK: usize = 16 * 1024;
/// Chunks on their way in one direction: with [`CHUNK`], 4 MiB, the "bandwidth-delay product" this line can hold.
const CHUNKS_UNDERWAY: usize = 256;

/// A line that is as slow as told, until this is dropped.
#[derive(Debug)]
pub struct Delay {
    address: SocketAddr,
    _end: DropGuard,
}

/// How slow a line is, in each of its two directions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line {
    /// What each byte takes to arrive.
    pub latency: Duration,
    /// Bytes per second of each connection; without it as many as there are.
    pub bandwidth: Option<u64>,
}

impl Delay {
    /// Puts a line in front of `target`; connect to [`address`](Self::address) instead.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn in_front_of(target: SocketAddr, line: Line) -> Result<Self, Error> {
        let (listener, address) = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let end = CancellationToken::new();
        let accepting = end.clone();
        tokio::spawn(end.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().run_until_cancelled_owned(connect(client, target, line)));
            }
        }));
        Ok(Self { address, _end: end.drop_guard() })
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Host and port to connect to, as in an image reference.
    pub fn host(&self) -> String {
        self.address.to_string()
    }
}

async fn connect(client: TcpStream, target: SocketAddr, line: Line) {
    // Without a server the client's connection is closed, which tells it as much.
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(pass(from_client, to_server, line), pass(from_server, to_client, line));
}

/// Passes bytes on, each `latency` after it came; ends with either side.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, line: Line) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Bytes)>(CHUNKS_UNDERWAY);
    let read = async move {
        loop {
            let mut buffer = BytesMut::with_capacity(CHUNK);
            match from.read_buf(&mut buffer).await {
                Ok(1..) if sender.send((Instant::now() + line.latency, buffer.freeze())).await.is_ok() => {}
                _ => return,
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = receiver.recv().await {
            if !line.latency.is_zero() {
                tokio::time::sleep_until(due).await;
            }
            pace(bytes.len(), line.bandwidth).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // Only the end of this direction: the other may still have something to say.
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
