//! Measures the program as it was built, against registries of its own on the loopback, beside other tools where they
//! are, and judges it against budgets.
//!
//! # Layout
//!
//! - `layer`, `nights`, `limits`, `check`: the scenarios
//! - `bench`: what they share: programs, folder, verdicts
//! - `tool`: whom we compare, and how each is told what to mirror
//! - `server`: a registry in a process of its own, with its counts
//! - `sample`: what one command took
//! - `table`: what is printed

#![expect(clippy::print_stdout, reason = "a command speaks on stdout")]

mod bench;
mod check;
mod layer;
mod limits;
mod nights;
mod sample;
mod server;
mod table;
mod tool;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::bench::{Bench, FULL, QUICK};
use crate::nights::Nights;

/// Measure the program, and compare it with other tools where they are installed.
///
/// Fails if a command of ours fails or a budget is missed. Times mean something only beside others of the same run.
#[derive(Debug, Parser)]
struct Cli {
    /// What to measure; all of it by default.
    scenarios: Vec<Scenario>,

    /// List the scenarios and do nothing.
    #[arg(long)]
    list: bool,

    /// Everything small and once: shows that it works, and measures nothing.
    #[arg(long)]
    quick: bool,

    /// A smaller catalogue, where time is short: far away, others take a minute for each repository.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=20))]
    repositories: Option<u8>,
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
    /// A job file with 6,000 tags of 420 repositories is read.
    Check,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    if cli.list {
        for scenario in Scenario::value_variants().iter().filter_map(ValueEnum::to_possible_value) {
            println!("{:<10} {}", scenario.get_name(), scenario.get_help().cloned().unwrap_or_default());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut size = if cli.quick { QUICK } else { FULL };
    size.repositories = cli.repositories.map_or(size.repositories, usize::from);
    let mut bench = Bench::new(size)?;
    let scenarios = if cli.scenarios.is_empty() { Scenario::value_variants() } else { &cli.scenarios };
    for scenario in scenarios {
        match scenario {
            Scenario::Layer => layer::run(&mut bench)?,
            Scenario::Tags => nights::run(&mut bench, &Nights::tags(size))?,
            Scenario::Catalogue => {
                for round_trip_ms in size.round_trips_ms {
                    nights::run(&mut bench, &Nights::catalogue(size, *round_trip_ms))?;
                }
            }
            Scenario::Limits => limits::run(&mut bench)?,
            Scenario::Check => check::run(&mut bench)?,
        }
    }
    let missed = bench.end()?;
    for miss in &missed {
        println!("MISSED: {miss}");
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
