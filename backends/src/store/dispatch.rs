//! What is due, and who may have a destination tag.
//!
//! A destination tag has one owner: the job whose placement it is. Beside it, one open task at a time holds a claim on
//! the tag, from the moment in which it is taken until its attempt ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::vec::IntoIter;

use jiff::Timestamp;
use proto::failure::{Class, Code};
use proto::task::{Listed, Placed, Sidecars};
use proto::{Attempt, Content, Digest, Failure, Location, RunId, Task, TaskId};

use super::chunks::{Change, Question};
use super::db::{Row, Tx};
use super::placements::read_placed;
use super::taking::Taking;
use super::{Store, StoreError};

/// An open run, as far as dispatch asks.
pub(super) struct Taker {
    pub(super) run: RunId,
    pub(super) job: String,
    pub(super) take_over: bool,
    /// What holds for all its tasks, in evidence.
    pub(super) bundle: Option<Digest>,
    /// How many more of its tasks may be with the workers; none if it sets no limit.
    room: Option<usize>,
}

/// A task that is due.
pub(super) struct Due {
    pub(super) id: TaskId,
    pub(super) attempt: Attempt,
    pub(super) solo: bool,
    pub(super) source: Location,
    pub(super) listed: Option<Digest>,
    pub(super) sidecars: Sidecars,
}

impl Store {
    /// Takes up to `limit` tasks that are due, from the open runs in turn, and claims their destination tags.
    ///
    /// A task waits while another open task holds one of its tags. A tag that another job owns is closed as failed
    /// with `target_owned`, unless the run takes over. Of a run whose time is over nothing is taken, and of one that has
    /// as many tasks with the workers as it may have. Tasks stay ready until [`Store::mark_published`]: after a crash,
    /// or if they could not be published, they are taken again. So whoever publishes marks before it takes more.
    ///
    /// # Errors
    /// The database failed; then nothing is taken.
    pub async fn take_ready(&self, limit: usize, now: Timestamp) -> Result<Vec<Task>, StoreError> {
        let mut tx = self.begin().await?;
        let mut lists = Vec::new();
        for taker in open_runs(&mut tx, now).await? {
            let room = taker.room.map_or(limit, |room| room.min(limit));
            let due = due_tasks(&mut tx, taker.run, room, now).await?;
            lists.push((Arc::new(taker), due.into_iter()));
        }
        let due = in_turn(lists);
        let mut destinations = due_destinations(&mut tx, due.iter().map(|(_, due)| due.id), now).await?;
        let mut taking = Taking::default();
        for (taker, due) in due {
            if taking.tasks.len() == limit {
                break;
            }
            let destinations = destinations.remove(&due.id).unwrap_or_default();
            taking.take(&mut tx, &taker, due, destinations, now).await?;
        }
        let taken = taking.write(&mut tx, now).await?;
        tx.commit().await?;
        Ok(taken)
    }

    /// Notes that the Queue holds these attempts; says of how many. The others' results were faster, or their runs
    /// were stopped.
    ///
    /// # Errors
    /// The database failed.
    pub async fn mark_published(&self, tasks: &[Task]) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let rows = tasks.iter().map(|task| [task.id.into(), task.attempt.0.into()]).collect();
        let marked = MARK.execute(&mut tx, "mark tasks as published", rows).await?;
        tx.commit().await?;
        Ok(marked)
    }

    /// Makes tasks ready again that were published before `before`, that nobody answered for, and that are not among those
    /// `running`; says how many. Their
    /// attempts stay the same, so that an answer that comes after all is the first, and the next one a duplicate.
    ///
    /// # Errors
    /// The database failed.
    pub async fn take_back_unanswered(&self, before: Timestamp, running: &[TaskId]) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "select id from tasks where state = 'published' and taken_at < $1";
        let mut lost = Vec::new();
        for row in tx.rows("list unanswered tasks", sql, &[before.into()]).await? {
            lost.push(row.parse("id")?);
        }
        lost.retain(|task| !running.contains(task));
        let rows = lost.iter().map(|task| [(*task).into()]).collect();
        let lost = TAKE_BACK.execute(&mut tx, "take back unanswered tasks", rows).await?;
        tx.commit().await?;
        Ok(lost)
    }

    /// How many tasks are with the workers, or on the way there.
    ///
    /// # Errors
    /// The database failed.
    pub async fn published(&self) -> Result<usize, StoreError> {
        let sql = "select count(*) as count from tasks where state = 'published'
                 and run in (select id from runs where report_digest is null and ended_at is null)";
        let rows = self.db.rows("count published tasks", sql, &[]).await?;
        rows.first().map_or(Ok(0), |row| row.number("count"))
    }
}

