//! What went wrong, for people: causes, and what to do next about them.

use std::io::{self, Write};

use backends::store::Run;
use coordinator::report::model::{CauseSection, UnlistedSection};
use jiff::Timestamp;

use crate::records::clock;
use crate::text;

/// Writes how many images a cause hit, with the first of them by name.
pub(crate) fn write(out: &mut impl Write, cause: &CauseSection) -> io::Result<()> {
    let more = cause.images.saturating_sub(cause.first.len() as u64);
    let more = if more > 0 { format!(" and {} more", text::number(more)) } else { String::new() };
    writeln!(out, "{}  {}{more}", head(cause), cause.first.join(", "))?;
    writeln!(out, "         {}", cause.message)?;
    write_hint(out, cause.hint.as_deref())?;
    write_again(out, cause)
}

/// Writes from when on what was postponed may be tried again.
pub(crate) fn write_again(out: &mut impl Write, cause: &CauseSection) -> io::Result<()> {
    match again_at(cause) {
        Some(at) => writeln!(out, "         again from {} on", clock(at, Timestamp::now())),
        None => Ok(()),
    }
}

fn again_at(cause: &CauseSection) -> Option<Timestamp> {
    cause.again_at.as_ref()?.parse().ok()
}

/// Outcome, number of images, code and registry of a cause.
pub(crate) fn head(cause: &CauseSection) -> String {
    let CauseSection { outcome, code, images, destinations, .. } = cause;
    let host = cause.host.as_ref().map(|host| format!(" at {host}")).unwrap_or_default();
    let places =
        if destinations > images { format!(" ({} destinations)", text::number(*destinations)) } else { String::new() };
    format!("{outcome:<8} {} × {code}{host}{places}", text::number(*images))
}

/// Writes that a repository was not taken in full, and why: it could not be listed, or has not the tags that are
/// expected.
pub(crate) fn write_unlisted(out: &mut impl Write, unlisted: &UnlistedSection) -> io::Result<()> {
    let UnlistedSection { repository, failure } = unlisted;
    writeln!(out, "left out {repository}  {}", failure.code)?;
    writeln!(out, "         {}", failure.message)?;
    write_hint(out, failure.hint.as_deref())
}

pub(crate) fn write_hint(out: &mut impl Write, hint: Option<&str>) -> io::Result<()> {
    match hint {
        Some(hint) => writeln!(out, "         mend: {hint}"),
        None => Ok(()),
    }
}

/// Writes how many warnings a run has, and the command that names them; while it is open it has no report yet.
pub(crate) fn write_warnings(out: &mut impl Write, warnings: u64, run: &Run, data: &str) -> io::Result<()> {
    match (warnings, &run.ended) {
        (0, _) => Ok(()),
        (_, None) => writeln!(out, "warnings {}: the report will name them", text::number(warnings)),
        (_, Some(_)) => {
            writeln!(out, "warnings {}: image-factory report {}{data}", text::number(warnings), run.id.short())
        }
    }
}

/// A run with something left to do.
pub(crate) struct Rest<'a> {
    /// The part of its name that people type.
    pub(crate) run: &'a str,
    /// Where its file lies.
    pub(crate) file: &'a str,
    /// What a command needs to find the data folder.
    pub(crate) data: &'a str,
    /// Whether the run knew all its images.
    pub(crate) is_whole: bool,
    /// Images that are left to do, for whatever reason.
    pub(crate) postponed: u64,
    pub(crate) cancelled: u64,
    pub(crate) failed: u64,
    pub(crate) causes: &'a [CauseSection],
    pub(crate) unlisted: &'a [UnlistedSection],
}

impl Rest<'_> {
    /// What helps, as a command; none if nothing is left to do. What would end the same has to be mended first.
    pub(crate) fn next(&self) -> Option<String> {
        let Self { run, file, data, .. } = self;
        if !self.is_whole {
            return Some(format!("image-factory run {file}{data}"));
        }
        let others = self.postponed + self.cancelled;
        let failed = self.failed + self.unlisted.len() as u64;
        let retry = match (others, failed) {
            (0, 0) => return None,
            (0, _) => format!("image-factory retry {run} --failed{data}"),
            (_, 0) if self.cancelled == 0 => format!("{}image-factory retry {run}{data}", self.from(Timestamp::now())),
            _ => format!("image-factory retry {run}{data}"),
        };
        let failed = self.causes.iter().filter(|cause| cause.outcome == "failed");
        let reasons = failed.map(|cause| (cause.class.as_str(), cause.code.as_str()));
        let listings = self.unlisted.iter().map(|line| (line.failure.class.as_str(), line.failure.code.as_str()));
        let refused: Vec<_> =
            reasons.chain(listings).filter(|(class, _)| *class == "reject").map(|(_, code)| code).collect();
        let is_login = |code: &&str| code.ends_with("_unauthorized") || code.ends_with("_forbidden");
        Some(if refused.iter().any(is_login) {
            format!("`image-factory doctor {file}` tells which credentials are used and what they may; then {retry}")
        } else if refused.is_empty() {
            retry
        } else {
            format!("mend what is named above, or it ends the same; then {retry}")
        })
    }

    /// From when on something may be done of what was postponed, unless that is now: before it comes the same again.
    fn from(&self, now: Timestamp) -> String {
        let at = self.causes.iter().filter_map(again_at).min().filter(|at| *at > now);
        at.map(|at| format!("from {} on: ", clock(at, now))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(class: &str, code: &str, cancelled: u64) -> Option<String> {
        let cause = CauseSection {
            outcome: "failed".into(),
            code: code.into(),
            meaning: String::new(),
            class: class.into(),
            host: None,
            images: 1,
            destinations: 1,
            first: Vec::new(),
            message: String::new(),
            hint: None,
            again_at: None,
        };
        let causes = [cause];
        let failed = u64::from(!class.is_empty());
        let causes = if failed == 1 { &causes[..] } else { &[] };
        let (run, file, data) = ("7f3a8899", "first.yaml", "");
        Rest { run, file, data, is_whole: true, postponed: 0, cancelled, failed, causes, unlisted: &[] }.next()
    }

    #[test]
    fn what_comes_next_is_a_command_and_mending_comes_before_it_where_repeating_cannot_help() {
        assert_eq!(next("", "", 0), None);
        assert_eq!(next("", "", 3).unwrap(), "image-factory retry 7f3a8899");
        assert_eq!(next("retry", "source_unavailable", 0).unwrap(), "image-factory retry 7f3a8899 --failed");
        assert_eq!(
            next("reject", "source_not_found", 0).unwrap(),
            "mend what is named above, or it ends the same; then image-factory retry 7f3a8899 --failed"
        );
        assert!(next("reject", "destination_forbidden", 1).unwrap().starts_with("`image-factory doctor first.yaml`"));
    }
}
