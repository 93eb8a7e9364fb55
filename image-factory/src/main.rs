//! The one program: mirrors container images between registries, checked, with a report.

mod causes;
mod cli;
mod commands;
mod data;
mod embedded;
mod exit;
mod files;
mod find;
mod fleet;
mod machine;
mod plan;
mod progress;
mod records;
mod summary;
mod text;

use daemon::telemetry::{Format, Settings};

use crate::cli::{Cli, Command};
use crate::exit::Exit;

/// What it keeps is set in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    let cli = Cli::read();
    let format = cli.log_format();
    // What a process of a fleet does is read in its log; the broker's client tells an outage many times over.
    let filter = if cli.command.stays() { "info,lapin=off" } else { "warn,lapin=off" };
    let settings = Settings { format, filter, service: "image-factory" };
    // Flushed at the very end, when nothing is done any more.
    let _telemetry = daemon::telemetry::init(&settings, || progress::LogWriter);
    progress::clear_on_panic();
    if format == Format::Json {
        progress::make_lines_events();
    }
    match start(cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            match format {
                Format::Text => progress::say(&format!("error: {}", daemon::ErrorChain(error.as_ref()))),
                Format::Json => tracing::error!("{}", daemon::ErrorChain(error.as_ref())),
            }
            Exit::of_error(&error).into()
        }
    }
}

#[tokio::main]
async fn start(cli: Cli) -> anyhow::Result<Exit> {
    // One TLS provider for the whole process, before anything opens a connection.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    match cli.command {
        Command::Run(args) => commands::run::run(args).await,
        Command::Plan(args) => commands::plan::run(args).await,
        Command::Check(args) => commands::check::run(&args),
        Command::Show(args) => commands::show::run(&args),
        Command::Tags(args) => commands::tags::run(args).await,
        Command::Copy(args) => commands::copy::run(args).await,
        Command::Doctor(args) => commands::doctor::run(args).await,
        Command::Runs(args) => commands::runs::run(args).await,
        Command::Report(args) => commands::report::run(args).await,
        Command::Status(args) => commands::status::run(args).await,
        Command::Failures(args) => commands::failures::run(args).await,
        Command::Why(args) => commands::why::run(args).await,
        Command::Retry(args) => commands::retry::run(args).await,
        Command::Verify(args) => commands::verify::run(args).await,
        Command::Coordinator(args) => Box::pin(commands::coordinator::run(args)).await,
        Command::Worker(args) => commands::worker::run(args).await,
        Command::Demo(args) => commands::demo::run(args).await,
        Command::Schema(args) => commands::schema::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
    }
}
