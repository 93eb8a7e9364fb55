//! Brings one blob to a destination, in the cheapest way that does.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backends::ledger::LEASE_LASTS;
use backends::{Holders, Lease};
use daemon::crash::{self, Effect, around};
use proto::outcome::Spent;
use proto::{Descriptor, Digest, Manifest, Reference, Repository};
use registry::{Place, Progress, PushError, Pushed};
use tokio::time::timeout;

use super::{CONCURRENCY, Shipment};
use crate::failure::StageError;
use crate::stage::concurrently;

/// After so many waits with nothing else under way the attempt is given back: its slot does better elsewhere.
const IDLE_WAITS_MAX: u32 = 5;

/// How long a first attempt is put off for which somebody else sends what is left; later ones longer, up to the most.
const ELSEWHERE_WAIT: Duration = Duration::from_secs(5);
const ELSEWHERE_WAIT_MAX: Duration = Duration::from_secs(60);

/// From this attempt on, after a quarter of an hour, nobody is waited for: whatever says that somebody else sends the blob
/// is wrong.
const PATIENT_ATTEMPTS: u32 = 20;

impl Shipment<'_> {
    /// Brings all blobs there, the largest first: they take longest.
    pub(crate) async fn blobs(&self) -> Result<(), StageError> {
        let mut blobs = self.image.blobs();
        blobs.sort_by_key(|blob| std::cmp::Reverse(blob.size));
        let is_open = |blob: &&Descriptor| !self.stock.has(&blob.digest);
        if !self.stock.is_known && blobs.iter().any(is_open) && self.is_verified_there().await? {
            self.ask_by_putting().await?;
        }
        let lacked: Vec<&Descriptor> = blobs.iter().copied().filter(is_open).collect();
        if !lacked.is_empty() {
            self.supplies.reserve(self.location, &lacked, self.may_mount().await?).await;
        }
        // All at once, since who waits for others must not keep those from being sent that nobody brings; transfers
        // themselves are limited.
        concurrently(usize::MAX, blobs.iter().map(|blob| self.blob(blob))).await?;
        Ok(())
    }

    /// Puts the images' manifests before it is known what of them is there: the registry takes them, or says what it
    /// lacks. One question for all blobs of an image.
    async fn ask_by_putting(&self) -> Result<(), StageError> {
        let parts = self.image.below.iter().flatten().map(|part| &part.manifest);
        let images = parts.chain([&self.image.top]).filter(|manifest| !manifest.is_index());
        concurrently(CONCURRENCY, images.map(|manifest| self.put_to_ask(manifest))).await?;
        Ok(())
    }

    async fn put_to_ask(&self, manifest: &Manifest) -> Result<(), StageError> {
        // A referrer must not be listed before it is whole.
        if manifest.subject.is_some() || manifest.blobs().all(|blob| self.stock.has(&blob.digest)) {
            return Ok(());
        }
        let name = Reference::Digest(manifest.digest.clone());
        let missing = match around(Effect::ChildPut, self.place.put_manifest(&name, manifest)).await {
            Ok(_) => {
                self.stock.note_seen(&manifest.digest);
                Vec::new()
            }
            Err(error) if !error.missing().is_empty() => error.missing().to_vec(),
            // Each blob is asked for, then.
            Err(_) => return Ok(()),
        };
        self.stock.note_missing(&missing).await;
        // Registries do not look for layers that have addresses of their own.
        let is_there = |blob: &&Descriptor| !missing.contains(&blob.digest) && blob.urls.is_empty();
        for blob in manifest.blobs().filter(is_there) {
            self.stock.note_seen(&blob.digest);
        }
        Ok(())
    }

    /// Brings a blob there, unless it is.
    pub(super) async fn blob(&self, blob: &Descriptor) -> Result<(), StageError> {
        let spent = match self.place.repository() {
            Some(repository) => self.bring_to_repository(repository, blob).await?,
            None => self.bring_to_layout(blob).await?,
        };
        self.cx.activity.saved(spent.bytes_skipped + spent.bytes_mounted);
        self.cx.note_spent(spent);
        Ok(())
    }

    async fn bring_to_layout(&self, blob: &Descriptor) -> Result<Spent, StageError> {
        let _permit = self.transfers.acquire().await;
        if self.is_blob_found(blob).await? { Ok(skipped(blob)) } else { self.send(blob, None).await }
    }

    async fn bring_to_repository(&self, repository: &Repository, blob: &Descriptor) -> Result<Spent, StageError> {
        if self.stock.has(&blob.digest) {
            return Ok(skipped(blob));
        }
        let mut idle = 0;
        // Only one attempt of this worker at a time brings it to this repository; the others find it there.
        let mut turn = pin!(self.cx.tools.flights.turn(repository, &blob.digest));
        let _turn = loop {
            match timeout(self.cx.tools.upload_wait, &mut turn).await {
                Ok(turn) => break turn,
                Err(_) => self.note_wait(&mut idle, blob)?,
            }
        };
        let ledger = &self.cx.tools.ledger;
        loop {
            let holders = ledger.holders(repository, std::slice::from_ref(&blob.digest)).await;
            if self.is_here(&holders, blob).await? {
                return Ok(skipped(blob));
            }
            if let Some(spent) = self.try_to_bring(repository, &holders, blob).await? {
                return Ok(spent);
            }
            ledger.lease_ended(repository.host(), &blob.digest, self.cx.tools.upload_wait).await;
            self.note_wait(&mut idle, blob)?;
        }
    }

    /// Counts the waits for somebody else's upload with nothing else under way.
    fn note_wait(&self, idle: &mut u32, blob: &Descriptor) -> Result<(), StageError> {
        *idle = if self.busy.load(Ordering::Relaxed) == 0 { *idle + 1 } else { 0 };
        if *idle < IDLE_WAITS_MAX {
            return Ok(());
        }
        // The longer it takes, the less it matters when it is asked for again: many that wait leave the slots to others.
        let wait = (ELSEWHERE_WAIT * self.cx.attempt.0).min(ELSEWHERE_WAIT_MAX);
        Err(StageError::Elsewhere { blob: blob.digest.clone(), wait })
    }

    /// Mounts or sends the blob; none while somebody else sends it to this registry, from where it may be mounted then.
    async fn try_to_bring(
        &self,
        repository: &Repository,
        holders: &Holders,
        blob: &Descriptor,
    ) -> Result<Option<Spent>, StageError> {
        // Before the lease: nothing is waited for with that in hand.
        let _permit = self.transfers.acquire().await;
        if !self.may_mount().await? {
            return self.transfer(blob, None, None).await.map(Some);
        }
        if let Some(near) = self.near(repository, holders, &blob.digest) {
            return self.transfer(blob, Some(&near), None).await.map(Some);
        }
        let ledger = &self.cx.tools.ledger;
        let lease = ledger.lease(repository.host(), &blob.digest).await;
        if lease.is_none() && self.cx.attempt.0 < PATIENT_ATTEMPTS {
            return Ok(None);
        }
        // Who had it before may have brought the blob meanwhile.
        let holders = ledger.holders(repository, std::slice::from_ref(&blob.digest)).await;
        let near = self.near(repository, &holders, &blob.digest);
        self.transfer(blob, near.as_ref(), lease).await.map(Some)
    }

    /// Whether the blob is here by now. The registry is asked where it said otherwise before (somebody may have brought
    /// the blob since, or the Ledger is wrong), and where nobody knows.
    async fn is_here(&self, holders: &Holders, blob: &Descriptor) -> Result<bool, StageError> {
        let is_told = holders.here.contains(&blob.digest);
        let is_denied = self.stock.lacks(&blob.digest);
        if is_told && !is_denied {
            self.stock.note_assumed(&blob.digest);
            return Ok(true);
        }
        let is_worth_asking = is_told || !is_denied && !self.stock.is_known;
        Ok(is_worth_asking && self.is_blob_found(blob).await?)
    }

    /// Asks whether it is there.
    async fn is_blob_found(&self, blob: &Descriptor) -> Result<bool, StageError> {
        let is_found = self.place.has_blob(blob).await.map_err(StageError::Destination)?;
        if is_found {
            self.stock.note_seen(&blob.digest);
            self.stock.tell(std::slice::from_ref(&blob.digest)).await;
        } else {
            self.stock.note_missing(std::slice::from_ref(&blob.digest)).await;
        }
        Ok(is_found)
    }

    /// A repository of the same registry to mount the blob from.
    fn near(&self, repository: &Repository, holders: &Holders, digest: &Digest) -> Option<Repository> {
        let beside = holders.beside.get(digest).and_then(|holders| holders.first()).cloned();
        let own =
            || self.supplies.source.place.repository().filter(|source| source.host() == repository.host()).cloned();
        beside.or_else(own).filter(|near| near != repository)
    }

    /// Whether the registry may mount blobs, as far as is known.
    async fn may_mount(&self) -> Result<bool, StageError> {
        let Place::Repository { client, image } = self.place else { return Ok(false) };
        let known = client.capabilities(&image.repository).await.map_err(StageError::Destination)?;
        Ok(known.mounts != Some(false))
    }

    async fn transfer(
        &self,
        blob: &Descriptor,
        near: Option<&Repository>,
        lease: Option<Lease>,
    ) -> Result<Spent, StageError> {
        let _busy = Busy::begin(&self.busy);
        let spent = match &lease {
            None => self.send(blob, near).await?,
            Some(lease) => tokio::select! {
                sent = self.send(blob, near) => sent?,
                never = keep(lease) => match never {},
            },
        };
        // Before the lease ends, or the next one would send it again.
        self.stock.tell(std::slice::from_ref(&blob.digest)).await;
        Ok(spent)
    }

    async fn send(&self, blob: &Descriptor, near: Option<&Repository>) -> Result<Spent, StageError> {
        let effect = if near.is_some() { Effect::BlobMount } else { Effect::BlobUpload };
        let activity = self.cx.activity.clone();
        let progress: Progress = Arc::new(move |bytes| {
            crash::before(Effect::BlobPiece);
            activity.wrote(bytes);
            crash::after(Effect::BlobPiece);
        });
        if near.is_none() {
            // Before an upload is begun, which would only wait for it.
            self.supplies.hold(blob).await.map_err(|error| self.supplies.source.without_blob(blob, error))?;
        }
        let pushed = match around(effect, self.place.push_blob(blob, near, self.supplies, &progress)).await {
            Err(PushError::Source(error)) => return Err(self.supplies.source.without_blob(blob, error)),
            pushed => pushed?,
        };
        // What is held was counted when it was read.
        let bytes_read = if self.supplies.is_held(blob).await { 0 } else { blob.size };
        self.stock.note_seen(&blob.digest);
        Ok(match pushed {
            Pushed::Mounted => Spent { blobs_mounted: 1, bytes_mounted: blob.size, ..Spent::default() },
            Pushed::Uploaded => Spent { blobs_written: 1, bytes_written: blob.size, bytes_read, ..Spent::default() },
        })
    }
}

/// Makes a lease last for as long as this is polled: what moves has a watch of its own, and ends if it does not.
async fn keep(lease: &Lease) -> Infallible {
    loop {
        tokio::time::sleep(LEASE_LASTS / 3).await;
        lease.renew();
    }
}

/// Counts a transfer while it is under way.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn skipped(blob: &Descriptor) -> Spent {
    Spent { blobs_skipped: 1, bytes_skipped: blob.size, ..Spent::default() }
}
