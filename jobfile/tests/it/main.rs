//! The crate from outside: files in, values or faults out.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod faults;
mod files;
mod semver;
mod tag_lists;

use std::path::Path;

use jobfile::{Faults, JobFile};

/// Reads `text` as `/jobs/first.yaml`.
fn parse(text: &str) -> Result<JobFile, Faults> {
    jobfile::parse(text.as_bytes(), Path::new("/jobs/first.yaml"))
}

/// Reads `text`, which must be right.
fn good(text: &str) -> JobFile {
    parse(text).unwrap_or_else(|faults| panic!("{faults}"))
}
