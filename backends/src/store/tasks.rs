//! What `expand` writes: the tasks of a run, and the repositories that it could not list.

use std::collections::HashMap;

use jiff::Timestamp;
use proto::task::{Listed, Sidecars};
use proto::{Attempt, Content, Digest, Failure, Kind, Location, Outcome, RunId, TaskId};
use serde::{Deserialize, Serialize};

use super::chunks::Change;
use super::db::{Arg, Tx, to_json};
use super::run::Counts;
use super::runs::add_counts;
use super::{Store, StoreError};

/// A task to be. What is on record about its destinations is looked up when it is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Its name.
    pub id: TaskId,
    /// The image.
    pub source: Location,
    /// What its tag showed when the source was listed with digests.
    pub listed: Option<Digest>,
    /// The tags under which the source keeps what refers to images.
    pub sidecars: Sidecars,
    /// Where it is to go.
    pub destinations: Vec<NewDestination>,
}

/// A destination of a task to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDestination {
    /// The tag to set.
    pub location: Location,
    /// What of the image goes there.
    pub content: Content,
    /// Who wants it there.
    pub origin: Origin,
    /// What a listing of its repository said; none if it was not listed.
    pub listed: Option<Listed>,
    /// Whether all of what was placed is to be asked for, to its last blob.
    pub read_back: bool,
}

impl NewTask {
    /// A task of which nothing is known from listings.
    pub fn new(source: Location, destinations: Vec<NewDestination>) -> Self {
        Self { id: TaskId::new(), source, listed: None, sidecars: Sidecars::default(), destinations }
    }
}

impl From<Location> for NewDestination {
    /// All of the image, wanted by no line in particular.
    fn from(location: Location) -> Self {
        Self { location, content: Content::default(), origin: Origin::default(), listed: None, read_back: false }
    }
}

/// Which line of the job file wants an image at a destination, and by which rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The group that the line is in.
    #[serde(default)]
    pub group: Option<String>,
    /// Who owns the group.
    #[serde(default)]
    pub owner: Option<String>,
    /// What the repository holds.
    #[serde(default)]
    pub kind: Kind,
    /// The rule that takes the tag, as written.
    #[serde(default)]
    pub rule: String,
    /// Where the line stands, as `file:line:column`.
    #[serde(default)]
    pub place: String,
}

impl Store {
    /// Adds tasks to a run; says how many are new. A run has one task for a source: a second one is passed over, so
    /// that a batch can be written again after a crash, and so is one that the run saw unchanged.
    ///
    /// # Errors
    /// The database failed, or the run is unknown or has ended; then none is added.
    pub async fn add_tasks(&self, run: RunId, tasks: &[NewTask], now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        require_open(&mut tx, run).await?;
        let rows = tasks.iter().zip(turns(tasks)).map(|(task, turn)| task_row(run, task, turn, now)).collect();
        let counts = Counts { tasks: ADD_TASKS.execute(&mut tx, "add tasks", rows).await?, ..Counts::default() };
        let rows = tasks.iter().flat_map(|task| destination_rows(task, now)).collect();
        ADD_DESTINATIONS.execute(&mut tx, "add destinations", rows).await?;
        add_counts(&mut tx, run, &counts).await?;
        tx.commit().await?;
        Ok(counts.tasks)
    }

