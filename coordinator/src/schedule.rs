//! When a job is due by its schedule, and what there is to do then. Pure, and the same for every coordinator: two that
//! look at once find the same firing, which the Store has once.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jobfile::{Missed, Overlap, Schedule};
use proto::Digest;

/// What starts later than this was missed: to choose another leader takes seconds, to start a coordinator again a
/// minute or two.
const LATE_MAX: SignedDuration = SignedDuration::from_mins(5);

/// One of the times of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firing {
    /// The time itself: with the name of the job the firing's key.
    pub due_at: Timestamp,
    /// When the job starts: later by its jitter.
    pub starts_at: Timestamp,
}

/// What is on record of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Until when its times are settled: the later one of when it was due for the last time on record, whatever came of
    /// it, and when a schedule with these times was first seen. A time that is new in the file was not missed.
    pub since: Timestamp,
    /// How it is with its runs.
    pub runs: Runs,
}

/// How it is with the runs of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// There is one.
    Open,
    /// There is none; when the last one ended, if there ever was one.
    Ended(Option<Timestamp>),
}

/// What a schedule asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// What there is to do now, if there is something.
    pub due: Option<Due>,
    /// What comes next; none if there is no more.
    pub next: Option<Firing>,
}

/// A firing that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The last of the times that passed: at most this one starts.
    pub firing: Firing,
    /// The first of the times that it stands for: an earlier one if some were missed.
    pub first: Timestamp,
    /// What to do.
    pub step: Step,
}

/// What to do about a firing that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Record it, and start a run for it.
    Start,
    /// Look again when the job's run is over.
    Wait,
    /// Record that it was left out, and say why.
    Skip(Reason),
}

/// Why a firing is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No coordinator was there in time.
    Missed,
    /// The job still runs.
    Overlap,
}

impl Reason {
    /// In words, after `left out, because`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "no coordinator was there at that time",
            Self::Overlap => "the run before is not over",
        }
    }
}

/// What there is to do for the schedule of `job`, of which `seen` is on record.
pub fn look(job: &str, schedule: &Schedule, seen: &Seen, now: Timestamp) -> Look {
    let firing = |due_at| Firing { due_at, starts_at: starts_at(job, schedule, due_at) };
    let mut next = schedule.next(now).map(firing);
    let mut passed = schedule.latest(now).map(firing);
    while let Some(last) = passed.filter(|last| last.due_at > seen.since) {
        if last.starts_at <= now {
            let first = schedule.next(seen.since).unwrap_or(last.due_at);
            let step = step(schedule, last, seen.runs, now);
            return Look { due: Some(Due { firing: last, first, step }), next };
        }
        // Its jitter is not over, so one before it may be the last that is due.
        next = Some(last);
        passed = schedule.latest(last.due_at - SignedDuration::from_secs(1)).map(firing);
    }
    Look { due: None, next }
}

fn step(schedule: &Schedule, firing: Firing, runs: Runs, now: Timestamp) -> Step {
    match (runs, schedule.overlap, schedule.missed) {
        (Runs::Open, Overlap::Skip, _) => Step::Skip(Reason::Overlap),
        (Runs::Open, Overlap::Queue, _) => Step::Wait,
        (Runs::Ended(ended), _, Missed::Skip) => {
            // While it waited for a run, it was not missed.
            let could_start = ended.map_or(firing.starts_at, |ended| ended.max(firing.starts_at));
            if now.duration_since(could_start) > LATE_MAX { Step::Skip(Reason::Missed) } else { Step::Start }
        }
        (Runs::Ended(_), _, Missed::Once) => Step::Start,
    }
}

/// When a job starts that is due at `due_at`: spread by its name and by the time, so that jobs of one time do not all
/// start at once, and no job always last.
fn starts_at(job: &str, schedule: &Schedule, due_at: Timestamp) -> Timestamp {
    let digest = Digest::of(format!("{}\n{job}", due_at.as_second()).as_bytes());
    let number = digest.hex().get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or_default();
    let later = Duration::from_secs(number % (schedule.jitter.as_secs() + 1));
    due_at.checked_add(later).unwrap_or(due_at)
}

#[cfg(test)]
mod tests;
