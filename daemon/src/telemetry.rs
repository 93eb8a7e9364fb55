//! Logs, to standard error, and traces, to a collector: filtered, in one form, and flushed at the end.
//!
//! What is logged is selected by `IMAGE_FACTORY_LOG`. Traces go nowhere unless the variables of OpenTelemetry name a
//! collector; with one, all that the factory does is traced, whatever is logged.

mod otlp;

use std::io::{self, IsTerminal};
use std::str::FromStr;
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Environment variable that selects what is logged, as in `info,registry=debug`.
pub const FILTER_VARIABLE: &str = "IMAGE_FACTORY_LOG";

/// How long the end of the process waits for the collector to take the last spans.
pub const FLUSH_WITHIN: Duration = Duration::from_secs(3);

/// Whose spans are exported: ours. Those of libraries would tell of the exporter's own requests too.
const TRACED: &[&str] = &["backends", "coordinator", "daemon", "image_factory", "registry", "worker"];

/// Every key under which something is logged or traced, and what it means. `run.id`, `task.id`, `image.ref`, `stage` and
/// `duration_ms` stand in the message too, or in the span around it.
pub const KEYS: &[(&str, &str)] = &[
    ("action", "what kind of request one is, as registries count them"),
    ("address", "where this process listens, or what it reaches for"),
    ("attempt", "which try of a task, counted from 1; of a request, how often it was sent"),
    ("cause", "what came back"),
    ("coordinator", "its name"),
    ("delay_ms", "how long it is waited until something is tried again"),
    ("dependency", "something without which this process is not ready"),
    ("duration_ms", "how long it took, without waiting for a budget"),
    ("error", "what went wrong, with its causes"),
    ("fault", "what is wrong with something that was read"),
    ("host", "the registry that was asked"),
    ("image.ref", "the source of a task, or the destination that is spoken of"),
    ("job", "the job that a run executes"),
    ("listing", "which interface of a vendor's was asked"),
    ("message.id", "a message on the queue: task and attempt"),
    ("method", "of the request"),
    ("named", "what a late result says of a destination"),
    ("outcome", "how an attempt or a run ended, at its worst"),
    ("path", "a file"),
    ("recorded", "what is on record of a destination"),
    ("refused", "what a registry did not want in this form"),
    ("repository", "where something is listed, read or written"),
    ("run.id", "the run, and the trace that it is"),
    ("runs", "how many runs it is about"),
    ("signal", "what was sent to this process"),
    ("slots", "tasks that a worker runs at once"),
    ("stage", "one of the steps of an attempt"),
    ("status", "how the registry answered"),
    ("task.id", "the task"),
    ("tasks", "how many tasks it is about"),
    ("term", "for which time a coordinator leads"),
    ("upload", "an upload that was begun at a registry"),
    ("url", "what was asked for, without query and secrets"),
    ("waited_ms", "how long it waited for a budget"),
    ("what", "what was being done"),
    ("worker", "its name"),
];

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// `text` or `json`, as a person writes it.
impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("`{other}` is no form of logs: `text` or `json`")),
        }
    }
}

/// How a process tells what it does.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How log lines look.
    pub format: Format,
    /// What is logged where [`FILTER_VARIABLE`] says nothing: `warn` for a command that a person waits for, `info` for
    /// what runs on its own.
    pub filter: &'static str,
    /// The name of the process in traces, where `OTEL_SERVICE_NAME` says nothing.
    pub service: &'static str,
}

/// Logs and traces of this process. Dropped at its end, outside of the runtime: then the last spans are sent, for
/// [`FLUSH_WITHIN`] at most.
#[must_use = "what is not flushed at the end is lost"]
#[derive(Debug)]
pub struct Telemetry(Option<SdkTracerProvider>);

/// Starts logging to `writer` (standard error, or what keeps lines clear of a progress display), and exporting traces if
/// the environment says where to.
///
/// A collector that is missing, slow or badly named is told once, and changes nothing else. A second call does nothing:
/// the first one stays in force.
pub fn init<W>(settings: &Settings, writer: W) -> Telemetry
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let chosen = std::env::var(FILTER_VARIABLE).ok().filter(|text| !text.is_empty());
    let (filter, fault) = match chosen.as_deref().map(EnvFilter::try_new) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(fault)) => (EnvFilter::new(settings.filter), Some(fault)),
        None => (EnvFilter::new(settings.filter), None),
    };
    // https://no-color.org: any value but the empty one.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = io::stderr().is_terminal() && !no_color && !is_dumb;
    let lines = tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(writer);
    let lines = match settings.format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().boxed(),
    };
    let (provider, untraced) = match otlp::provider(settings.service, |name| std::env::var(name).ok()) {
        Ok(provider) => (provider, None),
        Err(why) => (None, Some(why)),
    };
    let traces = provider.as_ref().map(|provider| {
        let ours = TRACED.iter().map(|target| (*target, LevelFilter::DEBUG));
        otlp::layer(provider).with_filter(Targets::new().with_targets(ours))
    });
    let registry = tracing_subscriber::registry().with(lines.with_filter(filter.and(filter_fn(is_told))));
    if registry.with(traces).try_init().is_err() {
        tracing::debug!("logging was started before");
        return Telemetry(None);
    }
    if let Some(fault) = fault {
        tracing::warn!("`{FILTER_VARIABLE}` cannot be read, so `{}` is logged: {fault}", settings.filter);
    }
    if let Some(why) = untraced {
        tracing::warn!("traces are not exported: {why}");
    }
    Telemetry(provider)
}

/// What the exporter of traces says of itself is told by us, once; but for spans that it drops.
fn is_told(metadata: &tracing::Metadata<'_>) -> bool {
    !metadata.target().starts_with("opentelemetry") || metadata.name().starts_with("BatchSpanProcessor.Span")
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let Some(provider) = &self.0 else { return };
        if let Err(error) = provider.shutdown_with_timeout(FLUSH_WITHIN) {
            tracing::warn!("the last spans of the traces are lost: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_logs_is_read_from_its_name() {
        assert_eq!("text".parse(), Ok(Format::Text));
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!("yaml".parse::<Format>(), Err("`yaml` is no form of logs: `text` or `json`".to_owned()));
    }

    #[test]
    fn keys_are_in_order_and_named_once() {
        assert!(KEYS.is_sorted_by(|(one, _), (other, _)| one < other));
    }
}
