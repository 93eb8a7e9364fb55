//! Writes `report.csv`: a line for each image and destination, and one for each repository that could not be listed.
//!
//! RFC 4180 with a header line, in UTF-8; nothing is left out. A spreadsheet would run a cell that looks like a formula,
//! and what is in a cell may be anyone's words: so a cell that begins, after white space, with `=`, `+`, `-` or `@` (or
//! their full-width forms), or with a tab or a line break, gets an apostrophe in front. `report.json` has the very text.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use backends::store::{ReportDestination, ReportRow};
use csv::{IntoInnerError, Terminator, Writer, WriterBuilder};
use proto::Failure;

use crate::report::TABLE;
use crate::report::draft::Draft;

/// The columns. What begins with `image_` is told of the whole image, and stands again on the line of each destination.
const HEADER: [&str; 23] = [
    "source",
    "source_digest",
    "destination",
    "outcome",
    "digest",
    "stage",
    "code",
    "message",
    "hint",
    "again_at",
    "owner",
    "group",
    "kind",
    "rule",
    "platforms",
    "referrers",
    "image_attempts",
    "image_started_at",
    "image_ended_at",
    "image_ms",
    "image_bytes_read",
    "image_bytes_written",
    "image_bytes_saved",
];

/// The table as far as it is written.
pub(super) struct Table {
    lines: Writer<Draft>,
}

impl Table {
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let draft = Draft::create(folder, TABLE)?;
        let mut lines = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(draft);
        lines.write_record(HEADER)?;
        Ok(Self { lines })
    }

    pub(super) fn row(&mut self, row: &ReportRow) -> io::Result<()> {
        if let Some(failure) = &row.failure {
            return self.line(row, None, "unlisted", Some(failure));
        }
        for destination in &row.destinations {
            self.line(row, Some(destination), destination.outcome.as_str(), destination.failure.as_ref())?;
        }
        Ok(())
    }

    fn line(
        &mut self,
        row: &ReportRow,
        destination: Option<&ReportDestination>,
        outcome: &str,
        failure: Option<&Failure>,
    ) -> io::Result<()> {
        let text = |text: Option<String>| text.unwrap_or_default();
        let (origin, content) = destination.map(|destination| (&destination.origin, &destination.content)).unzip();
        let cells: [String; HEADER.len()] = [
            row.source.clone(),
            text(row.source_digest.as_ref().map(ToString::to_string)),
            text(destination.map(|destination| destination.location.to_string())),
            outcome.to_owned(),
            text(destination.and_then(|destination| destination.digest.as_ref()).map(ToString::to_string)),
            text(failure.and_then(|failure| failure.stage).map(|stage| stage.to_string())),
            text(failure.map(|failure| failure.code.to_string())),
            text(failure.map(|failure| failure.message.clone())),
            text(failure.and_then(|failure| failure.hint.clone())),
            text(destination.and_then(|destination| destination.again_at).map(|at| at.to_string())),
            text(origin.and_then(|origin| origin.owner.clone())),
            text(origin.and_then(|origin| origin.group.clone())),
            text(origin.map(|origin| origin.kind.to_string())),
            text(origin.map(|origin| origin.rule.clone())),
            text(content.map(|content| content.platforms.to_string())),
            text(content.map(|content| content.referrers.to_string())),
            row.attempts.to_string(),
            text(row.started_at.map(|at| at.to_string())),
            row.ended_at.to_string(),
            row.stages.iter().map(|time| time.ms).sum::<u64>().to_string(),
            row.spent.bytes_read.to_string(),
            row.spent.bytes_written.to_string(),
            (row.spent.bytes_skipped + row.spent.bytes_mounted).to_string(),
        ];
        self.lines.write_record(cells.iter().map(|cell| harmless(cell).into_owned()))?;
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.lines.into_inner().map_err(IntoInnerError::into_error)?.finish()
    }
}

/// The cell as no spreadsheet takes it for a formula, and no terminal for a command.
fn harmless(cell: &str) -> Cow<'_, str> {
    let is_control = |c: char| c.is_control() && !matches!(c, '\t' | '\r' | '\n');
    if cell.contains(is_control) {
        let shown = cell.chars().map(|c| if is_control(c) { c.escape_default().to_string() } else { c.to_string() });
        return Cow::Owned(harmless(&shown.collect::<String>()).into_owned());
    }
    const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    if cell.starts_with(['\t', '\r', '\n']) || cell.trim_start().starts_with(FORMULA) {
        Cow::Owned(format!("'{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_looks_like_a_formula_is_text() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=1", " =1", "＝1"] {
            assert_eq!(harmless(cell), format!("'{cell}"));
        }
        assert_eq!(harmless("\u{1b}[2J\u{9b}"), "\\u{1b}[2J\\u{9b}");
        for cell in ["", "r.example/app:1", "1-2", "get a manifest: 503"] {
            assert_eq!(harmless(cell), cell);
        }
    }
}
