//! Sends everything below the top manifest, by digest: blobs first, then manifests, children before parents. What the
//! destination has is not sent again.

use std::sync::Arc;

use daemon::crash::{self, Effect, around};
use proto::outcome::Spent;
use proto::{Descriptor, Manifest, Reference, Tag};
use registry::{Place, Progress, Pushed};

use crate::context::TaskContext;
use crate::failure::StageError;
use crate::stage::concurrently;
use crate::stages::fetch::{Image, Part};
use crate::stages::resolve::Source;

/// Blobs, or manifests of one level, sent at once.
const CONCURRENCY: usize = 4;

/// Afterwards the destination has all that the top manifest leads to; the image's own tag is untouched.
pub(crate) async fn run(cx: &TaskContext, source: &Source, image: &Image, place: &Place) -> Result<(), StageError> {
    let blobs = image.blobs();
    cx.activity.expect_bytes(blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size)));
    concurrently(CONCURRENCY, blobs.iter().map(|blob| push_blob(cx, source, place, blob))).await?;
    for level in &image.below {
        concurrently(CONCURRENCY, level.iter().map(|part| put(cx, place, part))).await?;
    }
    Ok(())
}

async fn put(cx: &TaskContext, place: &Place, part: &Part) -> Result<(), StageError> {
    for tag in &part.sidecars {
        put_sidecar(cx, place, tag, &part.manifest).await?;
    }
    let name = Reference::Digest(part.manifest.digest.clone());
    if !is_there(place, &name, &part.manifest).await.map_err(StageError::Destination)? {
        let effect = if part.manifest.subject.is_some() { Effect::ReferrerPut } else { Effect::ChildPut };
        around(effect, put_as(cx, place, &name, &part.manifest)).await?;
    }
    Ok(())
}

/// Signatures that the destination has and the source has not stay: nothing else may have them.
async fn put_sidecar(cx: &TaskContext, place: &Place, tag: &Tag, manifest: &Manifest) -> Result<(), StageError> {
    let name = Reference::Tag(tag.clone());
    match place.head(&name).await.map_err(StageError::Destination)? {
        None => around(Effect::SidecarPut, put_as(cx, place, &name, manifest)).await?,
        Some(head) if head.digest == manifest.digest => {}
        Some(head) => cx.warn(format!(
            "`{tag}` shows {} at the destination and {} at the source; it was left alone",
            head.digest, manifest.digest
        )),
    }
    Ok(())
}

async fn put_as(cx: &TaskContext, place: &Place, name: &Reference, manifest: &Manifest) -> Result<(), StageError> {
    place.put_manifest(name, manifest).await.map_err(StageError::Destination)?;
    cx.note_spent(Spent { manifests_written: 1, ..Spent::default() });
    Ok(())
}

/// Whether the destination shows the manifest under `name`, and finds it by what it refers to: whoever put it may have
/// been killed before it was listed there.
async fn is_there(place: &Place, name: &Reference, manifest: &Manifest) -> Result<bool, registry::Error> {
    if place.head(name).await?.is_none_or(|head| head.digest != manifest.digest) {
        return Ok(false);
    }
    let Some(subject) = &manifest.subject else { return Ok(true) };
    let listed = place.referrers(&subject.digest).await?;
    Ok(listed.iter().any(|referrer| referrer.digest == manifest.digest))
}

async fn push_blob(cx: &TaskContext, source: &Source, place: &Place, blob: &Descriptor) -> Result<(), StageError> {
    let _turn = match place.repository() {
        Some(repository) => Some(cx.tools.flights.turn(repository, &blob.digest).await),
        None => None,
    };
    let there = place.blob_size(&blob.digest).await.map_err(StageError::Destination)?;
    let spent = if there == Some(blob.size) {
        Spent { blobs_skipped: 1, bytes_skipped: blob.size, ..Spent::default() }
    } else {
        send_blob(cx, source, place, blob).await?
    };
    cx.activity.saved(spent.bytes_skipped + spent.bytes_mounted);
    cx.note_spent(spent);
    if let Some(repository) = place.repository() {
        cx.tools.holders.note(&blob.digest, repository);
    }
    Ok(())
}

async fn send_blob(cx: &TaskContext, source: &Source, place: &Place, blob: &Descriptor) -> Result<Spent, StageError> {
    let beside = place.repository().and_then(|repository| cx.tools.holders.beside(&blob.digest, repository));
    let effect = if beside.is_some() { Effect::BlobMount } else { Effect::BlobUpload };
    // From another registry it is no help, which is for the client to see.
    let near = beside.or_else(|| source.place.repository().cloned());
    let activity = cx.activity.clone();
    let progress: Progress = Arc::new(move |bytes| {
        crash::before(Effect::BlobPiece);
        activity.wrote(bytes);
        crash::after(Effect::BlobPiece);
    });
    match around(effect, place.push_blob(blob, near.as_ref(), &source.place, &progress)).await? {
        Pushed::Mounted => Ok(Spent { blobs_mounted: 1, bytes_mounted: blob.size, ..Spent::default() }),
        Pushed::Uploaded => {
            Ok(Spent { blobs_written: 1, bytes_written: blob.size, bytes_read: blob.size, ..Spent::default() })
        }
    }
}
