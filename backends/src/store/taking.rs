//! Tasks being taken: which of those that are due may have their destination tags, written at once.

use std::collections::HashMap;

use jiff::Timestamp;
use proto::task::{Destination, Mirror, TaskKind};
use proto::{Location, Outcome, Task, TaskId, limits};

use super::StoreError;
use super::batch::Batch;
use super::chunks::Change;
use super::db::{Arg, Tx, to_json};
use super::dispatch::{Due, DueDestination, Taker, target_owned};
use super::settle::{Tally, close_if_done};

/// Tasks that are taken in a transaction.
#[derive(Default)]
pub(super) struct Taking {
    pub(super) tasks: Vec<Task>,
    /// Who takes a destination tag.
    claims: HashMap<String, TaskId>,
    /// Destination tags of other jobs, and who owns them from now on.
    taken_over: Vec<[Arg; 2]>,
    tally: Tally,
}

impl Taking {
    /// Takes one task, unless it has to wait, or nothing was left to do.
    pub(super) async fn take(
        &mut self,
        tx: &mut Tx,
        taker: &Taker,
        due: Due,
        destinations: Vec<DueDestination>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut free = Vec::with_capacity(destinations.len());
        for DueDestination { location, content, owner, placed, listed, read_back, parts } in destinations {
            if let Some(owner) = owner.filter(|owner| *owner != taker.job && !taker.take_over) {
                fail_owned(tx, &due, &location, &owner, now).await?;
            } else {
                free.push(Destination { location, content, placed, listed, read_back, parts });
            }
        }
        let targets: Vec<String> = free.iter().map(|destination| destination.location.to_string()).collect();
        // What others had claimed before is not due.
        if targets.iter().any(|target| self.claims.contains_key(target)) {
            return Ok(());
        }
        if free.is_empty() && self.close_if_done(tx, due.id, now).await? {
            return Ok(());
        }
        if taker.take_over {
            let job = || taker.job.as_str().into();
            self.taken_over.extend(targets.iter().map(|target| [target.as_str().into(), job()]));
        }
        self.claims.extend(targets.into_iter().map(|target| (target, due.id)));
        self.tasks.push(Task {
            run: taker.run,
            id: due.id,
            attempt: due.attempt,
            solo: due.solo,
            deadline: limits::ATTEMPT_DEADLINE,
            bundle: taker.bundle.clone(),
            kind: TaskKind::Mirror(Mirror {
                source: due.source,
                listed: due.listed,
                sidecars: due.sidecars,
                destinations: free,
            }),
        });
        Ok(())
    }

    /// Closes a task whose destinations are all done; says whether it did.
    async fn close_if_done(&mut self, tx: &mut Tx, task: TaskId, now: Timestamp) -> Result<bool, StoreError> {
        let mut batch = Batch::read(tx, [task]).await?;
        let is_closed = batch.get_mut(task).is_some_and(|found| close_if_done(found, now, &mut self.tally));
        batch.write(tx, now).await?;
        Ok(is_closed)
    }

    /// Writes what was taken.
    pub(super) async fn write(self, tx: &mut Tx, now: Timestamp) -> Result<Vec<Task>, StoreError> {
        let Self { tasks, claims, taken_over, tally } = self;
        let wanted = claims.len();
        let rows = claims.into_iter().map(|(target, task)| [target.into(), task.into()]).collect();
        if CLAIM.execute(tx, "claim destination tags", rows).await? != wanted as u64 {
            let text = "a destination tag is claimed that was free in the same transaction".to_owned();
            return Err(StoreError::Corrupt { column: "claims", text });
        }
        TAKE_OVER.execute(tx, "take over destination tags", taken_over).await?;
        let rows = tasks.iter().map(|task| [task.id.into(), now.into()]).collect();
        TAKE_TASKS.execute(tx, "take tasks", rows).await?;
        let rows = tasks.iter().flat_map(|task| {
            let TaskKind::Mirror(mirror) = &task.kind;
            mirror.destinations.iter().map(|destination| {
                let known = destination.placed.as_ref().map(|placed| placed.digest.as_str());
                let target = destination.location.to_string();
                [task.id.into(), target.into(), task.attempt.0.into(), known.into()]
            })
        });
        TAKE_DESTINATIONS.execute(tx, "take destinations", rows.collect()).await?;
        tally.write(tx).await?;
        Ok(tasks)
    }
}

static CLAIM: Change<2> = Change::new(
    "insert into claims (target, task) select column1, column2 from (CHUNK) as new where column1 is not null
         on conflict (project, target) do update set task = excluded.task where claims.task = excluded.task",
);

static TAKE_OVER: Change<2> = Change::new(
    "update placements set job = column2 from (CHUNK) as new where project = 'default' and target = column1",
);

static TAKE_TASKS: Change<2> = Change::new(
    "update tasks set started_at = coalesce(started_at, column2), taken_at = column2 from (CHUNK) as new
         where tasks.id = column1",
);

/// The digest at the first attempt is kept: an attempt that was lost may have moved the tag, and that was us.
static TAKE_DESTINATIONS: Change<4> = Change::new(
    "update destinations set attempt = column3,
             known_digest = case when attempt = 0 then column4 else known_digest end
         from (CHUNK) as new where task = column1 and target = column2",
);

async fn fail_owned(
    tx: &mut Tx,
    due: &Due,
    location: &Location,
    owner: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let failure = target_owned(location, owner);
    tx.execute(
        "refuse a destination tag",
        "update destinations set outcome = $3, failure = $4, attempt = $5 where task = $1 and target = $2",
        &[
            due.id.into(),
            location.to_string().into(),
            Outcome::Failed.as_str().into(),
            to_json(&failure).into(),
            due.attempt.0.into(),
        ],
    )
    .await?;
    let sql = "update tasks set started_at = coalesce(started_at, $2) where id = $1";
    tx.execute("take a task", sql, &[due.id.into(), now.into()]).await?;
    Ok(())
}
