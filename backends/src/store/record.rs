//! Results and dead letters: what an attempt said, recorded once.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use proto::failure::{Class, Code};
use proto::outcome::{DestinationResult, End, Spent, StageTime};
use proto::{Attempt, Failure, Outcome, RunId, TaskId, TaskResult, limits};

use super::db::{Tx, to_json};
use super::placements::update_placements;
use super::settle::{Tally, settle};
use super::warnings::add_warning;
use super::{Store, StoreError};

/// What became of a message about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It moved its task: closed, or on to the next attempt.
    First,
    /// This attempt's result was recorded before.
    Duplicate,
    /// The task is closed, or at another attempt.
    Stale,
}

/// A task as `record` finds it.
struct Found {
    run: RunId,
    job: String,
    open: bool,
    attempt: Attempt,
    tries: u32,
    dead_letters: u32,
    spent: Spent,
    stages: Vec<StageTime>,
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
        let mut tx = self.db.begin().await?;
        let (mut recorded, mut tally) = (Vec::with_capacity(results.len()), Tally::default());
        for result in results {
            recorded.push(self.record_one(&mut tx, result, now, &mut tally).await?);
        }
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
        let mut tx = self.db.begin().await?;
        let Some(found) = find(&mut tx, task).await? else { return Ok(Recorded::Stale) };
        if !found.open || found.attempt != attempt {
            return Ok(Recorded::Stale);
        }
        let dead_letters = found.dead_letters + 1;
        if dead_letters > 1 {
            let failure = to_json(&worker_lost(dead_letters));
            let sql = "update destinations set outcome = $2, failure = $3 where task = $1 and outcome is null";
            let args = [task.into(), Outcome::Failed.as_str().into(), failure.into()];
            tx.execute("give up a task", sql, &args).await?;
        }
        let sql = "update tasks set dead_letters = $2 where id = $1";
        tx.execute("count a dead letter", sql, &[task.into(), dead_letters.into()]).await?;
        let mut tally = Tally::default();
        settle(&mut tx, found.run, task, now, &mut tally).await?;
        tally.write(&mut tx).await?;
        tx.commit().await?;
        Ok(Recorded::First)
    }

    async fn record_one(
        &self,
        tx: &mut Tx,
        result: &TaskResult,
        now: Timestamp,
        tally: &mut Tally,
    ) -> Result<Recorded, StoreError> {
        let Some(found) = find(tx, result.task).await? else {
            tracing::warn!(task.id = %result.task, "a result of a task that is not in the store");
            return Ok(Recorded::Stale);
        };
        let recorded = classify(tx, &found, result, now).await?;
        update_placements(tx, found.run, &found.job, result, recorded != Recorded::First, now).await?;
        if recorded == Recorded::First {
            apply(tx, &found, result, self.retry_after, now).await?;
            for warning in &result.warnings {
                add_warning(tx, found.run, warning).await?;
            }
            settle(tx, found.run, result.task, now, tally).await?;
        }
        Ok(recorded)
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

async fn find(tx: &mut Tx, task: TaskId) -> Result<Option<Found>, StoreError> {
    let sql = "select tasks.run, runs.job, tasks.state, tasks.attempt, tasks.tries, tasks.dead_letters, tasks.spent,
             tasks.stages
         from tasks join runs on runs.id = tasks.run where tasks.id = $1";
    let Some(row) = tx.row("read a task", sql, &[task.into()]).await? else { return Ok(None) };
    Ok(Some(Found {
        run: row.parse("run")?,
        job: row.text("job")?,
        open: row.text("state")? != "done",
        attempt: Attempt(row.number("attempt")?),
        tries: row.number("tries")?,
        dead_letters: row.number("dead_letters")?,
        spent: row.json("spent")?,
        stages: row.json("stages")?,
    }))
}

async fn classify(tx: &mut Tx, found: &Found, result: &TaskResult, now: Timestamp) -> Result<Recorded, StoreError> {
    // A Store that was put back from a copy may be behind: the name of an attempt to come is not spent.
    if result.attempt > found.attempt {
        return Ok(Recorded::Stale);
    }
    let inserted = tx
        .execute(
            "record an attempt",
            "insert into attempts (task, attempt, recorded_at) values ($1, $2, $3) on conflict do nothing",
            &[result.task.into(), result.attempt.0.into(), now.into()],
        )
        .await?;
    Ok(match inserted {
        0 => Recorded::Duplicate,
        _ if found.open && result.attempt == found.attempt => Recorded::First,
        _ => Recorded::Stale,
    })
}

/// Writes what the attempt said of each destination, and what it took.
async fn apply(
    tx: &mut Tx,
    found: &Found,
    result: &TaskResult,
    retry_after: [Duration; 2],
    now: Timestamp,
) -> Result<(), StoreError> {
    let is_retry = |end: &End| matches!(end, End::Failed(failure) if failure.class == Class::Retry);
    let tries = found.tries + u32::from(result.destinations.iter().any(|destination| is_retry(&destination.end)));
    let delay = jittered(retry_after[usize::from(tries > 1)], result.task, tries);
    let mut unmentioned = destinations_of(tx, result).await?;
    for destination in &result.destinations {
        let target = destination.location.to_string();
        if unmentioned.remove(&target) {
            apply_end(tx, result, destination, (tries, delay), now).await?;
        }
    }
    for target in unmentioned {
        let message = format!("the worker's result says nothing of `{target}`");
        let failure = Failure { stage: None, code: Code::Internal, class: Class::Bug, message, hint: None };
        fail(tx, result.task, &target, &failure).await?;
    }
    let mut spent = found.spent;
    spent += result.spent;
    tx.execute(
        "add to what a task took",
        "update tasks set tries = $2, source_digest = coalesce($3, source_digest), spent = $4, stages = $5
         where id = $1",
        &[
            result.task.into(),
            tries.into(),
            result.source_digest.as_ref().map(proto::Digest::as_str).into(),
            to_json(&spent).into(),
            to_json(&add_stages(&found.stages, &result.stages)).into(),
        ],
    )
    .await?;
    Ok(())
}

/// The destinations that this attempt was to reach.
async fn destinations_of(tx: &mut Tx, result: &TaskResult) -> Result<BTreeSet<String>, StoreError> {
    let sql = "select target from destinations where task = $1 and attempt = $2 and outcome is null";
    let rows = tx.rows("read a task's destinations", sql, &[result.task.into(), result.attempt.0.into()]).await?;
    rows.iter().map(|row| row.text("target")).collect()
}

async fn apply_end(
    tx: &mut Tx,
    result: &TaskResult,
    destination: &DestinationResult,
    (tries, delay): (u32, Duration),
    now: Timestamp,
) -> Result<(), StoreError> {
    let target = destination.location.to_string();
    let (failure, wait, deferred) = match &destination.end {
        End::Placed { digest, moved, .. } => {
            let sql = "update destinations set digest = $3, failure = null,
                 outcome = case when known_digest = $3 and $4 = 0 then 'up_to_date' else 'pushed' end
                 where task = $1 and target = $2";
            let args = [result.task.into(), target.into(), digest.as_str().into(), (*moved).into()];
            tx.execute("record a placed image", sql, &args).await?;
            return Ok(());
        }
        End::Failed(failure) if failure.class == Class::Retry && tries < limits::TRIES_MAX => {
            (Some(failure), delay, false)
        }
        End::Failed(failure) => return fail(tx, result.task, &target, failure).await,
        End::Deferred { wait, failure } => (Some(failure), *wait, true),
        End::Interrupted { wait } => (None, *wait, false),
    };
    let not_before = now.checked_add(wait).unwrap_or(Timestamp::MAX);
    tx.execute(
        "record an unfinished destination",
        "update destinations set not_before = $3, deferred = $4, failure = $5 where task = $1 and target = $2",
        &[result.task.into(), target.into(), not_before.into(), deferred.into(), failure.map(to_json).into()],
    )
    .await?;
    Ok(())
}

async fn fail(tx: &mut Tx, task: TaskId, target: &str, failure: &Failure) -> Result<(), StoreError> {
    tx.execute(
        "record a failed destination",
        "update destinations set outcome = $3, failure = $4 where task = $1 and target = $2",
        &[task.into(), target.into(), Outcome::Failed.as_str().into(), to_json(failure).into()],
    )
    .await?;
    Ok(())
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
