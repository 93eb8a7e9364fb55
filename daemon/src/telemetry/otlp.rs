//! Sends traces to a collector, by OTLP over HTTP, from a thread of its own: nobody else ever waits for it.
//!
//! Switched on, and set, by the standard variables: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`,
//! `OTEL_EXPORTER_OTLP_TIMEOUT`, their namesakes for traces alone, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
//! `OTEL_BSP_*`, `OTEL_TRACES_SAMPLER`, `OTEL_SDK_DISABLED`. What is read here is the switch and what it is told by; the
//! rest is read by the SDK.

use std::error::Error;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use reqwest::Url;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

use crate::trace::RunIds;

/// How long a collector may take for one batch of spans, in milliseconds, where no variable says another time.
const TIMEOUT_MS: u64 = 10_000;

/// What spans become traces by; none if no collector is named.
///
/// # Errors
/// Why there are no traces although there is a collector.
pub(super) fn provider(
    service: &'static str,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Option<SdkTracerProvider>, String> {
    let Some(collector) = Collector::named_in(&env)? else { return Ok(None) };
    let exporter = SpanExporter::builder().with_http().with_http_client(collector.connect()?);
    let exporter = exporter.build().map_err(|error| error.to_string())?;
    let mut resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if env("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(service);
    }
    let builder = SdkTracerProvider::builder().with_batch_exporter(exporter).with_id_generator(RunIds::default());
    let provider = builder.with_resource(resource.build()).build();
    opentelemetry::global::set_tracer_provider(provider.clone());
    Ok(Some(provider))
}

/// Turns `tracing`'s spans into those of `provider`.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> OpenTelemetryLayer<S, SdkTracer>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // Threads and lines of code say nothing to who looks at a run.
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("image-factory"))
        .with_threads(false)
        .with_location(false)
        .with_tracked_inactivity(false)
}

/// Who takes our spans.
#[derive(Debug, PartialEq)]
struct Collector {
    endpoint: Url,
    timeout: Duration,
}

impl Collector {
    /// The one that the environment names; all that is wrong with it in one text.
    fn named_in(env: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty()).map(|value| (name.to_owned(), value));
        let either = |what: &str| {
            let of_traces = set(&format!("OTEL_EXPORTER_OTLP_TRACES_{what}"));
            of_traces.or_else(|| set(&format!("OTEL_EXPORTER_OTLP_{what}")))
        };
        let is_off = set("OTEL_SDK_DISABLED").is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"))
            || set("OTEL_TRACES_EXPORTER").is_some_and(|(_, value)| value == "none");
        let Some((name, endpoint)) = either("ENDPOINT").filter(|_| !is_off) else { return Ok(None) };
        let mut faults = Vec::new();
        if let Some((name, exporter)) = set("OTEL_TRACES_EXPORTER").filter(|(_, value)| value != "otlp") {
            faults.push(format!("`{name}` must be `otlp` or `none`, and is `{exporter}`"));
        }
        if let Some((name, protocol)) = either("PROTOCOL").filter(|(_, value)| value != "http/protobuf") {
            faults.push(format!("`{name}` must be `http/protobuf`, and is `{protocol}`"));
        }
        let timeout = either("TIMEOUT").map_or(Some(TIMEOUT_MS), |(name, value)| {
            value.parse().inspect_err(|_| faults.push(format!("`{name}` must be milliseconds, and is `{value}`"))).ok()
        });
        // What it is may hold a password, so it is not repeated.
        let endpoint = Url::parse(&endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if endpoint.is_none() {
            faults.push(format!("`{name}` must be a URL of http or https"));
        }
        match (endpoint, timeout) {
            (Some(endpoint), Some(ms)) if faults.is_empty() => {
                Ok(Some(Self { endpoint, timeout: Duration::from_millis(ms) }))
            }
            _ => Err(faults.join("; ")),
        }
    }

    fn connect(self) -> Result<Sender, String> {
        // The exporter may be the first of this process that could need it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place =
            format!("{}://{}", self.endpoint.scheme(), self.endpoint.authority().rsplit('@').next().unwrap_or(""));
        let mut builder = reqwest::blocking::Client::builder().timeout(self.timeout);
        let host = self.endpoint.host_str().unwrap_or_default();
        if host == "localhost"
            || host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback())
        {
            builder = builder.no_proxy();
        }
        // A blocking client must not be made where a runtime runs.
        let http = std::thread::spawn(|| builder.redirect(reqwest::redirect::Policy::none()).build()).join();
        let http = http.map_err(|_| "the HTTP client could not be made".to_owned())?;
        let http = http.map_err(|error| format!("make an HTTP client: {}", lowest_cause(&error)))?;
        Ok(Sender { http, place, is_lost: AtomicBool::new(false) })
    }
}

/// Sends batches, and tells once that they do not arrive.
#[derive(Debug)]
struct Sender {
    http: reqwest::blocking::Client,
    /// Scheme, host and port.
    place: String,
    /// Whether the last batch did not arrive.
    is_lost: AtomicBool,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.http.send_bytes(request).await;
        let fault = match &sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            Err(error) => Some(lowest_cause(error.as_ref())),
        };
        let was_lost = self.is_lost.swap(fault.is_some(), Ordering::Relaxed);
        match fault {
            Some(fault) if !was_lost => {
                tracing::warn!("traces are lost until `{}` takes them: {fault}", self.place);
            }
            None if was_lost => tracing::info!("`{}` takes traces again", self.place),
            _ => {}
        }
        sent
    }
}

/// The errors above it name the URL with its query.
fn lowest_cause(error: &dyn Error) -> String {
    let mut lowest = error;
    while let Some(source) = lowest.source() {
        lowest = source;
    }
    lowest.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(variables: &[(&str, &str)]) -> Result<Option<Collector>, String> {
        Collector::named_in(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn without_an_endpoint_there_are_no_traces() {
        assert_eq!(named(&[]), Ok(None));
        assert_eq!(named(&[("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_SERVICE_NAME", "x")]), Ok(None));
        for off in [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(named(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"), off]), Ok(None));
        }
    }

    #[test]
    fn what_is_set_for_traces_alone_comes_first() {
        let both = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces:4318/v1/traces"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"),
        ];
        let endpoint = "https://traces:4318/v1/traces".parse().unwrap();
        assert_eq!(named(&both), Ok(Some(Collector { endpoint, timeout: Duration::from_millis(200) })));
    }

    #[test]
    fn all_that_is_wrong_is_told_together_and_no_password() {
        let wrong = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://me:hush@collector:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
        ];
        assert_eq!(
            named(&wrong).unwrap_err(),
            "`OTEL_TRACES_EXPORTER` must be `otlp` or `none`, and is `zipkin`; \
             `OTEL_EXPORTER_OTLP_PROTOCOL` must be `http/protobuf`, and is `grpc`; \
             `OTEL_EXPORTER_OTLP_TIMEOUT` must be milliseconds, and is `10s`; \
             `OTEL_EXPORTER_OTLP_ENDPOINT` must be a URL of http or https"
        );
    }
}
