//! `check`: what is wrong with job files, without asking anybody.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use jobfile::{Fault, JobFile, LoadError, RepositoryLocation, printable};
use serde::Serialize;

use crate::exit::Exit;
use crate::text;

/// Check job files: all faults at once, each with its line, its rule and how to mend it. Nothing is asked or changed.
///
/// One that is right is told in a line. Warnings do not fail it, unless `--strict` is given. What would move, registries
/// must be asked for: regsync's `check` is our `plan`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct CheckArgs {
    /// The job files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Let warnings fail it too.
    #[arg(long)]
    strict: bool,

    /// Print faults and warnings as one JSON list, and nothing else.
    #[arg(long)]
    json: bool,
}

const EXAMPLE: &str = "\
Examples:
  image-factory check first.yaml
  image-factory check --strict --json factory.yaml";

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<Exit> {
    let mut out = text::stdout();
    let mut exit = Exit::Done;
    let mut all = Vec::new();
    for path in &args.files {
        let checked = match jobfile::load(path) {
            Ok(file) => Checked { noted: noted(&file.warnings, Severity::Warning), file: Some(file) },
            Err(LoadError::Faults(faults)) => Checked { noted: noted(&faults, Severity::Fault), file: None },
            Err(read @ LoadError::Read { .. }) => Checked { noted: vec![unread(path, &read)], file: None },
        };
        if checked.file.is_none() || (args.strict && !checked.noted.is_empty()) {
            exit = Exit::Usage;
        }
        if !args.json {
            checked.print(&mut out, path, args.strict)?;
        }
        all.extend(checked.noted);
    }
    if args.json {
        text::write_json(&mut out, &all)?;
    }
    Ok(exit)
}

/// A fault or a warning, for machines.
#[derive(Debug, Serialize)]
struct Noted {
    file: String,
    line: usize,
    column: usize,
    rule: &'static str,
    severity: Severity,
    message: String,
    mend: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    Fault,
    Warning,
}

fn noted(faults: &jobfile::Faults, severity: Severity) -> Vec<Noted> {
    let noted = faults.iter().map(|Fault { place, rule, message, mend }| Noted {
        file: place.file.display().to_string(),
        line: place.position.line,
        column: place.position.column,
        rule: rule.as_str(),
        severity,
        message: message.clone(),
        mend: mend.clone(),
    });
    noted.collect()
}

/// What is said of a file that cannot be read; the others are checked all the same.
fn unread(path: &Path, error: &LoadError) -> Noted {
    Noted {
        file: path.display().to_string(),
        line: 1,
        column: 1,
        rule: "read",
        severity: Severity::Fault,
        message: daemon::ErrorChain(error).to_string(),
        mend: "correct the path, or make it readable".to_owned(),
    }
}

/// A file that was checked.
struct Checked {
    noted: Vec<Noted>,
    /// None if it has faults.
    file: Option<JobFile>,
}

impl Checked {
    fn print(&self, out: &mut impl Write, path: &Path, strict: bool) -> io::Result<()> {
        for Noted { file, line, column, rule, severity, message, mend } in &self.noted {
            let severity = if *severity == Severity::Warning { " (warning)" } else { "" };
            let text = format!("{file}:{line}:{column} {rule}{severity} {message}; {mend}");
            writeln!(out, "{}", printable(&text))?;
        }
        let number = self.noted.len() as u64;
        let path = path.display();
        match &self.file {
            None => writeln!(out, "wrong  {path}  {}", text::count(number, "fault")),
            Some(file) => {
                let word = if strict && number > 0 { "wrong" } else { "ok" };
                let warnings =
                    if number > 0 { format!(" · {}", text::count(number, "warning")) } else { String::new() };
                writeln!(out, "{word:<5}  {path}  {}{warnings}", outline(file))
            }
        }
    }
}

/// What the file is about, in numbers: `2 jobs · 3 groups · 420 repositories → 2 registries`.
fn outline(file: &JobFile) -> String {
    let sources: BTreeSet<_> = file.jobs.iter().flat_map(|job| &job.sources).map(|source| &source.location).collect();
    let lines = || file.jobs.iter().flat_map(|job| &job.sources).flat_map(|source| &source.lines);
    let groups: BTreeSet<_> = lines().filter_map(|line| line.group.as_ref()).collect();
    let (mut registries, mut layouts) = (BTreeSet::new(), BTreeSet::new());
    for destination in lines().flat_map(|line| &line.destinations) {
        match destination {
            RepositoryLocation::Registry(repository) => drop(registries.insert(repository.host())),
            RepositoryLocation::Layout { path, .. } => drop(layouts.insert(path)),
        }
    }
    let jobs = file.jobs.iter().filter(|job| job.name.is_some()).count();
    let some = |number: usize, one: &str, many: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{number} {many}")),
    };
    let from = [
        some(jobs, "job", "jobs"),
        some(groups.len(), "group", "groups"),
        some(sources.len(), "repository", "repositories"),
    ];
    let to = [some(registries.len(), "registry", "registries"), some(layouts.len(), "layout", "layouts")];
    let join = |parts: &[Option<String>]| parts.iter().flatten().cloned().collect::<Vec<_>>().join(" · ");
    format!("{} → {}", join(&from), join(&to))
}
