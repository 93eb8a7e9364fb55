//! A collector of traces, by OTLP over HTTP: it keeps the spans that it is sent.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as Sent;
use prost::Message;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Error;
use crate::answer::Answer;
use crate::body::RequestBody;
use crate::faults::{ActiveFault, Fault, Faults};
use crate::log::Log;
use crate::serve::{Server, Service, listen};
use crate::store::Store;

/// Largest batch that is taken: many times what is sent at once.
const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A collector on a socket, until this is dropped.
pub struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    address: SocketAddr,
    log: Arc<Log>,
    faults: Arc<Faults>,
    _end: DropGuard,
}

/// A span as it was sent; ids are written in hexadecimal.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The trace that it is part of.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// The span above it; empty if there is none.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// The service that sent it.
    pub service: String,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// The traces and spans that it names.
    pub links: Vec<(String, String)>,
    /// When it began and ended, in nanoseconds since 1970.
    pub time: (u64, u64),
    /// Whether it stands for something that failed.
    pub failed: bool,
}

impl Collector {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// There is no port to listen on.
    pub async fn start() -> Result<Self, Error> {
        let (listener, address) = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let (spans, log, faults) =
            (Arc::<Mutex<Vec<Span>>>::default(), Arc::<Log>::default(), Arc::<Faults>::default());
        let end = CancellationToken::new();
        let server =
            Server { service: Taking(spans.clone()), log: log.clone(), faults: faults.clone(), store: Store::new() };
        server.serve(listener, None, end.clone());
        Ok(Self { spans, address, log, faults, _end: end.drop_guard() })
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT` is to be set to.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans that came, in their order.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it was asked.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Makes it misbehave.
    pub fn fault(&self, fault: Fault) -> ActiveFault {
        self.faults.add(fault)
    }
}

struct Taking(Arc<Mutex<Vec<Span>>>);

impl Service for Taking {
    fn admit(&self, _: &Parts) -> Result<(), Box<Answer>> {
        Ok(())
    }

    async fn answer(&self, head: &Parts, body: RequestBody) -> Answer {
        if head.method != Method::POST || head.uri.path() != "/v1/traces" {
            return Answer::new(StatusCode::NOT_FOUND);
        }
        let Some(Ok(request)) = body.whole(BATCH_BYTES_MAX).await.map(ExportTraceServiceRequest::decode) else {
            return Answer::new(StatusCode::BAD_REQUEST);
        };
        for of_resource in request.resource_spans {
            let resource = attributes(of_resource.resource.unwrap_or_default().attributes);
            let service = resource.get("service.name").cloned().unwrap_or_default();
            let sent = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let spans = sent.map(|sent| Span::new(sent, service.clone()));
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
        }
        Answer::new(StatusCode::OK)
    }
}

impl Span {
    fn new(sent: Sent, service: String) -> Self {
        Self {
            trace: hex(&sent.trace_id),
            id: hex(&sent.span_id),
            parent: hex(&sent.parent_span_id),
            name: sent.name,
            service,
            attributes: attributes(sent.attributes),
            links: sent.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            time: (sent.start_time_unix_nano, sent.end_time_unix_nano),
            // Status::ERROR
            failed: sent.status.is_some_and(|status| status.code == 2),
        }
    }
}

fn attributes(sent: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    };
    sent.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
