//! An image on its way to one destination: what of it lies there, and what is still to be sent.
//!
//! What the Ledger says is assumed, and asked for before the name appears, unless the registry is proven to refuse
//! manifests that name what it lacks: then its refusal tells what is missing, and that is sent.

mod blobs;
mod stock;

use std::collections::HashSet;
use std::sync::atomic::AtomicUsize;

use daemon::crash::{Effect, around};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proto::outcome::Spent;
use proto::{Descriptor, Digest, Location, Manifest, Reference};
use registry::{Kind, Place, PutAnswer};
use tokio::sync::Semaphore;

use crate::context::TaskContext;
use crate::failure::StageError;
use crate::stage::concurrently;
use crate::stages::fetch::{Image, Part};
use crate::stages::resolve::OpenTarget;
use crate::supplies::Supplies;
pub(crate) use stock::Stock;

/// Blobs of one image under way to one destination at once; the registry's own limits come on top.
const TRANSFERS: usize = 4;

/// Manifests of one level under way at once.
pub(crate) const CONCURRENCY: usize = 4;

/// How often one manifest is put again after what it lacked was sent: each time the registry named something new, and a
/// manifest names no more kinds of things than blobs and children.
pub(crate) const SUPPLIES_MAX: usize = 3;

/// An image on its way to a destination.
pub(crate) struct Shipment<'a> {
    pub(crate) cx: &'a TaskContext,
    supplies: &'a Supplies<'a>,
    location: &'a Location,
    pub(crate) image: &'a Image,
    pub(crate) place: &'a Place,
    pub(crate) stock: Stock,
    transfers: Semaphore,
    /// Whether the name shows something else than it will: then its manifest is put, and the registry looks at it.
    pub(crate) is_to_be_named: bool,
    /// Transfers under way.
    busy: AtomicUsize,
}

/// Under which name a manifest is put.
#[derive(Clone, Copy)]
pub(crate) enum Name<'n> {
    /// The destination's own: what it leads to must be there.
    Own,
    /// Another one beside it.
    Other(&'n Reference),
}

impl<'a> Shipment<'a> {
    pub(crate) async fn new(
        cx: &'a TaskContext,
        supplies: &'a Supplies<'a>,
        image: &'a Image,
        target: &'a OpenTarget<'_>,
    ) -> Result<Self, StageError> {
        let stock = Stock::look(cx, image, target).await?;
        let transfers = Semaphore::new(TRANSFERS);
        let (place, location) = (&target.place, &target.destination.location);
        let is_to_be_named = target.shown.as_ref() != Some(&image.top.digest);
        let busy = AtomicUsize::new(0);
        Ok(Self { cx, supplies, location, image, place, stock, transfers, is_to_be_named, busy })
    }

    /// Whether what the destination takes is whole, so that what was assumed of it need not be asked for.
    pub(crate) async fn is_verified_there(&self) -> Result<bool, StageError> {
        match self.place {
            Place::Repository { client, image } => {
                client.verifies(&image.repository).await.map_err(StageError::Destination)
            }
            Place::Layout { .. } => Ok(false),
        }
    }

    /// Puts a manifest; what the destination says it lacks is sent, and then the manifest again.
    pub(crate) async fn put(&self, name: Name<'_>, manifest: &Manifest) -> Result<PutAnswer, StageError> {
        let mut lacked = None;
        for _ in 0..=SUPPLIES_MAX {
            match self.try_to_put(name, manifest).await? {
                Ok(answer) => return Ok(answer),
                Err(error) => lacked = Some(error),
            }
        }
        Err(lacked.map_or(StageError::TooLarge, StageError::Incomplete))
    }

    /// Puts a manifest once; if the destination says that it lacks something, that is sent, and its word is given.
    pub(crate) async fn try_to_put(
        &self,
        name: Name<'_>,
        manifest: &Manifest,
    ) -> Result<Result<PutAnswer, registry::Error>, StageError> {
        let put = match name {
            Name::Own => self.place.tag(manifest).await,
            Name::Other(reference) => self.place.put_manifest(reference, manifest).await,
        };
        let error = match put {
            Ok(answer) => {
                self.cx.note_spent(Spent { manifests_written: 1, ..Spent::default() });
                self.stock.note_seen(&manifest.digest);
                return Ok(Ok(answer));
            }
            Err(error) => error,
        };
        // Of what it says, only what this manifest names: a registry could lead in a circle.
        let named = named_by(manifest);
        let missing: Vec<Digest> = match error.missing() {
            [] if matches!(error.kind(), Kind::Refused | Kind::NotFound) => {
                let mut assumed = self.stock.assumed();
                assumed.retain(|digest| named.contains(digest));
                self.lacked(assumed).await?
            }
            told => told.iter().filter(|digest| named.contains(digest)).cloned().collect(),
        };
        if self.supply(&missing).await? { Ok(Err(error)) } else { Err(self.image.not_taken(manifest, error)) }
    }

