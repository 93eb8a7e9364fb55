//! The end of a run in a few lines, on standard output.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use backends::store::Run;
use coordinator::report::model::{RunEnd, Totals};
use coordinator::report::{PAGE, Summary};

use crate::causes::{self, Rest};
use crate::cli::args::DataArgs;
use crate::text;

/// Prints totals, causes of failure, what was spent and saved, where the page of the report is, and what comes next:
/// `next`, or what helps this run.
pub(crate) fn print(
    summary: &Summary,
    run: &Run,
    data: &DataArgs,
    report: &Path,
    next: Option<&str>,
) -> io::Result<()> {
    let out = &mut text::stdout();
    write(out, summary, &report.with_file_name(PAGE))?;
    let (id, data) = (run.id.short(), data.as_flag());
    let Totals { postponed, cancelled, failed, .. } = summary.totals;
    let rest = Rest {
        run: &id,
        file: &run.file_path,
        data: &data,
        is_whole: run.expanded,
        postponed,
        cancelled,
        failed,
        causes: &summary.causes,
        unlisted: &summary.unlisted,
    };
    match next.map(str::to_owned).or_else(|| rest.next()) {
        Some(next) => writeln!(out, "next     {next}"),
        None => Ok(()),
    }
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
        (totals.unlisted, "unlisted"),
    ];
    let outcomes = counted(&outcomes);
    if !outcomes.is_empty() {
        writeln!(out, "  {outcomes}")?;
    }
    // One that is down does not hide that another has everything.
    for share in summary.registries.iter().filter(|_| summary.registries.len() > 1) {
        let outcomes = [
            (share.up_to_date, "up to date"),
            (share.pushed, "pushed"),
            (share.postponed, "postponed"),
            (share.cancelled, "cancelled"),
            (share.failed, "failed"),
        ];
        writeln!(out, "  at {}  {}", share.name.as_deref().unwrap_or_default(), counted(&outcomes))?;
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
        causes::write(out, cause)?;
    }
    for unlisted in &summary.unlisted {
        causes::write_unlisted(out, unlisted)?;
    }
    for warning in &summary.warnings {
        writeln!(out, "warning  {warning}")?;
    }
    writeln!(out, "report   {}", page.display())
}

/// Those of several counts that are not zero.
fn counted(outcomes: &[(u64, &str)]) -> String {
    let counted = outcomes.iter().filter(|(number, _)| *number > 0);
    counted.map(|(number, outcome)| format!("{} {outcome}", text::number(*number))).collect::<Vec<_>>().join(" · ")
}

/// The part of a run's name that people type.
pub(crate) fn short(run: &str) -> &str {
    run.len().checked_sub(8).and_then(|start| run.get(start..)).unwrap_or(run)
}
