//! `status`: how a run stands: what is done, what it waits for, what went wrong, when it ends.

mod print;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;

use backends::store::{Progress, Waiting};
use clap::Args;
use coordinator::report::model::{CauseSection, UnlistedSection};
use coordinator::report::{self, Causes};
use jiff::Timestamp;
use proto::failure::Code;
use proto::{Host, Outcome};
use serde::Serialize;

use crate::cli::args::DataArgs;
use crate::exit::Exit;
use crate::records::{Records, Seen, Undone};
use crate::text;

/// Tell how a run stands: when it ends, what it waits for, what went wrong and how to mend it.
///
/// It may be asked at any time, also while the run goes on in another process.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {
    /// The run, by a part of its name that no other has, or by its job, of which it is the newest; default: the one that goes on, else the newest.
    pub(crate) run: Option<String>,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Print it as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  image-factory status
  image-factory status 7f3a19c2 --json";

/// Version of the JSON.
const VERSION: u32 = 1;

/// Images that must be done before their rate tells when the rest will be.
const DONE_MIN: u64 = 20;

pub(crate) async fn run(args: StatusArgs) -> anyhow::Result<Exit> {
    let records = Records::need(&args.data).await?;
    let seen = records.run(args.run.as_deref()).await?;
    let progress = records.store.progress(seen.run.id).await?;
    let undone = records.undone(seen.run.id, Causes::default()).await?;
    let waiting = match seen.run.ended {
        Some(_) => Vec::new(),
        None => records.store.waiting(seen.run.id).await?,
    };
    let now = Timestamp::now();
    let warnings = records.store.warnings(seen.run.id).await?.len() as u64;
    let status = Status::of(&seen, &progress, &waiting, undone, &args.data.as_flag(), now);
    let status = Status { warnings, ..status };
    let mut out = text::stdout();
    if args.json {
        text::write_json(&mut out, &status)?;
    } else {
        print::print(&mut out, &status, &seen.run, &args.data.as_flag(), now)?;
        if args.run.is_none() {
            let others = records.others(&seen.run).await?;
            others.iter().try_for_each(|other| writeln!(out, "{other}"))?;
        }
    }
    Ok(Exit::Done)
}

/// How a run stands. Times are RFC 3339.
#[derive(Serialize)]
struct Status {
    version: u32,
    job: String,
    run: String,
    /// `running`, `cut off` (open, and no process works on it), `finished`, `cancelled` or `interrupted`.
    state: &'static str,
    started_at: String,
    ended_at: Option<String>,
    /// Milliseconds that it took, or has taken until now.
    ms: u64,
    /// When it ends if it goes on like this; null if there is nothing to go by.
    ends_about: Option<String>,
    file: String,
    file_digest: String,
    commit: Option<String>,
    /// What it is limited to; null: all of the job.
    only: Option<String>,
    /// Images known until now.
    images: u64,
    /// Whether these are all.
    all_known: bool,
    up_to_date: u64,
    pushed: u64,
    postponed: u64,
    cancelled: u64,
    failed: u64,
    /// Handed out: with a worker, or on the way there; of a run that was cut off, left so.
    under_way: u64,
    /// Not begun, or waiting for another try.
    to_do: u64,
    /// Waiting for a time that a registry named.
    deferred: u64,
    /// What is waited for.
    waits: Vec<Wait>,
    causes: Vec<CauseSection>,
    unlisted: Vec<UnlistedSection>,
    /// What is worth a look and is no failure; the report has the words.
    warnings: u64,
    /// What to do; null if nothing helps, or nothing need be done.
    next: Option<String>,
}

/// Images that wait for one reason.
#[derive(Serialize)]
struct Wait {
    /// Whether a registry named the time; else it is the delay before another try.
    deferred: bool,
    /// Which try comes next; null for deferrals.
    next_try: Option<u32>,
    code: String,
    /// The registry that is waited for.
    host: Option<String>,
    images: u64,
    /// When the first of them goes on.
    first_at: String,
    /// When the last of them does.
    last_at: String,
    /// What the first of them came back with.
    message: String,
}

