//! The worker's content store: blobs that go to several destinations, read once from the source, for all attempts.
//!
//! An attempt reserves the room for all that it will hold at once, and waits for it with nothing in hand: so no two wait
//! for each other. What it holds stays until it ends, and after that for as long as nobody needs the room.

mod shelf;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::Descriptor;
use registry::{Scratch, ScratchBlob};
use tokio::sync::{Notify, OnceCell};

use self::shelf::{Cells, Name, Shelf};

/// Blobs in a scratch folder. Clones are the same store.
#[derive(Clone)]
pub struct ContentStore(Arc<Shared>);

struct Shared {
    scratch: Scratch,
    shelf: Mutex<Shelf>,
    /// Held by the one who is next to get room: they come in the order of their arrival.
    line: tokio::sync::Mutex<()>,
    freed: Notify,
}

/// Room for some blobs, which are held in it from when they are read until this is dropped.
pub(crate) struct Reservation {
    store: ContentStore,
    cells: Cells,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// There is less in all.
    Ever(u64),
    /// Others have it.
    Now,
}

impl ContentStore {
    /// A store in the folder at `path`, which is this process's alone, for at most `cap` bytes. What a process that was
    /// killed left there is removed.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub async fn open(path: impl Into<PathBuf>, cap: u64) -> Result<Self, registry::Error> {
        let scratch = Scratch::open(path).await?;
        let (shelf, line, freed) = (Mutex::new(Shelf::new(cap)), tokio::sync::Mutex::new(()), Notify::new());
        Ok(Self(Arc::new(Shared { scratch, shelf, line, freed })))
    }

    /// Where blobs are read to.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.0.scratch
    }

    /// Reserves room for all of `blobs`, or for none; waits for it for `patience` at most.
    ///
    /// Never called with a reservation in hand, which somebody else may wait for.
    pub(crate) async fn reserve(&self, blobs: &[&Descriptor], patience: Duration) -> Result<Reservation, NoRoom> {
        let in_line = async {
            let _next = self.0.line.lock().await;
            loop {
                match self.try_reserve(blobs).await {
                    Err(NoRoom::Now) => self.0.freed.notified().await,
                    settled => return settled,
                }
            }
        };
        tokio::time::timeout(patience, in_line).await.unwrap_or(Err(NoRoom::Now))
    }

    /// The same without waiting.
    pub(crate) async fn try_reserve(&self, blobs: &[&Descriptor]) -> Result<Reservation, NoRoom> {
        let names: BTreeSet<Name> = blobs.iter().map(|blob| Name::of(blob)).collect();
        let (cells, evicted) = self.shelf().pin(&names)?;
        let reservation = Reservation { store: self.clone(), cells };
        if !evicted.is_empty() {
            // Removing large files takes its time; what is left of it on an error, the next start removes.
            let _ = tokio::task::spawn_blocking(move || drop(evicted)).await;
        }
        Ok(reservation)
    }

    /// Whether a blob is held now.
    pub(crate) fn has(&self, blob: &Descriptor) -> bool {
        self.shelf().has(&Name::of(blob))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reservation {
    /// Where a blob is held, if it is one of these. Whoever is first reads it; a failed reading leaves the next the
    /// first.
    pub(crate) fn cell(&self, blob: &Descriptor) -> Option<Arc<OnceCell<ScratchBlob>>> {
        self.cells.get(&Name::of(blob)).cloned()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.store.shelf().unpin(self.cells.keys());
        self.store.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests;
