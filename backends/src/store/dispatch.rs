//! What is due, and who may have a destination tag.
//!
//! A destination tag has one owner: the job whose placement it is. Beside it, one open task at a time holds a claim on
//! the tag, from the moment in which it is taken until its attempt ends.

use jiff::Timestamp;
use proto::failure::{Class, Code};
use proto::task::{Destination, Listed, Mirror, Placed, Sidecars, TaskKind};
use proto::{Attempt, Content, Digest, Failure, Location, Outcome, RunId, Task, TaskId, limits};

use super::db::{Row, Tx, to_json};
use super::placements::read_placed;
use super::settle::{Tally, close_if_done, release};
use super::{Store, StoreError};

/// An open run, as far as dispatch asks.
struct Taker {
    run: RunId,
    job: String,
    take_over: bool,
}

/// A task that is due.
struct Due {
    id: TaskId,
    attempt: Attempt,
    solo: bool,
    source: Location,
    listed: Option<Digest>,
    sidecars: Sidecars,
}

impl Store {
    /// Takes up to `limit` tasks that are due, from the open runs in turn, and claims their destination tags.
    ///
    /// A task waits while another open task holds one of its tags. A tag that another job owns is closed as failed
    /// with `target_owned`, unless the run takes over. Tasks stay ready until [`Store::mark_published`]: after a crash,
    /// or if they could not be published, they are taken again. So whoever publishes marks before it takes more.
    ///
    /// # Errors
    /// The database failed; then nothing is taken.
    pub async fn take_ready(&self, limit: usize, now: Timestamp) -> Result<Vec<Task>, StoreError> {
        let mut tx = self.db.begin().await?;
        let mut lists = Vec::new();
        for taker in open_runs(&mut tx).await? {
            let due = due_tasks(&mut tx, taker.run, limit, now).await?;
            lists.push((taker, due.into_iter()));
        }
        let (mut taken, mut tally) = (Vec::new(), Tally::default());
        while !lists.is_empty() && taken.len() < limit {
            let mut rest = Vec::new();
            for (taker, mut due) in lists {
                let Some(task) = due.next() else { continue };
                if taken.len() < limit {
                    taken.extend(take(&mut tx, &taker, task, now, &mut tally).await?);
                }
                rest.push((taker, due));
            }
            lists = rest;
        }
        tally.write(&mut tx).await?;
        tx.commit().await?;
        Ok(taken)
    }

    /// Notes that the Queue holds these attempts; says of how many. The others' results were faster, or their runs
    /// were stopped.
    ///
    /// # Errors
    /// The database failed.
    pub async fn mark_published(&self, tasks: &[Task]) -> Result<u64, StoreError> {
        let mut tx = self.db.begin().await?;
        let mut marked = 0;
        for task in tasks {
            marked += tx
                .execute(
                    "mark a task as published",
                    "update tasks set state = 'published' where id = $1 and attempt = $2 and state = 'ready'",
                    &[task.id.into(), task.attempt.0.into()],
                )
                .await?;
        }
        tx.commit().await?;
        Ok(marked)
    }

    /// Makes tasks ready again that were published before `before` and that nobody answered for; says how many. Their
    /// attempts stay the same, so that an answer that comes after all is the first, and the next one a duplicate.
    ///
    /// # Errors
    /// The database failed.
    pub async fn take_back_unanswered(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.db.begin().await?;
        let sql = "update tasks set state = 'ready' where state = 'published' and taken_at < $1";
        let lost = tx.execute("take back unanswered tasks", sql, &[before.into()]).await?;
        tx.commit().await?;
        Ok(lost)
    }

    /// How many tasks are with the workers, or on the way there.
    ///
    /// # Errors
    /// The database failed.
    pub async fn published(&self) -> Result<usize, StoreError> {
        let sql = "select count(*) as count from tasks
             join runs on runs.id = tasks.run and runs.report_digest is null and runs.ended_at is null
             where tasks.state = 'published'";
        let rows = self.db.rows("count published tasks", sql, &[]).await?;
        rows.first().map_or(Ok(0), |row| row.number("count"))
    }
}

async fn open_runs(tx: &mut Tx) -> Result<Vec<Taker>, StoreError> {
    let sql = "select id, job, take_over from runs where report_digest is null and ended_at is null order by id";
    let rows = tx.rows("list open runs", sql, &[]).await?;
    let read =
        |row: &Row| Ok(Taker { run: row.parse("id")?, job: row.text("job")?, take_over: row.flag("take_over")? });
    rows.iter().map(read).collect()
}

