//! The command line: every command with its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use daemon::telemetry::Format;
use proto::content::{IndexForm, Platforms, ReferrerKind, Referrers};
use proto::{Content, Location, Platform};
use registry::Options;

/// Mirrors container images between registries: checked, resumable, with a report.
///
/// Start with `image-factory demo`, which needs nothing but this program, or copy one image:
///
///   image-factory copy docker.io/library/alpine:3.22 registry.example.com/mirror/alpine:3.22
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110, verbatim_doc_comment, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Write log lines as JSON, and nothing else to standard error. What is logged is set by IMAGE_FACTORY_LOG, as in `info,registry=debug`.
    #[arg(long, global = true)]
    log_json: bool,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done · 1 something failed · 2 usage or file · 3 the factory itself could not run · 5 incomplete

Credentials are the ones you have: the Docker configuration file and its helpers (`docker login`),
or what the job file names under `registries`.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunArgs),
    Copy(CopyArgs),
    Doctor(DoctorArgs),
    Runs(RunsArgs),
    Report(ReportArgs),
    Demo(DemoArgs),
}

/// Mirror what a job file says, in this process, and write a report.
///
/// Unchanged tags cost a question or two each; what moved is copied once, checked, and only then named. Ctrl-C lets
/// running copies finish; a second one stops at once. Whatever stops it, run it again: it goes on from what is done.
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLE)]
pub(crate) struct RunArgs {
    /// The job file.
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Folder for the report, with a folder for each job if there are several; default: `reports/<run>` in the data folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) report_dir: Option<PathBuf>,

    /// Images under way at once.
    #[arg(long, default_value_t = proto::limits::SLOTS, value_parser = parse_slots)]
    pub(crate) slots: usize,

    /// The only job of the file to run. A file without `jobs` is one job, which gets this name instead of the file's own.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) job: Option<String>,

    /// Take tags over that another job file has mirrored before.
    #[arg(long)]
    pub(crate) take_over: bool,

    /// Delays before the second and the third try of an image that failed.
    #[arg(long, value_name = "TIMES", default_value = "5s,30s", value_delimiter = ',', value_parser = parse_duration)]
    pub(crate) retry_after: Vec<Duration>,

    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}

const RUN_EXAMPLE: &str = r#"Example: a file `first.yaml`

  version: 1
  to: registry.example.com/mirror/{path}
  images:
    docker.io/library/alpine: ">=3.18"
    docker.io/library/nginx: ["1.*", "!*-perl"]

and then

  image-factory run first.yaml"#;

/// Copy one image with its signatures and SBOMs, byte for byte, or some of it.
#[derive(Debug, Args)]
#[command(after_help = COPY_EXAMPLE)]
pub(crate) struct CopyArgs {
    /// Where it lies: a reference, `oci:FOLDER[:NAME]` or `oci-archive:FILE[:NAME]`.
    pub(crate) source: Location,

    /// Where it is to go, in the same forms. A layout folder is added to; an archive is written anew, with this image.
    pub(crate) destination: Location,

    #[command(flatten)]
    pub(crate) content: ContentArgs,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,

    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}

const COPY_EXAMPLE: &str = "\
Examples:
  image-factory copy alpine:3.22 registry.example.com/mirror/alpine:3.22
  image-factory copy quay.io/prometheus/prometheus:v3.5.0 oci:./images
  image-factory copy oci:./images:quay.io/prometheus/prometheus:v3.5.0 localhost:5000/prometheus:v3.5.0
  image-factory copy alpine:3.22 localhost:5000/alpine:3.22 --platform linux/amd64 --index rewrite";

/// What of an image is copied; by default all of it.
#[derive(Debug, Args)]
pub(crate) struct ContentArgs {
    /// Of an index, copy this platform alone, as in `linux/amd64`. Give it once for each platform, with `--index`.
    #[arg(long = "platform", value_name = "PLATFORM", requires = "index")]
    platforms: Vec<Platform>,

    /// What becomes of the index: `rewrite` makes one of these platforms alone, with another digest, which no signature of the source fits; `sparse` keeps its bytes, which many registries refuse.
    #[arg(long, value_name = "FORM", requires = "platforms", value_parser = parse_index)]
    index: Option<IndexForm>,

    /// Which of what refers to the image is copied: `all`, `none`, or some of `signature,sbom,attestation`.
    #[arg(long, value_name = "KINDS", default_value = "all", value_parser = parse_referrers)]
    referrers: Referrers,
}

impl ContentArgs {
    pub(crate) fn content(self) -> Content {
        let only = |index| Platforms::Only { platforms: self.platforms.into_iter().collect(), index };
        Content { platforms: self.index.map_or(Platforms::All, only), referrers: self.referrers }
    }
}

/// Ask registries what they can do and what we may do there: nothing is changed.
///
/// For each: reachable, TLS, where the credentials come from, right to pull and to push, and what it supports. That we
/// may not push is a failure where a file has its destination, and is only told of a reference, which may be a source.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLE)]
pub(crate) struct DoctorArgs {
    /// References, or job files, which stand for all of their sources and destinations with settings of their own.
    #[arg(required = true, value_name = "REF|FILE")]
    pub(crate) subjects: Vec<String>,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,

    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}

const DOCTOR_EXAMPLE: &str = "\
Examples:
  image-factory doctor registry.example.com/mirror/alpine docker.io/library/alpine
  image-factory doctor first.yaml";

/// List past runs, newest first.
#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// How many.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
}

/// Show the report of a run again.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The run, or a part of its name that no other has; default: the newest.
    pub(crate) run: Option<String>,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Print the whole report as JSON instead of a summary.
    #[arg(long)]
    pub(crate) json: bool,
}

/// See the factory work, with registries that it starts itself: nothing is installed and nothing leaves this machine.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Folder for the demo's data and reports; default: a new one in the system's temporary folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

/// Where runs keep their state.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataArgs {
    /// Folder of runs and placements; default: `$XDG_STATE_HOME/image-factory`, else `~/.local/state/image-factory`.
    #[arg(long = "data", value_name = "DIR", env = "IMAGE_FACTORY_DATA")]
    pub(crate) folder: Option<PathBuf>,
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

impl Cli {
    pub(crate) fn log_format(&self) -> Format {
        if self.log_json { Format::Json } else { Format::Text }
    }
}

/// Reads `30s`, `500ms`, `2m`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = text.parse::<jiff::SignedDuration>().map_err(|_| "expected a time as in `30s`, `500ms` or `2m`")?;
    Duration::try_from(duration).map_err(|_| "expected a time that is not negative".to_owned())
}

fn parse_index(text: &str) -> Result<IndexForm, String> {
    IndexForm::from_name(text).ok_or_else(|| "expected `rewrite` or `sparse`".to_owned())
}

fn parse_referrers(text: &str) -> Result<Referrers, String> {
    let kinds = || text.split(',').map(|kind| ReferrerKind::from_name(kind.trim())).collect::<Option<_>>();
    match text {
        "all" => Ok(Referrers::All),
        "none" => Ok(Referrers::None),
        _ => kinds().map(Referrers::Only).ok_or_else(|| {
            "expected `all`, `none`, or some of `signature,sbom,attestation` with commas between them".to_owned()
        }),
    }
}

fn parse_slots(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(slots @ 1..=1_000) => Ok(slots),
        _ => Err("expected a number from 1 to 1000".to_owned()),
    }
}
