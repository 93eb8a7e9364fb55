//! Logs: to standard error, filtered by `IMAGE_FACTORY_LOG`, as text or as JSON lines.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Environment variable that selects what is logged, as in `info,registry=debug`. Default: `warn`.
pub const FILTER_VARIABLE: &str = "IMAGE_FACTORY_LOG";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Starts logging to `writer` (standard error, or what keeps lines clear of a progress display).
///
/// A second call does nothing: the first one stays in force.
pub fn init<W>(format: Format, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let chosen = std::env::var(FILTER_VARIABLE).ok().filter(|text| !text.is_empty());
    let filter = chosen.as_deref().map(EnvFilter::try_new);
    let (filter, fault) = match filter {
        Some(Ok(filter)) => (filter, None),
        Some(Err(fault)) => (EnvFilter::new("warn"), Some(fault)),
        None => (EnvFilter::new("warn"), None),
    };
    // https://no-color.org: any value but the empty one.
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = io::stderr().is_terminal() && !no_color && !is_dumb;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(writer);
    let started = match format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    if let Some(fault) = fault {
        tracing::warn!("`{FILTER_VARIABLE}` cannot be read, so warnings are logged: {fault}");
    }
}