    /// Adds a repository that could not be listed to a run, as one failed line of its report. The second failure of
    /// the same repository is passed over.
    ///
    /// # Errors
    /// The database failed, or the run is unknown or has ended.
    pub async fn add_failed_line(
        &self,
        run: RunId,
        source: &str,
        failure: &Failure,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        require_open(&mut tx, run).await?;
        let sql = "insert into tasks (id, run, kind, source, sidecars, state, attempt, tries, dead_letters, deferred,
                 not_before, spent, stages, outcome, failure, ended_at)
             values ($1, $2, 'listing', $3, $4, 'done', $5, 0, 0, 0, $6, '{}', '[]', $7, $8, $6)
             on conflict do nothing";
        let args = [
            TaskId::new().into(),
            run.into(),
            source.into(),
            to_json(&Sidecars::default()).into(),
            Attempt::FIRST.0.into(),
            now.into(),
            Outcome::Failed.as_str().into(),
            to_json(failure).into(),
        ];
        if tx.execute("add a failed line", sql, &args).await? == 1 {
            add_counts(&mut tx, run, &Counts { tasks: 1, failed: 1, ..Counts::default() }).await?;
        }
        tx.commit().await
    }

    /// Notes that a run has all its tasks.
    ///
    /// # Errors
    /// The database failed, or the run is unknown or has ended.
    pub async fn set_expanded(&self, run: RunId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        require_open(&mut tx, run).await?;
        let sql = "update runs set expanded_at = $2 where id = $1";
        tx.execute("note that a run is expanded", sql, &[run.into(), now.into()]).await?;
        tx.commit().await
    }
}

/// The job of a run that is open.
pub(super) async fn require_open(tx: &mut Tx, run: RunId) -> Result<String, StoreError> {
    let row = tx.row("read a run", "select job, ended_at from runs where id = $1", &[run.into()]).await?;
    match row {
        None => Err(StoreError::NoSuchRun(run.to_string())),
        Some(row) if row.opt_text("ended_at")?.is_some() => Err(StoreError::RunEnded(run)),
        Some(row) => row.text("job"),
    }
}

/// Those of which the run has no task, and that it did not see unchanged.
static ADD_TASKS: Change<8> = Change::new(
    "insert into tasks (id, run, kind, source, listed, sidecars, state, attempt, tries, dead_letters, deferred,
             not_before, turn, spent, stages)
         select column1, column2, 'mirror', column3, column4, column5, 'ready', column6, 0, 0, 0, column7, column8, '{}', '[]'
         from (CHUNK) as new
         where column1 is not null
             and not exists (select 1 from unchanged where unchanged.run = column2 and unchanged.source = column3)
         on conflict do nothing",
);

/// Those of tasks that were added.
static ADD_DESTINATIONS: Change<8> = Change::new(
    "insert into destinations (task, position, target, content, origin, listed, read_back, not_before, deferred,
             attempt)
         select column1, column2, column3, column4, column5, column6, column7, column8, 0, 0
         from (CHUNK) as new join tasks on tasks.id = column1
         where column1 is not null
         on conflict do nothing",
);

/// The place of each task among those of its repository.
fn turns(tasks: &[NewTask]) -> impl Iterator<Item = u32> {
    let mut before: HashMap<_, u32> = HashMap::new();
    tasks.iter().map(move |task| {
        let repository = match &task.source {
            Location::Registry(image) => Some(&image.repository),
            Location::Layout(_) | Location::Archive(_) => None,
        };
        let place = before.entry(repository).or_default();
        *place += 1;
        *place
    })
}

fn task_row(run: RunId, task: &NewTask, turn: u32, now: Timestamp) -> [Arg; 8] {
    [
        task.id.into(),
        run.into(),
        task.source.to_string().into(),
        task.listed.as_ref().map(Digest::as_str).into(),
        to_json(&task.sidecars).into(),
        Attempt::FIRST.0.into(),
        now.into(),
        turn.into(),
    ]
}

fn destination_rows(task: &NewTask, now: Timestamp) -> impl Iterator<Item = [Arg; 8]> {
    task.destinations.iter().enumerate().map(move |(position, destination)| {
        let NewDestination { location, content, origin, listed, read_back } = destination;
        [
            task.id.into(),
            position.into(),
            location.to_string().into(),
            to_json(content).into(),
            to_json(origin).into(),
            listed.as_ref().map(to_json).into(),
            (*read_back).into(),
            now.into(),
        ]
    })
}
