//! The command line: every command by its name. What each takes, with its help, stands beside what it does.

pub(crate) mod args;
mod words;

use clap::{CommandFactory, Parser, Subcommand};
use daemon::telemetry::Format;

use crate::commands::{
    check, completions, coordinator, copy, demo, doctor, failures, plan, report, retry, run, runs, schema, show,
    status, tags, verify, why, worker,
};

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
    Run(run::RunArgs),
    Plan(plan::PlanArgs),
    Check(check::CheckArgs),
    Show(show::ShowArgs),
    Tags(tags::TagsArgs),
    Copy(copy::CopyArgs),
    Doctor(doctor::DoctorArgs),
    Runs(runs::RunsArgs),
    Report(report::ReportArgs),
    Status(status::StatusArgs),
    Failures(failures::FailuresArgs),
    Why(why::WhyArgs),
    Retry(retry::RetryArgs),
    Verify(verify::VerifyArgs),
    Coordinator(coordinator::CoordinatorArgs),
    Worker(worker::WorkerArgs),
    Demo(demo::DemoArgs),
    Schema(schema::SchemaArgs),
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// Whether it goes on until it is told to stop.
    pub(crate) fn stays(&self) -> bool {
        matches!(self, Self::Coordinator(_) | Self::Worker(_))
    }
}

impl Cli {
    /// Reads the command line; ends the program if it is wrong, or asks for help.
    pub(crate) fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            words::explained(&mut Self::command(), &error).unwrap_or_else(|| words::without_secrets(error)).exit()
        })
    }

    pub(crate) fn log_format(&self) -> Format {
        if self.log_json { Format::Json } else { Format::Text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_each_command_has_an_example() {
        for command in Cli::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{help}");
        }
    }
}
