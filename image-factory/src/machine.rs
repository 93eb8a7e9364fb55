//! What a program reads of a run: `--json`, one JSON object a line on standard output.
//!
//! Every line has `version`, `event` and `run`. Names stay once released; events and fields may be added. Images that were up
//! to date come at the end. A run that is left at once, by a second signal, has no `run_ended`.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use backends::store::{ReportDestination, ReportRow, Run, Waiting};
use coordinator::Event;
use coordinator::report::model::{FailureSection, RunEnd, Totals};
use coordinator::report::{PAGE, Summary, TABLE};
use serde::Serialize;

use crate::text;

/// Version of the lines' form.
const VERSION: u32 = 1;

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    version: u32,
    run: &'a str,
    #[serde(flatten)]
    what: What<'a>,
}

/// What happened.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum What<'a> {
    /// Always the first.
    RunStarted {
        job: &'a str,
        file: &'a str,
        file_digest: String,
        commit: Option<&'a str>,
        /// What the run is limited to; null: all of the job.
        only: Option<&'a str>,
        /// RFC 3339, as all times.
        started_at: String,
    },
    /// An image came to its end. Each image of the run has one such line.
    Image {
        source: &'a str,
        /// What the source showed.
        source_digest: Option<String>,
        /// The worst of its destinations' outcomes: `up_to_date`, `pushed`, `postponed`, `cancelled` or `failed`.
        outcome: &'a str,
        attempts: u32,
        destinations: Vec<Destination>,
    },
    /// A repository could not be listed, or its lines select another number of tags than expected.
    RepositoryFailed { repository: &'a str, failure: FailureSection },
    /// An attempt failed or was deferred at a destination, and there will be another one.
    TryFailed {
        source: &'a str,
        destination: String,
        /// Tries that failed until now; a deferral is none.
        tries: u32,
        deferred: bool,
        not_before: String,
        failure: FailureSection,
    },
    /// Always the last.
    RunEnded { end: RunEnd, totals: Totals, ms: u64, warnings: &'a [String], report: Files },
}

/// An image at one of its destinations.
#[derive(Serialize)]
struct Destination {
    destination: String,
    outcome: &'static str,
    /// What the tag shows, verified.
    digest: Option<String>,
    failure: Option<FailureSection>,
}

/// Where the report is.
#[derive(Serialize)]
struct Files {
    json: String,
    csv: String,
    html: String,
}

/// Writes the lines of one run after the other.
#[derive(Default)]
pub(crate) struct Machine {
    run: String,
    /// Rows that were told.
    told: HashSet<String>,
}

impl Machine {
    /// Begins the lines of a run.
    pub(crate) fn begin(&mut self, run: &Run) -> anyhow::Result<()> {
        *self = Self { run: run.id.to_string(), told: HashSet::new() };
        self.write(What::RunStarted {
            job: &run.job,
            file: &run.file_path,
            file_digest: run.file_digest.to_string(),
            commit: run.git_commit.as_deref(),
            only: run.only.as_deref(),
            started_at: run.started_at.to_string(),
        })
    }

    /// Tells what happened.
    pub(crate) fn tell(&mut self, event: &Event) -> anyhow::Result<()> {
        match event {
            Event::Ended(row) => self.row(row),
            // Its row may come again at the end.
            Event::Unlisted { repository, failure } => self.unlisted(repository, failure.into()),
            Event::Waits(Waiting { source, location, tries, is_deferred, not_before, failure }) => {
                self.write(What::TryFailed {
                    source,
                    destination: location.to_string(),
                    tries: *tries,
                    deferred: *is_deferred,
                    not_before: not_before.to_string(),
                    failure: failure.into(),
                })
            }
        }
    }

    /// Tells how an image, or a repository that could not be listed, ended; once.
    pub(crate) fn row(&mut self, row: &ReportRow) -> anyhow::Result<()> {
        if let Some(failure) = &row.failure {
            return self.unlisted(&row.source, failure.into());
        }
        if !self.told.insert(row.source.clone()) {
            return Ok(());
        }
        let destination = |destination: &ReportDestination| Destination {
            destination: destination.location.to_string(),
            outcome: destination.outcome.as_str(),
            digest: destination.digest.as_ref().map(ToString::to_string),
            failure: destination.failure.as_ref().map(Into::into),
        };
        self.write(What::Image {
            source: &row.source,
            source_digest: row.source_digest.as_ref().map(ToString::to_string),
            outcome: row.outcome.as_str(),
            attempts: row.attempts,
            destinations: row.destinations.iter().map(destination).collect(),
        })
    }

    /// Ends the lines of a run; `report` is its `report.json`.
    pub(crate) fn end(&self, summary: &Summary, report: &Path) -> anyhow::Result<()> {
        let file = |name| report.with_file_name(name).display().to_string();
        self.write(What::RunEnded {
            end: summary.run.end,
            totals: summary.totals,
            ms: summary.spent.ms,
            warnings: &summary.warnings,
            report: Files { json: report.display().to_string(), csv: file(TABLE), html: file(PAGE) },
        })
    }

    fn unlisted(&mut self, repository: &str, failure: FailureSection) -> anyhow::Result<()> {
        if !self.told.insert(repository.to_owned()) {
            return Ok(());
        }
        self.write(What::RepositoryFailed { repository, failure })
    }

    fn write(&self, what: What) -> anyhow::Result<()> {
        let line = serde_json::to_string(&Line { version: VERSION, run: &self.run, what })?;
        writeln!(text::stdout(), "{line}").context("write to standard output")
    }
}
