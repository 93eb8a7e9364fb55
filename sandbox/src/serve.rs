//! What the registry, its token service and its storage share: a listener, a log, faults, and an end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::answer::{Answer, name};
use crate::body::{Body, RequestBody, response};
use crate::faults::{Effect, Faults};
use crate::flush::{Flushed, Flushes};
use crate::log::Log;
use crate::store::Store;

/// A server's answers, apart from faults.
pub(crate) trait Service: Send + Sync + 'static {
    /// Refuses requests that lack the rights; these do not count for faults.
    fn admit(&self, head: &Parts) -> Result<(), Box<Answer>>;

    /// Answers an admitted request.
    fn answer(&self, head: &Parts, body: RequestBody) -> impl Future<Output = Answer> + Send;
}

/// A listener, and what it needs to serve.
pub(crate) struct Server<S> {
    pub(crate) service: S,
    pub(crate) log: Arc<Log>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) store: Store,
}

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed on command")]
struct Closed;

pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

impl<S: Service> Server<S> {
    /// Accepts connections until `end`, which also ends those that are open.
    pub(crate) fn serve(self, listener: TcpListener, tls: Option<Arc<ServerConfig>>, end: CancellationToken) {
        let server = Arc::new(self);
        let tls = tls.map(TlsAcceptor::from);
        tokio::spawn(end.clone().run_until_cancelled_owned(async move {
            loop {
                // A failed accept concerns a connection that is already gone, or is over when others close.
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let (server, tls) = (server.clone(), tls.clone());
                tokio::spawn(end.clone().run_until_cancelled_owned(async move {
                    match tls {
                        None => server.connection(stream).await,
                        Some(tls) => {
                            // A client that does not trust us closes here: its affair, not ours.
                            if let Ok(stream) = tls.accept(stream).await {
                                server.connection(stream).await;
                            }
                        }
                    }
                }));
            }
        }));
    }

    async fn connection(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let flushes = Flushes::default();
        let stream = TokioIo::new(Flushed { stream, flushes: flushes.clone() });
        let service = service_fn(|request| self.clone().exchange(request, flushes.clone()));
        let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(stream, service);
        // It ends with an error when a client goes away or a fault cuts it; the log has what was served.
        let _ = connection.await;
    }

    async fn exchange(self: Arc<Self>, request: Request<Incoming>, flushes: Flushes) -> Result<Response<Body>, Closed> {
        let (head, incoming) = request.into_parts();
        let open = self.log.open(&head);
        let (answer, effects) = match self.service.admit(&head) {
            Err(refused) => (*refused, Vec::new()),
            Ok(()) => {
                let effects = self.faults.effects(head.method.as_str(), head.uri.path());
                let body = RequestBody::new(incoming, open.entry.clone(), &effects);
                (self.answer(&head, body, &effects).await?, effects)
            }
        };
        open.entry.status.store(answer.status.as_u16(), Ordering::SeqCst);
        Ok(response(&head.method, answer, &effects, open, flushes))
    }

    async fn answer(&self, head: &Parts, body: RequestBody, effects: &[Effect]) -> Result<Answer, Closed> {
        for effect in effects {
            match effect {
                Effect::Latency(time) => tokio::time::sleep(*time).await,
                Effect::Act(action) => action(&self.store),
                Effect::Close => return Err(Closed),
                Effect::Refuse(refusal) => {
                    if refusal.reads_body {
                        body.drain().await;
                    }
                    return Ok(refusal.answer(&head.headers));
                }
                _ => {}
            }
        }
        let answer = self.service.answer(head, body).await;
        Ok(effects.iter().fold(answer, |answer, effect| match effect {
            Effect::OtherDigest(digest) => answer.with(name::DIGEST, digest.as_str()),
            _ => answer,
        }))
    }
}
