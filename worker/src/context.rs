//! What an attempt works with, and what it notes down while it works.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backends::Ledger;
use daemon::Metrics;
use proto::outcome::{DestinationResult, Spent, StageTime};
use proto::task::Mirror;
use proto::{Attempt, Digest, Repository, Stage, Task, TaskResult, limits};
use registry::{Client, Places};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::activity::{Activity, ActivityGuard};
use crate::content::ContentStore;

/// How long somebody else's upload is waited for at once.
const UPLOAD_WAIT: Duration = Duration::from_secs(2);

/// What all attempts of a worker share. Clones share the same.
#[derive(Clone)]
pub struct Tools {
    /// Opens sources and destinations.
    pub(crate) places: Arc<Places>,
    /// Shows what moves.
    pub activity: Activity,
    /// Counts what is done.
    pub(crate) metrics: Arc<Metrics>,
    /// What others found out and do.
    pub(crate) ledger: Arc<dyn Ledger>,
    /// Which blobs are on their way to where.
    pub(crate) flights: Flights,
    /// Holds blobs for several destinations; without it the source is read for each.
    pub(crate) content: Option<ContentStore>,
    /// How long a destination may go on after the others of its task are done.
    pub(crate) laggard_grace: Duration,
    /// How long somebody else's upload is waited for at once.
    pub(crate) upload_wait: Duration,
}

impl Tools {
    /// Tools that reach registries through `client`, share what they find out in `ledger`, and show in `activity` what
    /// they do.
    pub fn new(client: Client, ledger: Arc<dyn Ledger>, activity: Activity) -> Self {
        let (places, flights) = (Arc::new(Places::new(client)), Flights::default());
        let (laggard_grace, upload_wait) = (limits::LAGGARD_GRACE, UPLOAD_WAIT);
        let metrics = Arc::default();
        Self { places, activity, metrics, ledger, flights, content: None, laggard_grace, upload_wait }
    }

    /// The same, counting in `metrics`.
    pub fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// The same, reaching registries through `client`.
    pub(crate) fn reaching(&self, client: Client) -> Self {
        Self { places: Arc::new(Places::new(client)), ..self.clone() }
    }

    /// The same, with a store for what goes to several destinations.
    pub fn with_content(self, content: ContentStore) -> Self {
        Self { content: Some(content), ..self }
    }

    /// The same with another [`limits::LAGGARD_GRACE`].
    pub fn with_laggard_grace(self, laggard_grace: Duration) -> Self {
        Self { laggard_grace, ..self }
    }

    /// The same, waiting for somebody else's upload so long at once; after some such waits a slot is given back.
    pub fn with_upload_wait(self, upload_wait: Duration) -> Self {
        Self { upload_wait, ..self }
    }
}

/// Lets one attempt at a time send a blob to a repository: the others find it there when their turn comes.
#[derive(Clone, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<(Repository, Digest), Flight>>>);

/// Held by whoever sends the blob.
type Flight = Arc<tokio::sync::Mutex<()>>;

impl Flights {
    /// Waits for its turn, which ends when the guard is dropped. Nobody waits here with a turn elsewhere in hand.
    pub(crate) async fn turn(&self, repository: &Repository, blob: &Digest) -> OwnedMutexGuard<()> {
        let flight = {
            let mut flights = lock(&self.0);
            flights.retain(|_, flight| Arc::strong_count(flight) > 1);
            flights.entry((repository.clone(), blob.clone())).or_default().clone()
        };
        flight.lock_owned().await
    }
}

/// One attempt's surroundings and its notes.
pub(crate) struct TaskContext {
    pub(crate) tools: Tools,
    pub(crate) activity: Arc<ActivityGuard>,
    pub(crate) interrupt: CancellationToken,
    pub(crate) deadline: Instant,
    pub(crate) attempt: Attempt,
    /// Whether nothing is to be done: then nothing is read that may be counted.
    pub(crate) only_looks: bool,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    source_digest: Option<Digest>,
    spent: Spent,
    /// The longest run of each stage: destinations pass through theirs side by side.
    stages: BTreeMap<Stage, Duration>,
    warnings: Vec<String>,
}

impl TaskContext {
    pub(crate) fn new(tools: &Tools, task: &Task, mirror: &Mirror, interrupt: CancellationToken) -> Self {
        Self {
            activity: Arc::new(tools.activity.begin((task.id, task.attempt), mirror.source.clone())),
            tools: tools.clone(),
            interrupt,
            deadline: Instant::now() + task.deadline,
            attempt: task.attempt,
            only_looks: false,
            notes: Mutex::default(),
        }
    }

    /// For somebody who only looks.
    pub(crate) fn to_look(tools: &Tools, task: &Task, mirror: &Mirror) -> Self {
        Self { only_looks: true, ..Self::new(tools, task, mirror, CancellationToken::new()) }
    }

    /// Whether listings were made shortly before: a later attempt asks for itself.
    pub(crate) fn is_first_attempt(&self) -> bool {
        self.attempt == Attempt::FIRST
    }

    pub(crate) fn note_source(&self, digest: &Digest) {
        lock(&self.notes).source_digest = Some(digest.clone());
    }

    pub(crate) fn note_stage(&self, stage: Stage, took: Duration) {
        self.tools.metrics.stage_seconds.observe(took.as_secs_f64(), [stage.as_str()]);
        let mut notes = lock(&self.notes);
        let longest = notes.stages.entry(stage).or_default();
        *longest = took.max(*longest);
    }

    pub(crate) fn note_spent(&self, spent: Spent) {
        lock(&self.notes).spent += spent;
    }

    /// Notes what is worth a person's look, and is no failure.
    pub(crate) fn warn(&self, warning: String) {
        let warnings = &mut lock(&self.notes).warnings;
        // Destinations that carry different content may say the same of the source.
        if !warnings.contains(&warning) {
            // People read it in the report; it is no warning about this program.
            tracing::info!("{warning}");
            warnings.push(warning);
        }
    }

    /// Whether this attempt left anything at a destination that the next one need not do again.
    pub(crate) fn has_done_work(&self) -> bool {
        let spent = lock(&self.notes).spent;
        spent.blobs_written + spent.blobs_mounted > 0
    }

    pub(crate) fn into_result(self, task: &Task, destinations: Vec<DestinationResult>) -> TaskResult {
        let notes = self.notes.into_inner().unwrap_or_else(PoisonError::into_inner);
        let time =
            |(stage, took): (Stage, Duration)| StageTime { stage, ms: took.as_millis().try_into().unwrap_or(u64::MAX) };
        TaskResult {
            run: task.run,
            task: task.id,
            attempt: task.attempt,
            source_digest: notes.source_digest,
            destinations,
            spent: notes.spent,
            warnings: notes.warnings,
            stages: notes.stages.into_iter().map(time).collect(),
        }
    }
}

/// Locks notes and hints, which are right whatever panicked while they were held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
