//! The crate from outside: files in, values or faults out.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod alone;
mod bank;
mod collisions;
mod faults;
mod files;
mod groups;
mod include;
mod jobs;
mod lists;
mod many;
mod pack;
mod registries;
mod schedule;
mod semver;
mod settings;
mod tag_lists;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use jobfile::{Entry, Faults, Job, JobFile, Line, Source};
use proto::Tag;

/// Reads `text` as `/jobs/first.yaml`.
fn parse(text: &str) -> Result<JobFile, Faults> {
    jobfile::parse(text.as_bytes(), Path::new("/jobs/first.yaml"))
}

/// Reads the first of these files in `/jobs`, beside which the others lie.
fn parse_files(files: &[(&str, &str)]) -> Result<JobFile, Faults> {
    let (name, text) = files[0];
    jobfile::parse_with(text.as_bytes(), &Path::new("/jobs").join(name), &reader(files))
}

/// Reads what lies in `/jobs`.
fn reader<'f>(files: &'f [(&'f str, &'f str)]) -> impl Fn(&Path) -> io::Result<Entry> + 'f {
    |path: &Path| {
        let path = path.strip_prefix("/jobs").map_err(io::Error::other)?;
        if let Some((_, text)) = files.iter().find(|(name, _)| Path::new(name) == path) {
            return Ok(Entry::File(text.as_bytes().to_vec()));
        }
        let below = files.iter().filter_map(|(name, _)| Path::new(name).strip_prefix(path).ok());
        let names: BTreeSet<OsString> = below.filter_map(|path| Some(path.iter().next()?.to_owned())).collect();
        let found = !names.is_empty();
        found.then(|| Entry::Folder(names.into_iter().collect())).ok_or(io::ErrorKind::NotFound.into())
    }
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

/// Reads files, which must be right.
fn good_files(files: &[(&str, &str)]) -> JobFile {
    parse_files(files).unwrap_or_else(|faults| panic!("{faults}"))
}

/// What is wrong with `text`.
fn faults(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// What is wrong with files.
fn faults_of(files: &[(&str, &str)]) -> String {
    parse_files(files).unwrap_err().to_string()
}

/// What a job mirrors: each source, what is taken of `tags`, and where it goes.
fn mirrored(job: &Job, tags: &[&str]) -> Vec<String> {
    let listed: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    let lines = job.sources.iter().flat_map(|source| source.lines.iter().map(move |line| (source, line)));
    let rows = lines.map(|(source, line)| {
        let taken: Vec<String> = line.rules.select(&listed).taken.iter().map(|taken| taken.tag.to_string()).collect();
        let destinations: Vec<String> = line.destinations.iter().map(ToString::to_string).collect();
        format!("{} [{}] -> {}", source.location, taken.join(" "), destinations.join(" "))
    });
    rows.collect()
}
