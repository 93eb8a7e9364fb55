//! The lines of `why` for people.

use std::io::{self, Write};

use jiff::Timestamp;

use super::{DestinationSection, LeftRun, PlacementSection, TaskSection, UnlistedRun, Why};
use crate::records::clock;
use crate::summary::short;
use crate::text;

/// Prints rule, source and destinations; the rule once if all destinations have the same.
pub(super) fn print(out: &mut impl Write, why: &Why, now: Timestamp) -> io::Result<()> {
    let at = |text: &str| text.parse().map_or_else(|_| text.to_owned(), |at| clock(at, now));
    if why.is_empty() {
        return print_nothing(out, why);
    }
    for UnlistedRun { job, repository, run, run_started_at, failure } in &why.unlisted {
        writeln!(out, "{repository}")?;
        writeln!(out, "  job      {job}, run {} of {}", short(run), at(run_started_at))?;
        writeln!(out, "  failed   this repository was not taken in full")?;
        writeln!(out, "    because  {}: {}", failure.code, failure.message)?;
        print_mend(out, failure.hint.as_deref())?;
    }
    for LeftRun { job, run, run_started_at } in &why.left {
        writeln!(
            out,
            "run {} of job {job}, {}, did not take it: its file's rules leave it (`image-factory tags FILE REF` tells why)",
            short(run),
            at(run_started_at)
        )?;
    }
    if let Some(images) = why.images.filter(|images| *images > 0) {
        writeln!(out, "{}: {} on record; name one", why.image, text::count(images, "image"))?;
        why.close.iter().try_for_each(|name| writeln!(out, "  image-factory why {name}"))?;
    }
    for task in &why.tasks {
        print_task(out, task, &at)?;
    }
    if let Some(placement) = &why.placement {
        writeln!(out, "{}", why.image)?;
        print_placement(out, placement, &at)?;
    }
    Ok(())
}

fn print_nothing(out: &mut impl Write, why: &Why) -> io::Result<()> {
    writeln!(out, "nothing is on record about {}: no run has taken it, and it was placed by none", why.image)?;
    for name in &why.close {
        writeln!(out, "  close    {name}")?;
    }
    writeln!(
        out,
        "next     `image-factory tags FILE REPOSITORY` tells which tags a job file takes, and why it leaves others"
    )
}

fn print_task(out: &mut impl Write, task: &TaskSection, at: &impl Fn(&str) -> String) -> io::Result<()> {
    writeln!(out, "{}", task.source)?;
    writeln!(out, "  job      {}, run {} of {}", task.job, short(&task.run), at(&task.run_started_at))?;
    if let Some(seen_at) = &task.unchanged_at {
        writeln!(out, "  seen     {}: listings showed it as it was placed, so nothing was to do", at(seen_at))?;
    }
    match &task.source_digest {
        Some(digest) => writeln!(out, "  source   {digest}")?,
        None => writeln!(out, "  source   not read in this run")?,
    }
    let mut rule = None;
    for destination in &task.destinations {
        let this = rule_text(destination);
        if !this.is_empty() && rule.as_ref() != Some(&this) {
            writeln!(out, "  rule     {this}")?;
        }
        rule = Some(this);
        print_destination(out, destination, task.attempts, at)?;
    }
    Ok(())
}

/// The rule that takes an image, with the place where it stands and who answers for it.
fn rule_text(destination: &DestinationSection) -> String {
    let DestinationSection { rule, place, group, owner, .. } = destination;
    let mut parts = Vec::new();
    if !rule.is_empty() {
        parts.push(format!("`{rule}`"));
    }
    if !place.is_empty() {
        parts.push(format!("at {place}"));
    }
    if let Some(group) = group {
        let owner = owner.as_ref().map(|owner| format!(" of {owner}")).unwrap_or_default();
        parts.push(format!("in group {group}{owner}"));
    }
    // The record may be older than the rule that a job file holds no control characters.
    jobfile::printable(&parts.join(" "))
}

fn print_destination(
    out: &mut impl Write,
    destination: &DestinationSection,
    attempts: u32,
    at: &impl Fn(&str) -> String,
) -> io::Result<()> {
    writeln!(out, "  → {}", destination.destination)?;
    let tries = if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
    match destination.outcome {
        Some("failed") => writeln!(out, "    failed   after {tries}")?,
        Some(outcome) => writeln!(out, "    outcome  {}", outcome.replace('_', " "))?,
        None => writeln!(out, "    outcome  open, {tries} until now")?,
    }
    if let Some(failure) = &destination.failure {
        writeln!(out, "    because  {}: {}", failure.code, failure.message)?;
        print_mend(out, failure.hint.as_deref())?;
    }
    match &destination.placement {
        Some(placement) => {
            print_placement(out, placement, at)?;
            let written_for = destination.written_for.as_ref();
            written_for.map_or(Ok(()), |platforms| writeln!(out, "             written anew for {platforms}"))
        }
        None => writeln!(out, "    holds    nothing of ours"),
    }
}

fn print_placement(out: &mut impl Write, placement: &PlacementSection, at: &impl Fn(&str) -> String) -> io::Result<()> {
    let PlacementSection { digest, job, seen_at, run, verified_at } = placement;
    writeln!(out, "    holds    {digest}, as recorded")?;
    writeln!(out, "             seen {} by run {}; the tag is job {job}'s", at(seen_at), short(run))?;
    match verified_at {
        Some(verified_at) => writeln!(out, "             verified to the last blob {}", at(verified_at)),
        None => writeln!(out, "             in doubt: the next run reads it back"),
    }
}

fn print_mend(out: &mut impl Write, hint: Option<&str>) -> io::Result<()> {
    match hint {
        Some(hint) => writeln!(out, "    mend     {hint}"),
        None => Ok(()),
    }
}
