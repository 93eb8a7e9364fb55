//! Results and dead letters: what an attempt said, recorded once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use proto::failure::{Class, Code};
use proto::outcome::{End, StageTime};
use proto::{Attempt, Failure, Outcome, TaskId, TaskResult, limits};

use super::batch::{Batch, Found, FoundDestination, Settled};
use super::db::to_json;
use super::placements::PlacementUpdates;
use super::settle::{Tally, settle};
use super::warnings::add_warning;
use super::{Store, StoreError};

/// What became of a message about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It moved its task: closed, or on to the next attempt.
    First,
    /// It closed its task, which had nothing to do: all destinations were up to date.
    UpToDate,
    /// This attempt's result was recorded before.
    Duplicate,
    /// The task is closed, or at another attempt.
    Stale,
}

impl Recorded {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::UpToDate => "up_to_date",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
        }
    }
}

impl Store {
    /// Records results, all in one transaction; says what became of each.
    ///
    /// Whatever becomes of it, a result first updates the placements that it names. The first result of the present
    /// attempt of an open task then closes the task, or makes its next attempt ready for the destinations that are
    /// not finished.
    ///
    /// # Errors
    /// The database failed; then nothing is recorded.
    pub async fn record(&self, results: &[TaskResult], now: Timestamp) -> Result<Vec<Recorded>, StoreError> {
        let mut tx = self.begin().await?;
        let mut batch = Batch::read(&mut tx, results.iter().map(|result| result.task)).await?;
        let (mut recorded, mut tally) = (Vec::with_capacity(results.len()), Tally::default());
        let mut placements = PlacementUpdates::new(now);
        for result in results {
            let Some(found) = batch.get_mut(result.task) else {
                tracing::warn!(task.id = %result.task, "a result of a task that is not in the store");
                recorded.push(Recorded::Stale);
                continue;
            };
            let mut is = classify(found, result);
            placements.take(&mut tx, found, result, is != Recorded::First).await?;
            if is == Recorded::First {
                apply(found, result, self.retry_after, now);
                for warning in &result.warnings {
                    add_warning(&mut tx, found.run, warning).await?;
                }
                settle(found, now, &mut tally);
                if matches!(found.settled, Some(Settled::Done { outcome: Outcome::UpToDate, .. })) {
                    is = Recorded::UpToDate;
                }
            }
            recorded.push(is);
        }
        placements.write(&mut tx).await?;
        batch.write(&mut tx, now).await?;
        tally.write(&mut tx).await?;
        tx.commit().await?;
        Ok(recorded)
    }

    /// Takes up an attempt that the Queue gave up delivering. That is no failure, for cut connections and restarts
    /// count as deliveries: the next attempt runs solo. If that one comes back too, the task is closed as failed with
    /// `worker_lost`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn dead_letter(&self, task: TaskId, attempt: Attempt, now: Timestamp) -> Result<Recorded, StoreError> {
        let mut tx = self.begin().await?;
        let mut batch = Batch::read(&mut tx, [task]).await?;
        let Some(found) = batch.get_mut(task) else { return Ok(Recorded::Stale) };
        if !found.is_open || found.attempt != attempt {
            return Ok(Recorded::Stale);
        }
        found.dead_letters += 1;
        if found.dead_letters > 1 {
            let failure = worker_lost(found.dead_letters);
            let open = found.destinations.iter_mut().filter(|destination| destination.outcome.is_none());
            open.for_each(|destination| destination.fail(&failure));
        }
        let mut tally = Tally::default();
        settle(found, now, &mut tally);
        batch.write(&mut tx, now).await?;
        tally.write(&mut tx).await?;
        tx.commit().await?;
        Ok(Recorded::First)
    }
}

fn worker_lost(dead_letters: u32) -> Failure {
    let times = dead_letters * limits::DELIVERIES_MAX;
    Failure {
        stage: None,
        code: Code::WorkerLost,
        class: Class::Reject,
        message: format!("the task was handed out {times} times in {dead_letters} attempts and nobody answered"),
        hint: Some("look into the workers' logs for what stopped them: memory, most often".to_owned()),
    }
}

fn classify(found: &mut Found, result: &TaskResult) -> Recorded {
    // A Store that was put back from a copy may be behind: the name of an attempt to come is not spent.
    if result.attempt > found.attempt {
        return Recorded::Stale;
    }
    if !found.recorded.insert(result.attempt) {
        return Recorded::Duplicate;
    }
    found.newly_recorded.push(result.attempt);
    if found.is_open && result.attempt == found.attempt { Recorded::First } else { Recorded::Stale }
}

/// Notes what the attempt said of each destination that it was to reach, and what it took.
fn apply(found: &mut Found, result: &TaskResult, retry_after: [Duration; 2], now: Timestamp) {
    let is_retry = |end: &End| matches!(end, End::Failed(failure) if failure.class == Class::Retry);
    found.tries += u32::from(result.destinations.iter().any(|destination| is_retry(&destination.end)));
    let delay = jittered(retry_after[usize::from(found.tries > 1)], result.task, found.tries);
    let tries = found.tries;
    let sought = found.destinations.iter_mut();
    let sought = sought.filter(|destination| destination.attempt == result.attempt && destination.outcome.is_none());
    for destination in sought {
        let said = result.destinations.iter().find(|said| said.location.to_string() == destination.target);
        if let Some(said) = said {
            apply_end(destination, &said.end, (tries, delay), now);
        } else {
            let message = format!("the worker's result says nothing of `{}`", destination.target);
            destination.fail(&Failure { stage: None, code: Code::Internal, class: Class::Bug, message, hint: None });
        }
    }
    if result.source_digest.is_some() {
        found.source_digest.clone_from(&result.source_digest);
    }
    found.spent += result.spent;
    found.stages = add_stages(&found.stages, &result.stages);
}

fn apply_end(destination: &mut FoundDestination, end: &End, (tries, delay): (u32, Duration), now: Timestamp) {
    let (failure, wait, deferred) = match end {
        End::Placed { digest, moved, .. } => {
            let is_known = destination.known_digest.as_deref() == Some(digest.as_str());
            destination.outcome = Some(if is_known && !moved { Outcome::UpToDate } else { Outcome::Pushed });
            destination.digest = Some(digest.as_str().to_owned());
            destination.failure = None;
            return;
        }
        End::Failed(failure) if failure.class == Class::Retry && tries < limits::TRIES_MAX => {
            (Some(failure), delay, false)
        }
        End::Failed(failure) => return destination.fail(failure),
        End::Deferred { wait, failure } => (Some(failure), *wait, true),
        End::Interrupted { wait } => (None, *wait, false),
    };
    destination.not_before = now.checked_add(wait).unwrap_or(Timestamp::MAX);
    destination.deferred = deferred;
    destination.failure = failure.map(to_json);
}

/// Spreads a delay by up to a fifth to either side, so that what failed together does not return together. It follows
/// from the task, so that a run can be played again.
fn jittered(delay: Duration, task: TaskId, tries: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (task, tries).hash(&mut hasher);
    let per_mille = 800 + u32::try_from(hasher.finish() % 401).unwrap_or(200);
    delay * per_mille / 1_000
}

/// Adds the times of an attempt, stage by stage.
fn add_stages(before: &[StageTime], more: &[StageTime]) -> Vec<StageTime> {
    let mut sum = before.to_vec();
    for time in more {
        match sum.iter_mut().find(|known| known.stage == time.stage) {
            Some(known) => known.ms += time.ms,
            None => sum.push(*time),
        }
    }
    sum
}
