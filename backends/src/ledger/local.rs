//! The Ledger within one process, with a file of its own, so that a second run knows what the first one learned.
//!
//! Memory is asked first, and holds what was noted until it is in the file; without a file it is all there is.

mod bounded;
mod crew;
mod file;
mod memory;
mod unsaved;
mod write;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use proto::{Digest, Host, Manifest, Repository, RunId};
use tokio::sync::Notify;
use tokio::time::timeout;

use self::crew::Crew;
use self::file::LedgerFile;
use self::memory::{Found, Memory, Room};
use self::unsaved::Unsaved;
use super::kept::Kept;
use super::leases::Leases;
use super::{BESIDE_MAX, Beat, Holders, LEARNED_BYTES_MAX, Lease, Ledger};

/// What is noted waits so long for more, unless it is enough before.
const WRITE_EVERY: Duration = Duration::from_millis(500);

/// What memory holds if it is all there is.
const ALONE: Room = Room { notes: 200_000, manifest_bytes: 64 * 1024 * 1024 };

/// What memory holds above a file.
const ABOVE_A_FILE: Room = Room { notes: 6_000, manifest_bytes: 4 * 1024 * 1024 };

/// A [`Ledger`] for one process. What it has learned may be lost when it is dropped; [`LocalLedger::flush`] first.
pub struct LocalLedger {
    leases: Arc<Leases>,
    crew: Crew,
    shared: Arc<Shared>,
    /// Whether more may lie anywhere than was noted.
    is_doubted: bool,
}

struct Shared {
    state: Mutex<State>,
    file: Option<LedgerFile>,
    /// There is enough to write, or an end to make.
    wake: Notify,
    is_dropped: AtomicBool,
}

struct State {
    memory: Memory,
    /// Empty without a file.
    unsaved: Unsaved,
}

impl LocalLedger {
    /// Opens or begins the Ledger of a file. A file that is damaged or of another form is put aside, with a warning in
    /// the log; where no file can be, what is learned ends with the process.
    pub async fn open(path: &Path) -> Self {
        Self::new(LedgerFile::open(path).await)
    }

    /// A Ledger that ends with the process.
    pub async fn in_memory() -> Self {
        Self::new(None)
    }

    fn new(file: Option<LedgerFile>) -> Self {
        let room = if file.is_some() { ABOVE_A_FILE } else { ALONE };
        let state = State { memory: Memory::new(&room), unsaved: Unsaved::default() };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            file,
            wake: Notify::new(),
            is_dropped: AtomicBool::new(false),
        });
        if shared.file.is_some() {
            tokio::spawn(write_behind(Arc::clone(&shared)));
        }
        Self { leases: Arc::default(), crew: Crew::default(), shared, is_doubted: false }
    }

    /// The same after a process that was killed.
    #[must_use]
    pub fn doubted(mut self) -> Self {
        self.is_doubted = true;
        self
    }

    /// Writes what was noted until now into the file, as well as possible.
    pub async fn flush(&self) {
        self.shared.write().await;
    }
}

impl Drop for LocalLedger {
    fn drop(&mut self) {
        self.shared.is_dropped.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }
}

/// Writes now and then, and what is left at the end.
async fn write_behind(shared: Arc<Shared>) {
    loop {
        let is_last = shared.is_dropped.load(Ordering::Acquire);
        shared.write().await;
        if is_last {
            break;
        }
        timeout(WRITE_EVERY, shared.wake.notified()).await.ok();
    }
}

impl Shared {
    async fn write(&self) {
        if let Some(file) = &self.file {
            file.write(|| std::mem::take(&mut self.lock().unsaved)).await;
        }
    }

    /// Notes something in memory, and for the file if there is one.
    fn note(&self, in_memory: impl FnOnce(&mut Memory), for_file: impl FnOnce(&mut Unsaved)) {
        let mut state = self.lock();
        in_memory(&mut state.memory);
        if self.file.is_some() {
            for_file(&mut state.unsaved);
            if state.unsaved.is_enough() {
                self.wake.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Half a note is a hint like any other.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Ledger for LocalLedger {
    async fn holders(&self, repository: &Repository, wanted: &[Digest]) -> Holders {
        let mut found = Found::default();
        if let Some(file) = &self.shared.file {
            let open = self.shared.lock().memory.not_told(repository, wanted);
            // Whoever asks for nothing asks whether the repository is known.
            if !open.is_empty() || wanted.is_empty() {
                found = file.holders(repository, open).await;
            }
        }
        let mut state = self.shared.lock();
        let mut holders = state.memory.holders(repository, wanted, &found);
        state.memory.note_told(repository, found);
        drop(state);
        holders.beside.retain(|digest, beside| {
            beside.retain(|holder| holder != repository);
            beside.truncate(BESIDE_MAX);
            !beside.is_empty() && !holders.here.contains(digest)
        });
        holders
    }

    async fn note_held(&self, repository: &Repository, content: &[Digest]) {
        let note = |memory: &mut Memory| memory.note(repository, content, true);
        self.shared.note(note, |unsaved| unsaved.note(repository, content, true));
    }

    async fn note_missing(&self, repository: &Repository, content: &[Digest]) {
        let note = |memory: &mut Memory| memory.note(repository, content, false);
        self.shared.note(note, |unsaved| unsaved.note(repository, content, false));
    }

    async fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        let kept = self.shared.lock().memory.manifest(digest);
        if kept.is_some() {
            return kept?.read(digest);
        }
        let file = self.shared.file.as_ref()?;
        let kept = file.manifest(digest).await?;
        let Some(manifest) = kept.clone().read(digest) else {
            file.forget_manifest(digest).await;
            return None;
        };
        self.shared.note(|memory| memory.keep_manifest(digest, kept), |unsaved| unsaved.use_manifest(digest));
        Some(manifest)
    }

    async fn keep_manifest(&self, manifest: &Manifest) {
        if !manifest.digest.matches(&manifest.raw) {
            return;
        }
        let keep = |memory: &mut Memory| memory.keep_manifest(&manifest.digest, Kept::of(manifest));
        self.shared.note(keep, |unsaved| unsaved.keep_manifest(manifest));
    }

    async fn learned(&self, registry: &Host) -> Option<String> {
        let learned = self.shared.lock().memory.learned(registry);
        match (&self.shared.file, learned) {
            (Some(file), None) => file.learned(registry).await,
            (_, learned) => learned,
        }
    }

    async fn keep_learned(&self, registry: &Host, learned: &str) {
        if learned.len() > LEARNED_BYTES_MAX {
            return;
        }
        let keep = |memory: &mut Memory| memory.keep_learned(registry, learned);
        self.shared.note(keep, |unsaved| unsaved.keep_learned(registry, learned));
    }

    fn is_doubted(&self) -> bool {
        self.is_doubted
    }

    async fn lease(&self, registry: &Host, blob: &Digest) -> Option<Lease> {
        self.leases.take(registry, blob)
    }

    async fn lease_ended(&self, registry: &Host, blob: &Digest, patience: Duration) {
        self.leases.ended(registry, blob, patience).await;
    }

    async fn beat(&self, beat: &Beat) {
        self.crew.beat(beat);
    }

    async fn beats(&self) -> Option<Vec<Beat>> {
        Some(self.crew.beats())
    }

    async fn cancel(&self, run: RunId) {
        self.crew.cancel(run);
    }

    async fn is_cancelled(&self, run: RunId) -> bool {
        self.crew.is_cancelled(run)
    }
}