/// Runs of which tasks may be taken.
async fn open_runs(tx: &mut Tx, now: Timestamp) -> Result<Vec<Taker>, StoreError> {
    let sql = "select id, job, take_over, bundle, max_concurrency,
             case when max_concurrency is not null
                 then (select count(*) from tasks where run = runs.id and state = 'published') end as published
         from runs
         where report_digest is null and ended_at is null and (deadline is null or deadline > $1)
         order by id";
    let rows = tx.rows("list open runs", sql, &[now.into()]).await?;
    let read = |row: &Row| {
        let (most, published) = (row.opt_number::<usize>("max_concurrency")?, row.opt_number("published")?);
        Ok(Taker {
            run: row.parse("id")?,
            job: row.text("job")?,
            take_over: row.flag("take_over")?,
            bundle: row.opt_parse("bundle")?,
            room: most.map(|most| most.saturating_sub(published.unwrap_or(0))),
        })
    };
    rows.iter().map(read).collect()
}

/// Tasks of a run that are due and whose tags no other task holds: of each repository one, then of each the next one, as
/// many pushes into one hold each other up.
async fn due_tasks(tx: &mut Tx, run: RunId, limit: usize, now: Timestamp) -> Result<Vec<Due>, StoreError> {
    let sql = "select id, attempt, dead_letters, source, listed, sidecars from tasks
        where run = $1 and state = 'ready' and not_before <= $2
            and not exists (
                select 1 from destinations
                join claims on claims.project = 'default' and claims.target = destinations.target
                where destinations.task = tasks.id and destinations.outcome is null and claims.task <> tasks.id)
        order by turn, not_before, id limit $3";
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

static MARK: Change<2> = Change::new(
    "update tasks set state = 'published' from (CHUNK) as new
         where tasks.id = column1 and attempt = column2 and state = 'ready'",
);

static TAKE_BACK: Change<1> = Change::new(
    "update tasks set state = 'ready' from (CHUNK) as new where tasks.id = column1 and state = 'published'",
);

/// One task of each run, then the next one of each.
fn in_turn(mut lists: Vec<(Arc<Taker>, IntoIter<Due>)>) -> Vec<(Arc<Taker>, Due)> {
    let mut turns = Vec::new();
    while !lists.is_empty() {
        lists.retain_mut(|(taker, due)| {
            let next = due.next();
            turns.extend(next.map(|due| (Arc::clone(taker), due)));
            !due.as_slice().is_empty()
        });
    }
    turns
}

/// A destination that is due.
pub(super) struct DueDestination {
    pub(super) location: Location,
    pub(super) content: Content,
    /// The job that owns it.
    pub(super) owner: Option<String>,
    /// What lies there.
    pub(super) placed: Option<Placed>,
    pub(super) listed: Option<Listed>,
    pub(super) read_back: bool,
    pub(super) parts: Option<u32>,
}

/// The destinations that are due, by their tasks. An attempt that was taken before holds the same as then, though others
/// are due by now: its message may be out.
async fn due_destinations(
    tx: &mut Tx,
    tasks: impl Iterator<Item = TaskId>,
    now: Timestamp,
) -> Result<HashMap<TaskId, Vec<DueDestination>>, StoreError> {
    static SQL: Question = Question::new(
        "select destinations.task, destinations.target, destinations.content, destinations.listed,
                 destinations.read_back, placements.job, placements.digest, placements.fingerprint, placements.parts
             from destinations
             join tasks on tasks.id = destinations.task
             left join placements on placements.project = 'default' and placements.target = destinations.target
             where destinations.task in (CHUNK) and destinations.outcome is null
                 and (destinations.attempt = tasks.attempt or (destinations.not_before <= ? and not exists (
                     select 1 from destinations taken
                     where taken.task = tasks.id and taken.attempt = tasks.attempt and taken.outcome is null)))
             order by destinations.task, destinations.position",
    );
    let names: Vec<String> = tasks.map(|task| task.to_string()).collect();
    let mut due: HashMap<TaskId, Vec<DueDestination>> = HashMap::with_capacity(names.len());
    for row in &tx.ask("read tasks' destinations", &SQL, &names, Some(now.into())).await? {
        let owner = row.opt_text("job")?;
        let placed = owner.is_some().then(|| read_placed(row)).transpose()?;
        due.entry(row.parse("task")?).or_default().push(DueDestination {
            location: row.parse("target")?,
            content: row.json("content")?,
            owner,
            placed,
            listed: row.opt_json("listed")?,
            read_back: row.flag("read_back")?,
            parts: row.opt_number("parts")?,
        });
    }
    Ok(due)
}

/// Why a task may not set a tag that another job owns.
pub fn target_owned(location: &Location, owner: &str) -> Failure {
    let message = format!("set `{location}`: it is owned by job `{owner}`");
    let hint = "change the destination, or run once with `--take-over`";
    Failure::new(None, Code::TargetOwned, Class::Reject, &message, Some(hint))
}
