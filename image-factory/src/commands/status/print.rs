//! The lines of `status` for people.

use std::io::{self, Write};
use std::time::Duration;

use backends::store::Run;
use jiff::Timestamp;

use super::{Status, Wait};
use crate::causes;
use crate::records::{brief, clock};
use crate::text;

/// Prints causes, not images.
pub(super) fn print(out: &mut impl Write, status: &Status, run: &Run, data: &str, now: Timestamp) -> io::Result<()> {
    let at = |text: &str| text.parse().map_or_else(|_| text.to_owned(), |at| clock(at, now));
    let took = text::duration(Duration::from_millis(status.ms));
    let course = match status.state {
        "running" => match &status.ends_about {
            Some(end) => format!("{took} so far, ends ≈ {}", at(end)),
            None => format!("{took} so far"),
        },
        "cut off" => "cut off: no process works on it".to_owned(),
        state => format!("{state} after {took}"),
    };
    let commit = status.commit.as_deref().map(|commit| format!(" (git {})", commit_text(commit))).unwrap_or_default();
    let more = if status.all_known { "" } else { ", more may come" };
    writeln!(
        out,
        "{}  run {}  {}, {course}  file {}{commit}  {}{more}",
        status.job,
        run.id.short(),
        clock(run.started_at, now),
        brief(&status.file_digest),
        text::count(status.images, "image"),
    )?;
    let counts = counts(status);
    if !counts.is_empty() {
        writeln!(out, "  {}", counts.join(" · "))?;
    }
    if let Some(only) = &status.only {
        writeln!(out, "  limited to {only}")?;
    }
    for wait in &status.waits {
        print_wait(out, wait, now)?;
    }
    for cause in &status.causes {
        causes::write(out, cause)?;
    }
    for unlisted in &status.unlisted {
        causes::write_unlisted(out, unlisted)?;
    }
    causes::write_warnings(out, status.warnings, run, data)?;
    match &status.next {
        Some(next) => writeln!(out, "next     {next}"),
        None => Ok(()),
    }
}

/// How many images are where; what is none is left out.
fn counts(status: &Status) -> Vec<String> {
    let counts = [
        (status.up_to_date, "up to date"),
        (status.pushed, "pushed"),
        (status.postponed, "postponed"),
        (status.cancelled, "cancelled"),
        (status.failed, "failed"),
        (status.unlisted.len() as u64, "unlisted"),
        (status.under_way, if status.state == "cut off" { "not finished" } else { "handed out" }),
        (status.to_do, "to do"),
        (status.deferred, "deferred"),
    ];
    let counted = counts.into_iter().filter(|(count, _)| *count > 0);
    counted.map(|(count, word)| format!("{} {word}", text::number(count))).collect()
}

fn print_wait(out: &mut impl Write, wait: &Wait, now: Timestamp) -> io::Result<()> {
    let (images, code) = (text::number(wait.images), &wait.code);
    let host = wait.host.as_ref().map(|host| format!(" at {host}")).unwrap_or_default();
    let first: Timestamp = wait.first_at.parse().unwrap_or(now);
    if wait.deferred {
        writeln!(out, "deferred {images} × {code}{host} until {}", clock(first, now))?;
    } else {
        let next = wait.next_try.unwrap_or_default();
        let in_time = text::duration(Duration::try_from(first.duration_since(now)).unwrap_or_default());
        writeln!(out, "waits    {images} × {code}{host}, for try {next} of {} in {in_time}", proto::limits::TRIES_MAX)?;
    }
    writeln!(out, "         {}", wait.message)
}

/// The first digits of a commit, and whether the file was changed since.
fn commit_text(commit: &str) -> String {
    match commit.strip_suffix("-dirty") {
        Some(commit) => format!("{}, changed since", brief(commit)),
        None => brief(commit).to_owned(),
    }
}
