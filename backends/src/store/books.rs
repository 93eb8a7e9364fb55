//! What a test wants to know of the rows themselves: each task as it stands, and every rule that they break.

use proto::{Attempt, Outcome, TaskId, limits};

use super::settle::read_outcome;
use super::{Store, StoreError};

/// The rows of all runs at a moment.
#[derive(Debug)]
pub struct Books {
    /// All tasks.
    pub tasks: Vec<TaskEntry>,
    /// Rules that the rows break, a sentence each: there must be none between two verbs.
    pub faults: Vec<String>,
}

/// A task as its row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEntry {
    /// Its name.
    pub id: TaskId,
    /// The present attempt, or the last one.
    pub attempt: Attempt,
    /// How it ended; none while it is open.
    pub outcome: Option<Outcome>,
}

impl Store {
    /// Reads the books.
    ///
    /// # Errors
    /// The database failed.
    pub async fn books(&self) -> Result<Books, StoreError> {
        let mut books = Books { tasks: Vec::new(), faults: Vec::new() };
        for row in self.db.rows("read all tasks", "select id, attempt, outcome from tasks order by id", &[]).await? {
            let (id, attempt) = (row.parse("id")?, Attempt(row.number("attempt")?));
            books.tasks.push(TaskEntry { id, attempt, outcome: read_outcome(&row)? });
        }
        for row in self.db.rows("look for faults", FAULTS, &[limits::TRIES_MAX.into()]).await? {
            books.faults.push(format!("{} {}", row.text("id")?, row.text("fault")?));
        }
        Ok(books)
    }
}

const FAULTS: &str = "
    select id, 'is ' || state || ', and its outcome is ' || coalesce(outcome, 'none') as fault from tasks
        where (state = 'done') <> (outcome is not null)
    union all
    select id, 'is done, and a destination of it is not' from tasks
        where state = 'done' and exists (select 1 from destinations where task = tasks.id and outcome is null)
    union all
    select id, 'is open, and all its destinations are done' from tasks
        where state <> 'done' and not exists (select 1 from destinations where task = tasks.id and outcome is null)
    union all
    select tasks.id, 'is open in a run that has ended' from tasks
        join runs on runs.id = tasks.run and runs.ended_at is not null where state <> 'done'
    union all
    select tasks.id, 'is done and holds a claim on ' || target from tasks join claims on claims.task = tasks.id
        where state = 'done'
    union all
    select tasks.id, 'waits and holds a claim on ' || target from tasks join claims on claims.task = tasks.id
        where state = 'ready' and not exists (
            select 1 from destinations where task = tasks.id and attempt = tasks.attempt and outcome is null)
    union all
    select tasks.id, 'is published and holds no claim on ' || destinations.target from tasks
        join destinations on destinations.task = tasks.id and destinations.attempt = tasks.attempt
            and destinations.outcome is null
        left join claims on claims.target = destinations.target and claims.task = tasks.id
        where tasks.state = 'published' and claims.task is null
    union all
    select id, 'is published for no destination' from tasks
        where state = 'published' and not exists (
            select 1 from destinations where task = tasks.id and attempt = tasks.attempt and outcome is null)
    union all
    select id, 'has more tries than there are' from tasks where tries > $1 or tries > attempt
    union all
    select id, 'has a result of an attempt to come' from tasks
        where exists (select 1 from attempts where task = tasks.id and attempt > tasks.attempt)
    union all
    select id, 'is open at an attempt whose result is recorded' from tasks
        where state <> 'done' and exists (select 1 from attempts where task = tasks.id and attempt = tasks.attempt)
    union all
    select id, 'has a report and has not ended' from runs where report_digest is not null and ended_at is null
    union all
    select id, 'has not counted what it saw unchanged' from runs
        where unchanged < (select count(distinct source) from unchanged where run = runs.id)
            or (report_digest is null
                and unchanged <> (select count(distinct source) from unchanged where run = runs.id))
    union all
    select id, 'is to be kept alone, and has rows' from runs
        where kept = 'run' and (exists (select 1 from tasks where run = runs.id)
            or exists (select 1 from unchanged where run = runs.id))
    union all
    select id, 'lets go of its tasks before it has a report' from runs where kept <> 'all' and report_digest is null
    union all
    select tasks.id, 'is a task of what its run saw unchanged' from tasks
        join unchanged on unchanged.run = tasks.run and unchanged.source = tasks.source
    union all
    select id, 'has counters that are not those of its rows' from runs
        where kept = 'all' and (tasks <> (select count(*) from tasks where run = runs.id)
            or up_to_date <> (select count(*) from tasks where run = runs.id and outcome = 'up_to_date')
            or pushed <> (select count(*) from tasks where run = runs.id and outcome = 'pushed')
            or postponed <> (select count(*) from tasks where run = runs.id and outcome = 'postponed')
            or cancelled <> (select count(*) from tasks where run = runs.id and outcome = 'cancelled')
            or failed <> (select count(*) from tasks where run = runs.id and outcome = 'failed'))";