impl Status {
    fn of(seen: &Seen, progress: &Progress, waiting: &[Waiting], undone: Undone, data: &str, now: Timestamp) -> Self {
        let (run, state) = (&seen.run, seen.state());
        let counts = &run.counts;
        let unlisted = undone.unlisted.len() as u64;
        let (images, failed) = (counts.tasks.saturating_sub(unlisted), counts.failed.saturating_sub(unlisted));
        let until = run.ended.map_or(now, |(_, at)| at);
        let elapsed = until.duration_since(run.started_at).unsigned_abs();
        let left = progress.ready + progress.published;
        let is_running = state == "running";
        let ends_about = is_running.then(|| time_left(run.expanded, counts.done(), left, elapsed)).flatten();
        let next = undone.next(seen, data);
        let Undone { causes, unlisted, .. } = undone;
        Self {
            version: VERSION,
            job: run.job.clone(),
            run: run.id.to_string(),
            state,
            started_at: run.started_at.to_string(),
            ended_at: run.ended.map(|(_, at)| at.to_string()),
            ms: elapsed.as_millis().try_into().unwrap_or(u64::MAX),
            ends_about: ends_about.and_then(|left| Some(now.checked_add(left).ok()?.to_string())),
            file: run.file_path.clone(),
            file_digest: run.file_digest.to_string(),
            commit: run.git_commit.clone(),
            only: run.only.clone(),
            images,
            all_known: run.expanded,
            up_to_date: counts.of(Outcome::UpToDate),
            pushed: counts.pushed,
            postponed: counts.postponed,
            cancelled: counts.cancelled,
            failed,
            under_way: if run.ended.is_none() { progress.published } else { 0 },
            to_do: progress.ready,
            deferred: progress.deferred,
            waits: fold_waits(waiting),
            causes,
            unlisted,
            warnings: 0,
            next,
        }
    }
}

/// As long for each image that is left as one took until now; none before there is something to go by.
fn time_left(all_known: bool, done: u64, left: u64, elapsed: Duration) -> Option<Duration> {
    (all_known && done >= DONE_MIN && left > 0).then(|| elapsed.mul_f64(left as f64 / done as f64))
}

/// One entry for each reason; deferrals first, then by time.
fn fold_waits(waiting: &[Waiting]) -> Vec<Wait> {
    type Reason = (bool, u32, Code, Option<Host>);
    let mut reasons: BTreeMap<Reason, (Wait, BTreeSet<&str>)> = BTreeMap::new();
    for Waiting { source, location, tries, is_deferred, not_before, failure } in waiting {
        let next_try = (!is_deferred).then_some(tries + 1);
        let host = report::host(failure.code, source, location);
        let reason = (!is_deferred, next_try.unwrap_or_default(), failure.code, host.clone());
        let (wait, sources) = reasons.entry(reason).or_insert_with(|| {
            let wait = Wait {
                deferred: *is_deferred,
                next_try,
                code: failure.code.to_string(),
                host: host.map(|host| host.to_string()),
                images: 0,
                first_at: not_before.to_string(),
                last_at: String::new(),
                message: failure.message.clone(),
            };
            (wait, BTreeSet::new())
        });
        // What is due first comes first.
        wait.last_at = not_before.to_string();
        sources.insert(source);
    }
    reasons.into_values().map(|(wait, sources)| Wait { images: sources.len() as u64, ..wait }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_only_when_enough_is_done() {
        let minute = Duration::from_secs(60);
        assert_eq!(time_left(true, 100, 50, minute), Some(minute / 2));
        assert_eq!(time_left(false, 100, 50, minute), None, "more may come");
        assert_eq!(time_left(true, 19, 50, minute), None, "too few");
        assert_eq!(time_left(true, 100, 0, minute), None, "only deferred ones are left");
    }
}
