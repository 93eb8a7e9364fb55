//! Which blobs have room in the content store, and who needs them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use proto::{Descriptor, Digest};
use registry::ScratchBlob;
use tokio::sync::OnceCell;

use super::NoRoom;

/// A blob, once it is read.
pub(super) type Cell = Arc<OnceCell<ScratchBlob>>;

/// Blobs, each where it is held.
pub(super) type Cells = HashMap<Name, Cell>;

/// A blob as a manifest names it. With another size it is another: only one of them exists, and a manifest that lies
/// must not stand in the way of one that does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    digest: Digest,
    size: u64,
}

impl Name {
    pub(super) fn of(blob: &Descriptor) -> Self {
        Self { digest: blob.digest.clone(), size: blob.size }
    }
}

/// Accounts for room.
pub(super) struct Shelf {
    /// Bytes in all.
    cap: u64,
    /// Bytes of all places, whether their blobs were read or not.
    taken: u64,
    /// Counts reservations.
    clock: u64,
    places: HashMap<Name, Place>,
}

/// Room for a blob.
struct Place {
    cell: Cell,
    /// Reservations that count on it.
    pins: usize,
    /// When it was pinned last.
    used: u64,
}

impl Shelf {
    pub(super) fn new(cap: u64) -> Self {
        Self { cap, taken: 0, clock: 0, places: HashMap::new() }
    }

    /// Pins all of `names`, or none; also gives what had to go for that, the longest unused first.
    pub(super) fn pin(&mut self, names: &BTreeSet<Name>) -> Result<(Cells, Vec<Cell>), NoRoom> {
        let is_new = |name: &&Name| !self.places.contains_key(name);
        let needed = bytes(names.iter().filter(is_new));
        let mut idle: Vec<(u64, Name)> = self.idle(names).collect();
        if bytes(names) > self.cap {
            return Err(NoRoom::Ever(self.cap));
        }
        if (self.taken - bytes(idle.iter().map(|(_, name)| name))).saturating_add(needed) > self.cap {
            return Err(NoRoom::Now);
        }
        idle.sort();
        let mut evicted = Vec::new();
        for (_, name) in idle {
            if self.taken + needed <= self.cap {
                break;
            }
            evicted.extend(self.remove(&name));
        }
        self.taken += needed;
        self.clock += 1;
        let cells = names.iter().map(|name| (name.clone(), self.pin_one(name))).collect();
        Ok((cells, evicted))
    }

    /// Whether a blob was read.
    pub(super) fn has(&self, name: &Name) -> bool {
        self.places.get(name).is_some_and(|place| place.cell.initialized())
    }

    /// Takes back a pin of each of `names`; room in which nothing was put is free again.
    pub(super) fn unpin<'n>(&mut self, names: impl IntoIterator<Item = &'n Name>) {
        for name in names {
            let Some(place) = self.places.get_mut(name) else { continue };
            place.pins -= 1;
            if place.pins == 0 && !place.cell.initialized() {
                self.remove(name);
            }
        }
    }

    /// What nobody counts on, and is not among `wanted`.
    fn idle<'s>(&'s self, wanted: &'s BTreeSet<Name>) -> impl Iterator<Item = (u64, Name)> + 's {
        let idle = self.places.iter().filter(|(name, place)| place.pins == 0 && !wanted.contains(name));
        idle.map(|(name, place)| (place.used, name.clone()))
    }

    fn pin_one(&mut self, name: &Name) -> Cell {
        let used = self.clock;
        let new = || Place { cell: Cell::default(), pins: 0, used };
        let place = self.places.entry(name.clone()).or_insert_with(new);
        place.pins += 1;
        place.used = used;
        place.cell.clone()
    }

    fn remove(&mut self, name: &Name) -> Option<Cell> {
        let place = self.places.remove(name)?;
        self.taken -= name.size;
        Some(place.cell)
    }
}

fn bytes<'n>(names: impl IntoIterator<Item = &'n Name>) -> u64 {
    names.into_iter().fold(0, |sum, name| sum.saturating_add(name.size))
}