    /// Asks for what was assumed to be there; what of it is not.
    pub(crate) async fn lacked(&self, assumed: Vec<Digest>) -> Result<Vec<Digest>, StageError> {
        let asked = concurrently(CONCURRENCY, assumed.iter().map(|digest| self.is_found(digest))).await?;
        Ok(assumed.into_iter().zip(asked).filter(|(_, is_found)| !is_found).map(|(digest, _)| digest).collect())
    }

    async fn is_found(&self, digest: &Digest) -> Result<bool, StageError> {
        let found = match self.image.blob(digest) {
            Some(blob) => self.place.has_blob(blob).await,
            None => self.place.has_manifest(digest).await,
        };
        let is_found = found.map_err(StageError::Destination)?;
        if is_found {
            self.stock.note_seen(digest);
        }
        Ok(is_found)
    }

    /// Sends what the destination lacks, whatever was assumed; whether any of it is of this image.
    pub(crate) fn supply<'s>(&'s self, missing: &'s [Digest]) -> BoxFuture<'s, Result<bool, StageError>> {
        async move {
            self.stock.note_missing(missing).await;
            let blobs: Vec<&Descriptor> = missing.iter().filter_map(|digest| self.image.blob(digest)).collect();
            let parts: Vec<&Part> = missing.iter().filter_map(|digest| self.image.part(digest)).collect();
            concurrently(usize::MAX, blobs.iter().map(|blob| self.blob(blob))).await?;
            for part in &parts {
                let name = Reference::Digest(part.manifest.digest.clone());
                self.put(Name::Other(&name), &part.manifest).await?;
            }
            Ok(!blobs.is_empty() || !parts.is_empty())
        }
        .boxed()
    }

    /// Puts a manifest below the top one, unless it is there.
    pub(crate) async fn part(&self, part: &Part) -> Result<(), StageError> {
        let manifest = &part.manifest;
        for tag in &part.sidecars {
            self.sidecar(&Reference::Tag(tag.clone()), manifest).await?;
        }
        if self.stock.has(&manifest.digest) {
            return Ok(());
        }
        let name = Reference::Digest(manifest.digest.clone());
        if !self.stock.is_known && self.is_there(&name, manifest).await.map_err(StageError::Destination)? {
            self.stock.note_seen(&manifest.digest);
            return Ok(());
        }
        let effect = if manifest.subject.is_some() { Effect::ReferrerPut } else { Effect::ChildPut };
        around(effect, self.put(Name::Other(&name), manifest)).await?;
        Ok(())
    }

    /// Signatures that the destination has and the source has not stay: nothing else may have them.
    async fn sidecar(&self, name: &Reference, manifest: &Manifest) -> Result<(), StageError> {
        match self.place.head(name).await.map_err(StageError::Destination)? {
            None => {
                around(Effect::SidecarPut, self.put(Name::Other(name), manifest)).await?;
            }
            Some(head) if head.digest == manifest.digest => {}
            Some(head) => self.cx.warn(format!(
                "`{name}` shows {} at the destination and {} at the source; it was left alone",
                head.digest, manifest.digest
            )),
        }
        Ok(())
    }

    /// Whether the destination shows the manifest under `name`, and finds it by what it refers to: whoever put it may
    /// have been killed before it was listed there.
    async fn is_there(&self, name: &Reference, manifest: &Manifest) -> Result<bool, registry::Error> {
        if self.place.head(name).await?.is_none_or(|head| head.digest != manifest.digest) {
            return Ok(false);
        }
        let Some(subject) = &manifest.subject else { return Ok(true) };
        let listed = self.place.referrers(&subject.digest, &Default::default()).await?;
        Ok(listed.iter().any(|referrer| referrer.digest == manifest.digest))
    }
}

/// The blobs and children that a manifest names.
fn named_by(manifest: &Manifest) -> HashSet<&Digest> {
    let children = manifest.children().iter().map(|child| &child.digest);
    manifest.blobs().map(|blob| &blob.digest).chain(children).collect()
}
