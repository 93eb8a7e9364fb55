//! `failures`: what went wrong in a run, by cause.

use std::io::{self, Write};

use backends::store::Run;
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
    /// The run, by a part of its name that no other has, or by its job, of which it is the newest; default: the one that goes on, else the newest.
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
    /// Images that these have hit, each counted once.
    images: u64,
    /// Images that were stopped before they were done.
    cancelled: u64,
    /// Images that are open, whether a process works on them or not.
    open: u64,
    /// Repositories that were not taken in full.
    unlisted: Vec<UnlistedSection>,
    /// What is worth a look and is no failure; the report has the words.
    warnings: u64,
    /// What to do; null if nothing helps, or nothing need be done.
    next: Option<String>,
}

/// Version of the JSON.
const VERSION: u32 = 1;

pub(crate) async fn run(args: FailuresArgs) -> anyhow::Result<Exit> {
    let records = Records::need(&args.data).await?;
    let seen = records.run(args.run.as_deref()).await?;
    let causes = if args.images { Causes::with_all_names() } else { Causes::default() };
    let undone = records.undone(seen.run.id, causes).await?;
    let (counts, data) = (&seen.run.counts, args.data.as_flag());
    let next = undone.next(&seen, &data);
    let failures = Failures {
        version: VERSION,
        job: seen.run.job.clone(),
        run: seen.run.id.to_string(),
        state: seen.state(),
        causes: undone.causes,
        images: undone.images,
        cancelled: counts.cancelled,
        open: counts.tasks.saturating_sub(counts.done()),
        unlisted: undone.unlisted,
        warnings: records.store.warnings(seen.run.id).await?.len() as u64,
        next,
    };
    let mut out = text::stdout();
    if args.json {
        text::write_json(&mut out, &failures)?;
    } else {
        print(&mut out, &failures, &seen.run, args.images, &data)?;
        if args.run.is_none() {
            let others = records.others(&seen.run).await?;
            others.iter().try_for_each(|other| writeln!(out, "{other}"))?;
        }
    }
    Ok(Exit::Done)
}

/// Prints causes, with the command that would name all images, if this one does not.
fn print(out: &mut impl Write, failures: &Failures, run: &Run, names_all: bool, data: &str) -> io::Result<()> {
    let Failures { job, state, causes, unlisted, .. } = failures;
    writeln!(out, "{job}  run {}  {state}  {}", run.id.short(), headline(failures))?;
    for cause in causes {
        writeln!(out, "\n{}", causes::head(cause))?;
        writeln!(out, "         {}", cause.meaning)?;
        writeln!(out, "         {}", cause.message)?;
        causes::write_hint(out, cause.hint.as_deref())?;
        causes::write_again(out, cause)?;
        for image in &cause.first {
            writeln!(out, "         {image}")?;
        }
        let more = cause.images.saturating_sub(cause.first.len() as u64);
        if more > 0 && !names_all {
            let (more, run) = (text::number(more), run.id.short());
            writeln!(out, "         and {more} more: image-factory failures {run} --images{data}")?;
        }
    }
    for line in unlisted {
        writeln!(out)?;
        causes::write_unlisted(out, line)?;
    }
    causes::write_warnings(out, failures.warnings, run, data)?;
    match &failures.next {
        Some(next) => writeln!(out, "next     {next}"),
        None => Ok(()),
    }
}

/// What went wrong, and what was not done, counted.
fn headline(failures: &Failures) -> String {
    let Failures { state, causes, images, cancelled, open, unlisted, .. } = failures;
    let mut parts = Vec::new();
    if !causes.is_empty() {
        parts.push(format!("{}, {}", text::count(causes.len() as u64, "cause"), text::count(*images, "image")));
    }
    match unlisted.len() {
        0 => {}
        1 => parts.push("1 repository not taken in full".to_owned()),
        more => parts.push(format!("{more} repositories not taken in full")),
    }
    if parts.is_empty() {
        parts.push(format!("nothing went wrong{}", if *state == "running" { " until now" } else { "" }));
    }
    if *cancelled > 0 {
        parts.push(format!("{} cancelled", text::count(*cancelled, "image")));
    }
    if *open > 0 && *state == "cut off" {
        parts.push(format!("{} not finished", text::count(*open, "image")));
    }
    parts.join("; ")
}
