//! Arguments that several commands take.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use registry::Options;

use crate::exit::UsageError;

/// Where runs keep their state.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataArgs {
    /// Folder of runs and placements; default: `$XDG_STATE_HOME/image-factory`, else `~/.local/state/image-factory`.
    #[arg(long = "data", value_name = "DIR", env = DATA)]
    pub(crate) folder: Option<PathBuf>,
}

/// The variable that names the data folder.
const DATA: &str = "IMAGE_FACTORY_DATA";

impl DataArgs {
    /// What a command must be given to find the same folder.
    pub(crate) fn as_flag(&self) -> String {
        match &self.folder {
            Some(folder) if std::env::var_os(DATA).is_none_or(|default| default != *folder) => {
                format!(" --data {}", folder.display())
            }
            _ => String::new(),
        }
    }
}

/// Settings of registries for commands that take references.
#[derive(Debug, Clone, Args)]
pub(crate) struct SettingsArgs {
    /// Take `registries` and `network` from this job file.
    #[arg(long = "settings", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// How long to wait for registries.
#[derive(Debug, Clone, Args)]
pub(crate) struct PatienceArgs {
    /// Give a transfer up, and try again, when no byte has moved for this long. A slow one that moves is never cut.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) stall_timeout: Duration,

    /// Delay before a request that failed is repeated; doubled each time, and longer if the registry asks for that.
    #[arg(long, value_name = "TIME", default_value = "250ms", value_parser = parse_duration)]
    pub(crate) repeat_after: Duration,
}

impl PatienceArgs {
    /// The options of a registry client.
    pub(crate) fn options(&self) -> Options {
        Options { stall_timeout: self.stall_timeout, retry_delay: self.repeat_after, ..Options::default() }
    }
}

/// Reads `30s`, `500ms`, `2m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = text.parse::<jiff::SignedDuration>().map_err(|_| "expected a time as in `30s`, `500ms` or `2m`")?;
    Duration::try_from(duration).map_err(|_| "expected a time that is not negative".to_owned())
}

/// The delays before the second and the third try.
pub(crate) fn two_delays(delays: &[Duration]) -> Result<[Duration; 2], UsageError> {
    delays.try_into().map_err(|_| UsageError("`--retry-after` takes two times, as in `5s,30s`".to_owned()))
}

/// Reads how many images are under way at once.
pub(crate) fn parse_slots(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(slots @ 1..=1_000) => Ok(slots),
        _ => Err("expected a number from 1 to 1000".to_owned()),
    }
}
