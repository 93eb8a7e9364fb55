//! What moves right now, for a display: counters that all attempts of a worker share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::{Attempt, Location, Stage, TaskId};

/// Shared by a worker's attempts and whoever shows them. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Activity(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Bytes of blobs sent since the start.
    written: AtomicU64,
    /// Bytes of blobs that needed no sending.
    saved: AtomicU64,
    running: Mutex<BTreeMap<TaskId, Arc<Moving>>>,
}

/// One attempt under way.
#[derive(Debug)]
pub(crate) struct Moving {
    task: TaskId,
    attempt: Attempt,
    /// The image.
    pub source: Location,
    /// Bytes of blobs that were sent or needed no sending.
    done: AtomicU64,
    /// Bytes of blobs in all, for all destinations that were begun.
    expected: AtomicU64,
    stage: Mutex<Stage>,
}

/// A look at an [`Activity`].
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Bytes of blobs sent since the start, those of attempts that failed included.
    pub bytes_written: u64,
    /// Bytes of blobs that needed no sending since the start: they lay there already, or were mounted.
    pub bytes_saved: u64,
    /// The attempts under way, oldest first.
    pub running: Vec<Running>,
}

/// One attempt in a [`Snapshot`].
#[derive(Debug, Clone)]
pub struct Running {
    /// The task.
    pub task: TaskId,
    /// Which attempt of it.
    pub attempt: Attempt,
    /// The image.
    pub source: Location,
    /// Where it is.
    pub stage: Stage,
    /// Bytes of blobs that were sent or needed no sending.
    pub bytes_done: u64,
    /// Bytes of blobs in all, as far as known.
    pub bytes_expected: u64,
}

impl Activity {
    /// What moves right now.
    pub fn snapshot(&self) -> Snapshot {
        let running = self.running().values().map(|moving| moving.look()).collect();
        Snapshot {
            bytes_written: self.0.written.load(Ordering::Relaxed),
            bytes_saved: self.0.saved.load(Ordering::Relaxed),
            running,
        }
    }

    /// Shows an attempt until the guard is dropped.
    pub(crate) fn begin(&self, (task, attempt): (TaskId, Attempt), source: Location) -> ActivityGuard {
        let moving = Arc::new(Moving {
            task,
            attempt,
            source,
            done: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            stage: Mutex::new(Stage::Resolve),
        });
        self.running().insert(task, moving.clone());
        ActivityGuard { activity: self.clone(), task, moving }
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<TaskId, Arc<Moving>>> {
        // A panic while the lock was held leaves counters, which are right whatever happened.
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Moving {
    fn look(&self) -> Running {
        Running {
            task: self.task,
            attempt: self.attempt,
            source: self.source.clone(),
            stage: *self.stage.lock().unwrap_or_else(PoisonError::into_inner),
            bytes_done: self.done.load(Ordering::Relaxed),
            bytes_expected: self.expected.load(Ordering::Relaxed),
        }
    }
}

/// An attempt's own end of an [`Activity`]; ends its display when dropped.
#[derive(Debug)]
pub(crate) struct ActivityGuard {
    activity: Activity,
    task: TaskId,
    moving: Arc<Moving>,
}

impl ActivityGuard {
    pub(crate) fn enter(&self, stage: Stage) {
        *self.moving.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    pub(crate) fn expect_bytes(&self, bytes: u64) {
        self.moving.expected.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, bytes: u64) {
        self.moving.done.fetch_add(bytes, Ordering::Relaxed);
        self.activity.0.written.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn saved(&self, bytes: u64) {
        self.moving.done.fetch_add(bytes, Ordering::Relaxed);
        self.activity.0.saved.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        self.activity.running().remove(&self.task);
    }
}
