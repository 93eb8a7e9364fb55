//! The end of a run in a few lines, on standard output.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use coordinator::report::model::{CauseSection, RunEnd, UnlistedSection};
use coordinator::report::{PAGE, Summary};

use crate::exit::Exit;
use crate::text;

/// Prints totals, causes of failure, what was spent and saved, and where the page of the report is.
pub(crate) fn print(summary: &Summary, report: &Path) -> io::Result<()> {
    write(&mut text::stdout(), summary, &report.with_file_name(PAGE))
}

fn write(out: &mut impl Write, summary: &Summary, page: &Path) -> io::Result<()> {
    let (run, totals, spent) = (&summary.run, &summary.totals, &summary.spent);
    let end = match run.end {
        RunEnd::Finished => "finished",
        RunEnd::Interrupted => "was interrupted",
    };
    let took = text::duration(Duration::from_millis(spent.ms));
    writeln!(out, "{}  run {}  {end} after {took}  {}", run.job, short(&run.id), text::count(totals.images, "image"))?;
    let outcomes = [
        (totals.up_to_date, "up to date"),
        (totals.pushed, "pushed"),
        (totals.postponed, "postponed"),
        (totals.cancelled, "cancelled"),
        (totals.failed, "failed"),
    ];
    let outcomes: Vec<String> = outcomes
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(number, outcome)| format!("{} {outcome}", text::number(*number)))
        .collect();
    if !outcomes.is_empty() {
        writeln!(out, "  {}", outcomes.join(" · "))?;
    }
    if spent.blobs_written + spent.blobs_skipped + spent.blobs_mounted > 0 {
        writeln!(
            out,
            "  {} sent in {} · {} saved (skipped {}, mounted {})",
            text::bytes(spent.bytes_written),
            text::count(spent.blobs_written, "blob"),
            text::bytes(spent.bytes_skipped + spent.bytes_mounted),
            text::bytes(spent.bytes_skipped),
            text::bytes(spent.bytes_mounted),
        )?;
    }
    for cause in &summary.causes {
        write_cause(out, cause)?;
    }
    for UnlistedSection { repository, failure } in &summary.unlisted {
        writeln!(out, "unlisted {repository}  {}: {}", failure.code, failure.message)?;
        write_hint(out, failure.hint.as_deref())?;
    }
    for warning in &summary.warnings {
        writeln!(out, "warning  {warning}")?;
    }
    writeln!(out, "report   {}", page.display())?;
    match next_step(summary) {
        Some(step) => writeln!(out, "next     {step}"),
        None => Ok(()),
    }
}

/// How many images a cause hit, with the first of them by name.
fn write_cause(out: &mut impl Write, cause: &CauseSection) -> io::Result<()> {
    let CauseSection { outcome, code, images, destinations, first, .. } = cause;
    let host = cause.host.as_ref().map(|host| format!(" at {host}")).unwrap_or_default();
    let places = if destinations > images { format!(" ({destinations} destinations)") } else { String::new() };
    let more = images.saturating_sub(first.len() as u64);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    writeln!(out, "{outcome:<8} {images} × {code}{host}{places}  {}{more}", first.join(", "))?;
    writeln!(out, "         {}", cause.message)?;
    write_hint(out, cause.hint.as_deref())
}

fn write_hint(out: &mut impl Write, hint: Option<&str>) -> io::Result<()> {
    match hint {
        Some(hint) => writeln!(out, "         mend: {hint}"),
        None => Ok(()),
    }
}

/// What to do when something is left to do.
fn next_step(summary: &Summary) -> Option<&'static str> {
    if Exit::of_run(summary) == Exit::Done {
        return None;
    }
    let causes = summary.causes.iter().map(|cause| &cause.code);
    let mut codes = causes.chain(summary.unlisted.iter().map(|unlisted| &unlisted.failure.code));
    let is_refused = |code: &String| ["_unauthorized", "_forbidden"].iter().any(|end| code.ends_with(end));
    Some(if codes.any(is_refused) {
        "`image-factory doctor FILE` tells which credentials are used and what they may; then run it again"
    } else {
        "run it again: what is done is not done again"
    })
}

/// The part of a run's name that people type.
pub(crate) fn short(run: &str) -> &str {
    run.len().checked_sub(8).and_then(|start| run.get(start..)).unwrap_or(run)
}
