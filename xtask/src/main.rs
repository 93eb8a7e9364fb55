//! What CI and a developer run beside cargo: the walls between crates, tidiness, and the tests with their counts.
//!
//! `walls` and `tidy` are tests too, so `cargo test` alone finds what they find.

#![expect(clippy::print_stdout, reason = "a command speaks on stdout")]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

mod runner;
mod tidy;
mod walls;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["walls"] => Ok(tell("walls", &walls::findings(root())?)),
        ["tidy"] => Ok(tell("tidy", &tidy::findings(root())?)),
        ["test", more @ ..] => runner::run(root(), more),
        _ => bail!("usage: xtask walls | tidy | test [ARGUMENTS OF cargo test]"),
    }
}

/// The top of the checkout that this program was built from.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn tell(check: &str, findings: &[String]) -> ExitCode {
    for finding in findings {
        println!("{finding}");
    }
    println!("{check}: {} findings", findings.len());
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