/// Tasks of a run that are due and whose tags no other task holds, those that wait longest first.
async fn due_tasks(tx: &mut Tx, run: RunId, limit: usize, now: Timestamp) -> Result<Vec<Due>, StoreError> {
    let sql = "select id, attempt, dead_letters, source, listed, sidecars from tasks
        where run = $1 and state = 'ready' and not_before <= $2
            and not exists (
                select 1 from destinations
                join claims on claims.project = 'default' and claims.target = destinations.target
                where destinations.task = tasks.id and destinations.outcome is null and claims.task <> tasks.id)
        order by not_before, id limit $3";
    let rows = tx.rows("list due tasks", sql, &[run.into(), now.into(), limit.into()]).await?;
    let read = |row: &Row| {
        Ok(Due {
            id: row.parse("id")?,
            attempt: Attempt(row.number("attempt")?),
            solo: row.flag("dead_letters")?,
            source: row.parse("source")?,
            listed: row.opt_parse("listed")?,
            sidecars: row.json("sidecars")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Takes one task; none if it has to wait, or if nothing was left to do.
async fn take(
    tx: &mut Tx,
    taker: &Taker,
    due: Due,
    now: Timestamp,
    tally: &mut Tally,
) -> Result<Option<Task>, StoreError> {
    let mut destinations = Vec::new();
    for DueDestination { location, content, owner, placed, listed, read_back, parts } in
        due_destinations(tx, &due, now).await?
    {
        if owner.as_ref().is_some_and(|owner| *owner != taker.job) && !taker.take_over {
            fail_owned(tx, &due, &location, owner.as_deref().unwrap_or_default(), now).await?;
            continue;
        }
        if !claim(tx, taker, due.id, &location).await? {
            release(tx, due.id).await?;
            return Ok(None);
        }
        destinations.push(Destination { location, content, placed, listed, read_back, parts });
    }
    if destinations.is_empty() && close_if_done(tx, taker.run, due.id, now, tally).await? {
        return Ok(None);
    }
    begin_attempt(tx, &due, &destinations, now).await?;
    Ok(Some(Task {
        run: taker.run,
        id: due.id,
        attempt: due.attempt,
        solo: due.solo,
        deadline: limits::ATTEMPT_DEADLINE,
        kind: TaskKind::Mirror(Mirror { source: due.source, listed: due.listed, sidecars: due.sidecars, destinations }),
    }))
}

/// A destination that is due.
struct DueDestination {
    location: Location,
    content: Content,
    /// The job that owns it.
    owner: Option<String>,
    /// What lies there.
    placed: Option<Placed>,
    listed: Option<Listed>,
    read_back: bool,
    parts: Option<u32>,
}

/// The destinations that are due. An attempt that was taken before holds the same as then, though others are due by
/// now: its message may be out.
async fn due_destinations(tx: &mut Tx, due: &Due, now: Timestamp) -> Result<Vec<DueDestination>, StoreError> {
    let sql =
        "select destinations.target, destinations.content, destinations.listed, destinations.read_back, placements.job, placements.digest, placements.fingerprint, placements.parts
        from destinations
        left join placements on placements.project = 'default' and placements.target = destinations.target
        where destinations.task = $1 and destinations.outcome is null
            and (destinations.attempt = $2 or (destinations.not_before <= $3 and not exists (
                select 1 from destinations taken where task = $1 and attempt = $2 and outcome is null)))
        order by destinations.position";
    let args = [due.id.into(), due.attempt.0.into(), now.into()];
    let rows = tx.rows("read a task's destinations", sql, &args).await?;
    let read = |row: &Row| {
        let owner = row.opt_text("job")?;
        let placed = owner.is_some().then(|| read_placed(row)).transpose()?;
        Ok(DueDestination {
            location: row.parse("target")?,
            content: row.json("content")?,
            owner,
            placed,
            listed: row.opt_json("listed")?,
            read_back: row.flag("read_back")?,
            parts: row.opt_number("parts")?,
        })
    };
    rows.iter().map(read).collect()
}

/// False if another open task holds the tag.
async fn claim(tx: &mut Tx, taker: &Taker, task: TaskId, location: &Location) -> Result<bool, StoreError> {
    let target = location.to_string();
    let claimed = tx
        .execute(
            "claim a destination tag",
            "insert into claims (target, task) values ($1, $2)
             on conflict (project, target) do update set task = excluded.task where claims.task = excluded.task",
            &[target.as_str().into(), task.into()],
        )
        .await?;
    if claimed == 1 && taker.take_over {
        tx.execute(
            "take over a destination tag",
            "update placements set job = $2 where project = 'default' and target = $1",
            &[target.into(), taker.job.as_str().into()],
        )
        .await?;
    }
    Ok(claimed == 1)
}

/// The digest at the first attempt is kept: an attempt that was lost may have moved the tag, and that was us.
async fn begin_attempt(tx: &mut Tx, due: &Due, destinations: &[Destination], now: Timestamp) -> Result<(), StoreError> {
    tx.execute(
        "take a task",
        "update tasks set started_at = coalesce(started_at, $2), taken_at = $2 where id = $1",
        &[due.id.into(), now.into()],
    )
    .await?;
    for destination in destinations {
        let known = destination.placed.as_ref().map(|placed| placed.digest.as_str());
        tx.execute(
            "take a destination",
            "update destinations set attempt = $3, known_digest = case when attempt = 0 then $4 else known_digest end
             where task = $1 and target = $2",
            &[due.id.into(), destination.location.to_string().into(), due.attempt.0.into(), known.into()],
        )
        .await?;
    }
    Ok(())
}

/// Why a task may not set a tag that another job owns.
pub fn target_owned(location: &Location, owner: &str) -> Failure {
    let message = format!("set `{location}`: it is owned by job `{owner}`");
    let hint = "change the destination, or run once with `--take-over`";
    Failure::new(None, Code::TargetOwned, Class::Reject, &message, Some(hint))
}

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
