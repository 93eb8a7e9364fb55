//! Tasks as a batch of messages finds them: read at once, changed in memory, and written at once.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use proto::outcome::{Spent, StageTime};
use proto::{Attempt, Digest, Failure, Outcome, RunId, TaskId};

use super::StoreError;
use super::chunks::{Change, Question};
use super::db::{Arg, Row, Tx, to_json};
use super::settle::read_outcome;

/// Tasks by their names; those that the store does not have are missing.
pub(super) struct Batch(HashMap<TaskId, Found>);

/// A task as it is found, and as it is left.
pub(super) struct Found {
    pub(super) run: RunId,
    pub(super) job: String,
    pub(super) is_open: bool,
    pub(super) attempt: Attempt,
    pub(super) tries: u32,
    pub(super) dead_letters: u32,
    pub(super) source_digest: Option<Digest>,
    pub(super) spent: Spent,
    pub(super) stages: Vec<StageTime>,
    /// All of them, in their order.
    pub(super) destinations: Vec<FoundDestination>,
    /// The attempts whose results are recorded.
    pub(super) recorded: BTreeSet<Attempt>,
    /// Those of them that are new.
    pub(super) newly_recorded: Vec<Attempt>,
    /// What the batch made of it: only then it is written.
    pub(super) settled: Option<Settled>,
}

/// What follows for a task.
pub(super) enum Settled {
    /// Another attempt.
    Ready { not_before: Timestamp, deferred: bool },
    /// Nothing.
    Done { outcome: Outcome, ended_at: Timestamp },
}

/// A destination of such a task.
pub(super) struct FoundDestination {
    pub(super) target: String,
    pub(super) attempt: Attempt,
    pub(super) read_back: bool,
    pub(super) known_digest: Option<String>,
    pub(super) not_before: Timestamp,
    pub(super) deferred: bool,
    pub(super) outcome: Option<Outcome>,
    pub(super) digest: Option<String>,
    /// As JSON.
    pub(super) failure: Option<String>,
}

impl FoundDestination {
    pub(super) fn fail(&mut self, failure: &Failure) {
        (self.outcome, self.failure) = (Some(Outcome::Failed), Some(to_json(failure)));
    }
}

impl Batch {
    pub(super) async fn read(tx: &mut Tx, tasks: impl IntoIterator<Item = TaskId>) -> Result<Self, StoreError> {
        let tasks: BTreeSet<TaskId> = tasks.into_iter().collect();
        let names: Vec<String> = tasks.iter().map(ToString::to_string).collect();
        let mut found = HashMap::with_capacity(names.len());
        for row in &tx.ask("read tasks", &TASKS, &names, None).await? {
            found.insert(row.parse("id")?, read_task(row)?);
        }
        for row in &tx.ask("read tasks", &DESTINATIONS, &names, None).await? {
            let Some(task) = found.get_mut(&row.parse("task")?) else { continue };
            task.destinations.push(read_destination(row)?);
        }
        for row in &tx.ask("read tasks", &ATTEMPTS, &names, None).await? {
            let Some(task) = found.get_mut(&row.parse("task")?) else { continue };
            task.recorded.insert(Attempt(row.number("attempt")?));
        }
        Ok(Self(found))
    }

    pub(super) fn get_mut(&mut self, task: TaskId) -> Option<&mut Found> {
        self.0.get_mut(&task)
    }

    /// Writes what was settled, and gives up the destination tags that those tasks claimed.
    pub(super) async fn write(self, tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
        let attempts = self.0.iter().flat_map(|(id, found)| {
            found.newly_recorded.iter().map(move |attempt| [(*id).into(), attempt.0.into(), now.into()])
        });
        RECORD_ATTEMPTS.execute(tx, "record attempts", attempts.collect()).await?;
        let settled = || self.0.iter().filter_map(|(id, found)| Some((id, found, found.settled.as_ref()?)));
        let tasks = settled().map(|(id, found, settled)| task_row(*id, found, settled)).collect();
        SETTLE_TASKS.execute(tx, "close tasks, or make their next attempts ready", tasks).await?;
        let destinations = settled().flat_map(|(id, found, _)| {
            found.destinations.iter().map(move |destination| destination_row(*id, destination))
        });
        SETTLE_DESTINATIONS.execute(tx, "record how destinations ended", destinations.collect()).await?;
        let claims = settled().map(|(id, ..)| [(*id).into()]).collect();
        RELEASE.execute(tx, "release destination tags", claims).await?;
        Ok(())
    }
}

