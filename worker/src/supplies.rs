//! Where an attempt's blobs come from: straight from the source, or, where several destinations want them, from the
//! content store, into which each is read once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use daemon::ErrorChain;
use proto::outcome::Spent;
use proto::task::Mirror;
use proto::{Descriptor, Host, Location, limits};
use registry::{BlobSource, BlobStream, Progress, PushError, ScratchBlob};
use tokio::sync::OnceCell;

use crate::content::{ContentStore, NoRoom, Reservation};
use crate::context::TaskContext;
use crate::source::Source;

/// The blobs of an attempt's images. What of them is held stays until this is dropped.
pub(crate) struct Supplies<'a> {
    cx: &'a TaskContext,
    pub(crate) source: &'a Source<'a>,
    /// The destinations that may still want blobs.
    open: Mutex<Vec<Location>>,
    held: tokio::sync::Mutex<Held>,
    /// Whether the disk failed: it is not tried again with each blob.
    is_broken: AtomicBool,
}

#[derive(Default)]
struct Held {
    was_asked_for: bool,
    reservations: Vec<Reservation>,
}

type Cell = Arc<OnceCell<ScratchBlob>>;

impl<'a> Supplies<'a> {
    /// Nothing is held yet.
    pub(crate) fn new(cx: &'a TaskContext, source: &'a Source<'a>, task: &Mirror) -> Self {
        let open = task.destinations.iter().map(|destination| destination.location.clone()).collect();
        Self { cx, source, open: Mutex::new(open), held: Default::default(), is_broken: AtomicBool::new(false) }
    }

    /// Notes that a destination wants no more blobs.
    pub(crate) fn close(&self, location: &Location) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|open| open != location);
    }

    /// Reserves room for what `location` lacks, if another destination may want it too, or it is held already. Called
    /// with nothing in hand that others wait for. `may_mount`: what is at its registry once is not read again for that.
    pub(crate) async fn reserve(&self, location: &Location, lacked: &[&Descriptor], may_mount: bool) {
        let Some(store) = &self.cx.tools.content else { return };
        let is_shared = self.is_shared(location, may_mount);
        let wanted: Vec<&Descriptor> = lacked.iter().copied().filter(|blob| is_shared || store.has(blob)).collect();
        if wanted.is_empty() {
            return;
        }
        let mut held = self.held.lock().await;
        // The first waits in line. After it, the attempt may have what somebody else waits for.
        let reserved = if is_shared && !std::mem::replace(&mut held.was_asked_for, true) {
            store.reserve(&wanted, limits::CONTENT_WAIT).await
        } else {
            store.try_reserve(&wanted).await
        };
        match reserved {
            Ok(reservation) => held.reservations.push(reservation),
            Err(NoRoom::Now) if !is_shared || !held.reservations.is_empty() => {}
            Err(refused) => self.cx.warn(format!("{}: the source was read for each destination", told(refused))),
        }
    }

    fn is_shared(&self, location: &Location, may_mount: bool) -> bool {
        let own = host(location).filter(|_| may_mount);
        let is_apart = |other: &Location| own.is_none() || host(other) != own;
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().any(|other| other != location && is_apart(other))
    }

    /// Reads a blob into the content store, if there is room for it. Nothing of it is in memory.
    ///
    /// # Errors
    /// The source failed.
    pub(crate) async fn hold(&self, blob: &Descriptor) -> Result<Option<Cell>, registry::Error> {
        let (Some(store), Some(cell)) = (&self.cx.tools.content, self.cell(blob).await) else { return Ok(None) };
        if self.is_broken.load(Ordering::Relaxed) && !cell.initialized() {
            return Ok(None);
        }
        match cell.get_or_try_init(|| self.read(store, blob)).await {
            Ok(_) => Ok(Some(cell)),
            Err(PushError::Source(error)) => Err(error),
            Err(PushError::Destination(error)) => {
                self.is_broken.store(true, Ordering::Relaxed);
                self.cx.warn(format!("{}: the source was read for each destination", ErrorChain(&error)));
                Ok(None)
            }
        }
    }

    /// Whether a blob was read into the content store.
    pub(crate) async fn is_held(&self, blob: &Descriptor) -> bool {
        self.cell(blob).await.is_some_and(|cell| cell.initialized())
    }

    async fn read(&self, store: &ContentStore, blob: &Descriptor) -> Result<ScratchBlob, PushError> {
        let unseen: Progress = Arc::new(|_| {});
        let read = store.scratch().read(blob, self.source, &unseen).await?;
        self.cx.note_spent(Spent { bytes_read: blob.size, ..Spent::default() });
        Ok(read)
    }

    async fn cell(&self, blob: &Descriptor) -> Option<Cell> {
        self.held.lock().await.reservations.iter().find_map(|reservation| reservation.cell(blob))
    }
}

#[async_trait]
impl BlobSource for Supplies<'_> {
    async fn open(&self, blob: &Descriptor) -> Result<BlobStream, registry::Error> {
        let cell = self.hold(blob).await?;
        match cell.as_ref().and_then(|cell| cell.get()) {
            Some(held) => held.open(blob).await,
            None => self.source.open(blob).await,
        }
    }
}

fn host(location: &Location) -> Option<&Host> {
    match location {
        Location::Registry(image) => Some(image.repository.host()),
        Location::Layout(_) | Location::Archive(_) => None,
    }
}

fn told(refused: NoRoom) -> String {
    match refused {
        NoRoom::Ever(cap) => format!("the image's blobs exceed the {cap} bytes that are held for several destinations"),
        NoRoom::Now => "the blobs of other images took the room to hold this image's".to_owned(),
    }
}
