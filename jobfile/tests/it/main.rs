//! The crate from outside: files in, values or faults out.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod faults;
mod files;
mod semver;
mod tag_lists;

use std::path::Path;

use jobfile::{Faults, JobFile, Line, Source};

/// Reads `text` as `/jobs/first.yaml`.
fn parse(text: &str) -> Result<JobFile, Faults> {
    jobfile::parse(text.as_bytes(), Path::new("/jobs/first.yaml"))
}

/// The sources of a file that is one job.
fn sources(file: &JobFile) -> &[Source] {
    assert_eq!(file.jobs.len(), 1);
    &file.jobs[0].sources
}

/// The only line for the first source.
fn only_line(file: &JobFile) -> &Line {
    let lines = &sources(file)[0].lines;
    assert_eq!(lines.len(), 1);
    &lines[0]
}

/// Reads `text`, which must be right.
fn good(text: &str) -> JobFile {
    parse(text).unwrap_or_else(|faults| panic!("{faults}"))
}
