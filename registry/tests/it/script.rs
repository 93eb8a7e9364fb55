//! A server that answers each request by a script: for what no registry should do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Runs until it is dropped.
pub(crate) struct Script {
    pub(crate) address: SocketAddr,
    /// The heads of all requests.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Script {
    /// `answer` makes the whole answer from the request's head. `{}` in it stands for the server's own address.
    pub(crate) async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (seen, answer) = (requests.clone(), Arc::new(answer));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (seen.clone(), answer.clone());
                tokio::spawn(async move { serve(stream, address, &seen, &*answer).await });
            }
        });
        Self { address, requests, server }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// How many requests begin with `line`.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|head| head.starts_with(line)).count()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    address: SocketAddr,
    seen: &Mutex<Vec<String>>,
    answer: &(dyn Fn(&str) -> String + Sync),
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
        // The start of a TLS handshake: this server does not speak it.
        if head[0] == 0x16 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    // A small body is read: closed before that, the connection could take the answer with it.
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    if let Some(length @ 1..65_536) = length {
        let mut body = vec![0; length];
        let _ = stream.read_exact(&mut body).await;
    }
    seen.lock().unwrap().push(head.clone());
    let answer = answer(&head).replace("{}", &address.to_string());
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// An answer with a body, and its length.
pub(crate) fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}")
}
