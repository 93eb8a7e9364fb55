//! The end of a run in a few lines, on standard output.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use coordinator::report::Summary;
use coordinator::report::model::RunEnd;

use crate::text;

/// Prints totals, causes of failure, what was spent and saved, and where the whole report is.
pub(crate) fn print(summary: &Summary, report: &Path) -> io::Result<()> {
    write(&mut text::stdout(), summary, report)
}

fn write(out: &mut impl Write, summary: &Summary, report: &Path) -> io::Result<()> {
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
    let outcomes: Vec<String> =
        outcomes.iter().filter(|(n, _)| *n > 0).map(|(number, outcome)| format!("{number} {outcome}")).collect();
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
        let more = cause.count.saturating_sub(cause.images.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let (outcome, images) = (&cause.outcome, cause.images.join(", "));
        writeln!(out, "{outcome:<8} {} × {}  {images}{more}", cause.count, cause.code)?;
        writeln!(out, "         {}", cause.message)?;
        if let Some(hint) = &cause.hint {
            writeln!(out, "         mend: {hint}")?;
        }
    }
    for unlisted in &summary.unlisted {
        writeln!(out, "unlisted {}  {}: {}", unlisted.repository, unlisted.failure.code, unlisted.failure.message)?;
    }
    for warning in &summary.warnings {
        writeln!(out, "warning  {warning}")?;
    }
    writeln!(out, "report   {}", report.display())
}

/// The part of a run's name that people type.
pub(crate) fn short(run: &str) -> &str {
    run.len().checked_sub(8).and_then(|start| run.get(start..)).unwrap_or(run)
}
