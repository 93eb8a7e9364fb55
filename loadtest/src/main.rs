//! Measures the program as it was built, against registries of its own on the loopback, beside other tools where they
//! are, and judges it against budgets.
//!
//! # Layout
//!
//! - `layer`, `nights`, `mirror`, `limits`, `check`: the scenarios
//! - `bench`: what they share: programs, folder, verdicts
//! - `verdict`: the budgets of `mirror`
//! - `replay`: the fewest requests that any client could send, and a client that sends them
//! - `tool`: whom we compare, and how each is told what to mirror
//! - `server`: a registry in a process of its own, with its counts, which `access_log` reads of those that are not ours
//! - `sample`: what one command took
//! - `table`: what is printed

#![expect(clippy::print_stdout, reason = "a command speaks on stdout")]

mod access_log;
mod bench;
mod check;
mod layer;
mod limits;
mod mirror;
mod nights;
mod replay;
mod sample;
mod server;
mod table;
mod tool;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use sandbox::content::Bench as Shape;

use crate::bench::{Bench, FULL, QUICK, Size};
use crate::mirror::{Mirror, Side};
use crate::nights::Nights;
use crate::replay::{Plan, Replay};
use crate::tool::Tool;

/// Measure the program, and compare it with other tools where they are installed.
///
/// Fails if a command of ours fails or a budget is missed. Times mean something only beside others of the same run.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    /// What to measure; all of it by default.
    scenarios: Vec<Scenario>,

    /// List the scenarios and do nothing.
    #[arg(long)]
    list: bool,

    /// Everything small and once: shows that it works, and measures nothing.
    #[arg(long)]
    quick: bool,

    /// Fewer repositories, where time is short: far away, others take a minute for each.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=40))]
    repositories: Option<u8>,

    /// Other tools that are not to be compared.
    #[arg(long, value_name = "TOOL,…", value_delimiter = ',')]
    without: Vec<Tool>,

    /// Only at this distance to many repositories, in milliseconds there and back.
    #[arg(long, value_name = "MS")]
    round_trip: Option<usize>,

    /// Only between registries of this kind, of `mirror`.
    #[arg(long, value_name = "KIND")]
    registry: Option<Side>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fill a registry with the source of `mirror`, by the fewest requests that any client could send.
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The registry, such as `https://127.0.0.1:5000`; what it holds already is sent again.
    #[arg(long, value_name = "URL")]
    to: String,

    /// A file with the certificate of the authority that signed the registry's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// How many repositories, and how many tags of each.
    #[arg(long, value_name = "REPOSITORIESxTAGS", default_value = "40x25")]
    bench_catalogue: Shape,

    /// How many requests are under way at a time.
    #[arg(long, value_name = "N", default_value_t = 10)]
    at_once: usize,

    /// Then read all of it once.
    #[arg(long)]
    read: bool,

    /// Then move 2 % of the tags.
    #[arg(long)]
    moved: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Scenario {
    /// An image with one layer of 4 GiB, over HTTP and TLS, to a layout and out of it.
    Layer,
    /// A repository with 2,000 tags, two nights.
    Tags,
    /// 20 repositories with 420 tags of three platforms, two nights, near and 20 ms away.
    Catalogue,
    /// A destination that takes 20 requests per second, for two minutes.
    Limits,
    /// 40 repositories with 1,000 tags over TLS: cold, warm, 2 % moved; between two kinds of registries, near and away.
    Mirror,
    /// 500 repositories with 10,000 tags in which nothing has changed.
    Unchanged,
    /// A job file with 6,000 tags of 420 repositories is read.
    Check,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    if let Some(Command::Replay(args)) = &cli.command {
        return replay(args).map(|()| ExitCode::SUCCESS);
    }
    if cli.list {
        for scenario in Scenario::value_variants().iter().filter_map(ValueEnum::to_possible_value) {
            println!("{:<10} {}", scenario.get_name(), scenario.get_help().cloned().unwrap_or_default());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut size = if cli.quick { QUICK } else { FULL };
    if let Some(repositories) = cli.repositories {
        size.repositories = size.repositories.min(usize::from(repositories));
        size.mirror.repositories = size.mirror.repositories.min(u64::from(repositories));
    }
    let mut bench = Bench::new(size, cli.without.clone())?;
    let scenarios = if cli.scenarios.is_empty() { Scenario::value_variants() } else { &cli.scenarios };
    for scenario in scenarios {
        run(&cli, &mut bench, *scenario, size)?;
    }
    let missed = bench.end()?;
    for miss in &missed {
        println!("MISSED: {miss}");
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(cli: &Cli, bench: &mut Bench, scenario: Scenario, size: Size) -> Result<()> {
    let round_trips = cli.round_trip.map_or(size.round_trips_ms.to_vec(), |round_trip| vec![round_trip]);
    let sides = Side::value_variants().iter().filter(|side| cli.registry.is_none_or(|only| only == **side));
    match scenario {
        Scenario::Layer => layer::run(bench)?,
        Scenario::Tags => nights::run(bench, &Nights::tags(size))?,
        Scenario::Catalogue => {
            for round_trip_ms in round_trips {
                nights::run(bench, &Nights::catalogue(size, round_trip_ms))?;
            }
        }
        Scenario::Mirror => {
            for (side, round_trip_ms) in sides.flat_map(|side| round_trips.iter().map(move |ms| (*side, *ms))) {
                mirror::run(bench, Mirror { side, shape: size.mirror, round_trip_ms, vendor: None })?;
            }
        }
        Scenario::Unchanged => {
            for round_trip_ms in round_trips {
                // Whether listings say digests, or each tag is asked for.
                for vendor in [Some("gcr"), None] {
                    let (side, shape) = (Side::Sandbox, size.unchanged);
                    mirror::unchanged(bench, Mirror { side, shape, round_trip_ms, vendor })?;
                }
            }
        }
        Scenario::Limits => limits::run(bench)?,
        Scenario::Check => check::run(bench)?,
    }
    Ok(())
}

fn replay(args: &ReplayArgs) -> Result<()> {
    let shape = args.bench_catalogue;
    let plan = Plan::of(shape.images(0));
    println!("floor: {plan}");
    let replay = Replay::new(&args.to, args.ca.as_deref(), args.at_once)?;
    println!("put in {:.2} s with {} at once", replay.put(&plan)?, args.at_once);
    if args.read {
        println!("read in {:.2} s", replay.read(&plan)?);
    }
    if args.moved {
        println!("moved in {:.2} s", replay.put(&Plan::of(shape.moved(1)))?);
    }
    Ok(())
}
