//! `failures`: what went wrong in a run, by cause.

use std::io::{self, Write};

use clap::Args;
use coordinator::report::Causes;
use coordinator::report::model::{CauseSection, UnlistedSection};
use serde::Serialize;

use crate::causes;
use crate::cli::args::DataArgs;
use crate::exit::Exit;
use crate::records::Records;
use crate::text;

/// Tell what went wrong in a run, by cause: what came back, how many images it hit, and how to mend it.
///
/// The run may still be going on: then it is what went wrong until now.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FailuresArgs {
    /// The run, or a part of its name that no other has; default: the one that goes on, else the newest.
    pub(crate) run: Option<String>,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Name all images of each cause, one a line.
    #[arg(long)]
    pub(crate) images: bool,

    /// Print it as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  image-factory failures
  image-factory failures 7f3a19c2 --images";

/// What went wrong in a run.
#[derive(Serialize)]
struct Failures {
    version: u32,
    job: String,
    run: String,
    /// As in `status`.
    state: &'static str,
    /// As in the report; with `--images`, `first` names all.
    causes: Vec<CauseSection>,
    /// Repositories that could not be listed.
    unlisted: Vec<UnlistedSection>,
}

/// Version of the JSON.
const VERSION: u32 = 1;

pub(crate) async fn run(args: FailuresArgs) -> anyhow::Result<Exit> {
    let records = Records::need(&args.data).await?;
    let seen = records.run(args.run.as_deref()).await?;
    let causes = if args.images { Causes::with_all_names() } else { Causes::default() };
    let undone = records.undone(seen.run.id, causes).await?;
    let failures = Failures {
        version: VERSION,
        job: seen.run.job.clone(),
        run: seen.run.id.to_string(),
        state: seen.state(),
        causes: undone.causes,
        unlisted: undone.unlisted,
    };
    let mut out = text::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &failures)?;
        writeln!(out)?;
    } else {
        let all = format!("image-factory failures {} --images{}", seen.run.id.short(), args.data.as_flag());
        print(&mut out, &failures, &seen.run.id.short(), (!args.images).then_some(all.as_str()))?;
    }
    Ok(Exit::Done)
}

/// Prints causes, with the command that would name all images, if this one does not.
fn print(out: &mut impl Write, failures: &Failures, run: &str, all: Option<&str>) -> io::Result<()> {
    let Failures { job, state, causes, unlisted, .. } = failures;
    write!(out, "{job}  run {run}  {state}  ")?;
    if causes.is_empty() && unlisted.is_empty() {
        return writeln!(out, "nothing went wrong{}", if *state == "running" { " until now" } else { "" });
    }
    let images = causes.iter().map(|cause| cause.images).sum();
    let mut parts = Vec::new();
    if !causes.is_empty() {
        parts.push(format!("{}, {}", text::count(causes.len() as u64, "cause"), text::count(images, "image")));
    }
    match unlisted.len() {
        0 => {}
        1 => parts.push("1 repository without a list of its tags".to_owned()),
        more => parts.push(format!("{more} repositories without a list of their tags")),
    }
    writeln!(out, "{}", parts.join("; "))?;
    for cause in causes {
        writeln!(out, "\n{}", causes::head(cause))?;
        writeln!(out, "         {}", cause.meaning)?;
        writeln!(out, "         {}", cause.message)?;
        causes::write_hint(out, cause.hint.as_deref())?;
        for image in &cause.first {
            writeln!(out, "         {image}")?;
        }
        let more = cause.images.saturating_sub(cause.first.len() as u64);
        if let Some(all) = all.filter(|_| more > 0) {
            writeln!(out, "         and {} more: {all}", text::number(more))?;
        }
    }
    for line in unlisted {
        writeln!(out)?;
        causes::write_unlisted(out, line)?;
    }
    Ok(())
}
