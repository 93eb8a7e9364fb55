//! Writes `report.html`: one file that needs nothing else, without a script, for screens, phones and paper.
//!
//! The head of the page comes first and is known last, so rows wait, rendered, in files without a name. Whatever others
//! said, the templates escape it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IntoInnerError, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use askama::{FastWritable, Template, Values};
use backends::store::{Origin, ReportRow, Run, RunEnd};
use proto::Outcome;
use proto::content::{Platforms, Referrers};

use crate::report::draft::Draft;
use crate::report::json::Rest;
use crate::report::model::ShareSection;
use crate::report::{JSON, PAGE, TABLE, words};

/// Rows on the page, the worst first: more would make a browser slow, and `report.csv` has all.
const ROWS_MAX: usize = 5_000;

/// The page before its head is known: rendered rows by outcome, worst first.
pub(super) struct Page {
    folder: PathBuf,
    rows: BTreeMap<Reverse<Outcome>, Rows>,
}

impl Page {
    pub(super) fn create(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), rows: BTreeMap::new() }
    }

    pub(super) fn row(&mut self, row: &ReportRow) -> io::Result<()> {
        if row.outcome == Outcome::UpToDate {
            return Ok(());
        }
        let rows = match self.rows.entry(Reverse(row.outcome)) {
            Entry::Occupied(rows) => rows.into_mut(),
            Entry::Vacant(place) => place.insert(Rows::create(&self.folder)?),
        };
        rows.add(row)
    }

    pub(super) fn finish(self, run: &Run, rest: &Rest) -> io::Result<()> {
        let mut room = ROWS_MAX;
        let mut groups = Vec::new();
        for (Reverse(outcome), rows) in self.rows {
            let shown = rows.ends.len().min(room);
            room -= shown;
            groups.push(Group { outcome, images: rows.images, shown: shown as u64, rows: rows.first(shown)? });
        }
        let mut draft = Draft::create(&self.folder, PAGE)?;
        Template::write_into(&Whole { run, rest, groups }, &mut draft)?;
        draft.finish()
    }
}

/// Rendered rows of one outcome, as many as a page may need.
struct Rows {
    file: BufWriter<File>,
    /// Where each row ends in the file.
    ends: Vec<u64>,
    /// How many there would be without an end.
    images: u64,
}

impl Rows {
    fn create(folder: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(tempfile::tempfile_in(folder)?), ends: Vec::new(), images: 0 })
    }

    fn add(&mut self, row: &ReportRow) -> io::Result<()> {
        self.images += 1;
        if self.ends.len() < ROWS_MAX {
            let html = Image { row }.render().map_err(io::Error::from)?;
            self.file.write_all(html.as_bytes())?;
            self.ends.push(self.ends.last().unwrap_or(&0) + html.len() as u64);
        }
        Ok(())
    }

    fn first(self, rows: usize) -> io::Result<Rendered> {
        let mut file = self.file.into_inner().map_err(IntoInnerError::into_error)?;
        file.rewind()?;
        let bytes = rows.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or_default();
        Ok(Rendered { file, bytes })
    }
}

/// The beginning of a file of rendered rows, which passes into the page line by line.
struct Rendered {
    file: File,
    bytes: u64,
}

impl FastWritable for Rendered {
    fn write_into(&self, page: &mut dyn fmt::Write, _: &dyn Values) -> askama::Result<()> {
        let mut lines = BufReader::new((&self.file).take(self.bytes));
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            page.write_str(&line)?;
            line.clear();
        }
        Ok(())
    }
}

/// The images of one outcome.
struct Group {
    outcome: Outcome,
    images: u64,
    shown: u64,
    rows: Rendered,
}

#[derive(Template)]
#[template(path = "report.html", whitespace = "minimize")]
struct Whole<'a> {
    run: &'a Run,
    rest: &'a Rest,
    groups: Vec<Group>,
}

#[derive(Template)]
#[template(path = "image.html", whitespace = "minimize")]
struct Image<'a> {
    row: &'a ReportRow,
}

impl ShareSection {
    /// How the owner's images ended, in the order in which a person wants to know, without what did not occur.
    fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> {
        let outcomes = [
            (Outcome::Failed, self.failed),
            (Outcome::Cancelled, self.cancelled),
            (Outcome::Postponed, self.postponed),
            (Outcome::Pushed, self.pushed),
            (Outcome::UpToDate, self.up_to_date),
        ];
        outcomes.into_iter().filter(|(_, images)| *images > 0)
    }
}

impl Whole<'_> {
    fn is_finished(&self) -> bool {
        matches!(self.run.ended, Some((RunEnd::Finished, _)))
    }

    fn took(&self) -> String {
        words::duration(Duration::from_millis(self.rest.spent.ms))
    }

    /// How many images ended how, in the order in which a person wants to know.
    fn totals(&self) -> [(&'static str, u64); 6] {
        let totals = &self.rest.totals;
        [
            ("failed", totals.failed),
            ("unlisted", totals.unlisted),
            ("cancelled", totals.cancelled),
            ("postponed", totals.postponed),
            ("pushed", totals.pushed),
            ("up_to_date", totals.up_to_date),
        ]
    }
}

impl Image<'_> {
    /// Who wants it, if that is the same at all destinations.
    fn origin(&self) -> Option<&Origin> {
        let (first, others) = self.row.destinations.split_first()?;
        others.iter().all(|other| other.origin == first.origin).then_some(&first.origin)
    }

    /// From the start of the first attempt to the end of the last.
    fn took(&self) -> Option<String> {
        let time = self.row.ended_at.duration_since(self.row.started_at?);
        Some(words::duration(time.unsigned_abs()))
    }

    /// `2026-01-02 01:30:04 to 01:30:21`: the day is told again only if it is another.
    fn times(&self) -> String {
        let ended = words::moment(self.row.ended_at);
        let Some(started) = self.row.started_at.map(words::moment) else { return ended };
        match (started.split_once(' '), ended.split_once(' ')) {
            (Some((day, _)), Some((same, time))) if day == same => format!("{started} to {time}"),
            _ => format!("{started} to {ended}"),
        }
    }

    fn attempts(&self) -> String {
        words::count(self.row.attempts.into(), "attempt")
    }

    fn saved(&self) -> String {
        words::bytes(self.row.spent.bytes_skipped + self.row.spent.bytes_mounted)
    }
}

/// What templates do to a value, as in `{{ images|number }}`.
#[expect(unreachable_pub, reason = "the attribute adds public items")]
mod filters {
    use std::time::Duration;

    use askama::{Result, Values, filter_fn};
    use jiff::Timestamp;

    use crate::report::words;

    #[filter_fn]
    pub(super) fn number(number: &u64, _: &dyn Values) -> Result<String> {
        Ok(words::number(*number))
    }

    #[filter_fn]
    pub(super) fn count(number: &u64, _: &dyn Values, noun: &str) -> Result<String> {
        Ok(words::count(*number, noun))
    }

    #[filter_fn]
    pub(super) fn bytes(count: &u64, _: &dyn Values) -> Result<String> {
        Ok(words::bytes(*count))
    }

    #[filter_fn]
    pub(super) fn ms(ms: &u64, _: &dyn Values) -> Result<String> {
        Ok(if *ms < 1_000 { format!("{ms} ms") } else { words::duration(Duration::from_millis(*ms)) })
    }

    #[filter_fn]
    pub(super) fn moment(at: &Timestamp, _: &dyn Values) -> Result<String> {
        Ok(words::moment(*at))
    }
}