static TASKS: Question =
    Question::new("select tasks.*, runs.job from tasks join runs on runs.id = tasks.run where tasks.id in (CHUNK)");

static DESTINATIONS: Question =
    Question::new("select * from destinations where task in (CHUNK) order by task, position");

static ATTEMPTS: Question = Question::new("select task, attempt from attempts where task in (CHUNK)");

static RECORD_ATTEMPTS: Change<3> = Change::new(
    "insert into attempts (task, attempt, recorded_at)
         select column1, column2, column3 from (CHUNK) as new where column1 is not null",
);

static SETTLE_TASKS: Change<12> = Change::new(
    "update tasks set state = column2, attempt = column3, not_before = coalesce(column4, not_before),
             deferred = column5, outcome = column6, ended_at = column7, tries = column8, dead_letters = column9,
             source_digest = column10, spent = column11, stages = column12
         from (CHUNK) as new where tasks.id = column1",
);

static SETTLE_DESTINATIONS: Change<7> = Change::new(
    "update destinations set outcome = column3, digest = column4, failure = column5, not_before = column6,
             deferred = column7
         from (CHUNK) as new where task = column1 and target = column2",
);

static RELEASE: Change<1> = Change::new("delete from claims where task in (select column1 from (CHUNK) as old)");

fn read_task(row: &Row) -> Result<Found, StoreError> {
    Ok(Found {
        run: row.parse("run")?,
        job: row.text("job")?,
        is_open: row.text("state")? != "done",
        attempt: Attempt(row.number("attempt")?),
        tries: row.number("tries")?,
        dead_letters: row.number("dead_letters")?,
        source_digest: row.opt_parse("source_digest")?,
        spent: row.json("spent")?,
        stages: row.json("stages")?,
        destinations: Vec::new(),
        recorded: BTreeSet::new(),
        newly_recorded: Vec::new(),
        settled: None,
    })
}

fn read_destination(row: &Row) -> Result<FoundDestination, StoreError> {
    Ok(FoundDestination {
        target: row.text("target")?,
        attempt: Attempt(row.number("attempt")?),
        read_back: row.flag("read_back")?,
        known_digest: row.opt_text("known_digest")?,
        not_before: row.parse("not_before")?,
        deferred: row.flag("deferred")?,
        outcome: read_outcome(row)?,
        digest: row.opt_text("digest")?,
        failure: row.opt_text("failure")?,
    })
}

fn task_row(id: TaskId, found: &Found, settled: &Settled) -> [Arg; 12] {
    let (state, not_before, deferred, ended) = match settled {
        Settled::Done { outcome, ended_at } => ("done", None, false, Some((outcome, ended_at))),
        Settled::Ready { not_before, deferred } => ("ready", Some(*not_before), *deferred, None),
    };
    [
        id.into(),
        state.into(),
        found.attempt.0.into(),
        not_before.into(),
        deferred.into(),
        ended.map(|(outcome, _)| outcome.as_str()).into(),
        ended.map(|(_, at)| *at).into(),
        found.tries.into(),
        found.dead_letters.into(),
        found.source_digest.as_ref().map(Digest::as_str).into(),
        to_json(&found.spent).into(),
        to_json(&found.stages).into(),
    ]
}

fn destination_row(task: TaskId, destination: &FoundDestination) -> [Arg; 7] {
    [
        task.into(),
        destination.target.as_str().into(),
        destination.outcome.map(Outcome::as_str).into(),
        destination.digest.as_deref().into(),
        destination.failure.as_deref().into(),
        destination.not_before.into(),
        destination.deferred.into(),
    ]
}
