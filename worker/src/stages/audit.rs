//! Asks a destination for all of what was placed there, to its last blob.

use proto::{Descriptor, Digest, Reference};

use crate::context::TaskContext;
use crate::failure::StageError;
use crate::source::Source;
use crate::stage::concurrently;
use crate::stages::fetch::{self, Image};
use crate::stages::resolve::OpenTarget;

/// Questions asked at once.
const CONCURRENCY: usize = 4;

/// Of the image that was placed, all that the destination lacks. What is there is told to others, and so is what is
/// not.
pub(crate) async fn run(cx: &TaskContext, image: &Image, target: &OpenTarget<'_>) -> Result<Vec<Digest>, StageError> {
    let manifests = image.digests_of_manifests();
    let blobs = image.blobs();
    let manifests_there = manifests.iter().map(|digest| has_manifest(target, digest));
    let manifests_there = concurrently(CONCURRENCY, manifests_there).await?;
    let blobs_there = concurrently(CONCURRENCY, blobs.iter().map(|blob| has_blob(target, blob))).await?;
    let manifests = manifests.into_iter().zip(manifests_there);
    let blobs = blobs.into_iter().map(|blob| blob.digest.clone()).zip(blobs_there);
    let (found, missing): (Vec<_>, Vec<_>) = manifests.chain(blobs).partition(|(_, is_there)| *is_there);
    let [found, missing] = [found, missing].map(|list| list.into_iter().map(|(digest, _)| digest).collect::<Vec<_>>());
    if let Some(repository) = target.place.repository() {
        cx.tools.ledger.note_held(repository, &found).await;
        cx.tools.ledger.note_missing(repository, &missing).await;
    }
    Ok(missing)
}

/// The same where the source no longer has the image: what lies at the destination tells what it should consist of.
///
/// Any gap is the attempt's failure, since nobody can fill it.
pub(crate) async fn alone(cx: &TaskContext, target: &OpenTarget<'_>, placed: &Digest) -> Result<Image, StageError> {
    let place = cx.tools.places.source(&target.destination.location).await.map_err(StageError::Destination)?;
    let own = Source::new(cx, place, placed.clone(), Default::default());
    let content = Default::default();
    let read = fetch::run(cx, &own, &content).await;
    let image = read.map_err(|error| StageError::Drifted(format!("{}", daemon::ErrorChain(&error))))?;
    let missing = run(cx, &image, target).await?;
    if missing.is_empty() { Ok(image) } else { Err(StageError::Drifted(listed(&missing))) }
}

/// Some digests, for people.
pub(crate) fn listed(digests: &[Digest]) -> String {
    let shown: Vec<&str> = digests.iter().take(3).map(Digest::as_str).collect();
    let more = digests.len().saturating_sub(shown.len());
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

async fn has_manifest(target: &OpenTarget<'_>, digest: &Digest) -> Result<bool, StageError> {
    let head = target.place.head(&Reference::Digest(digest.clone())).await.map_err(StageError::Destination)?;
    Ok(head.is_some())
}

async fn has_blob(target: &OpenTarget<'_>, blob: &Descriptor) -> Result<bool, StageError> {
    let size = target.place.blob_size(&blob.digest).await.map_err(StageError::Destination)?;
    Ok(size == Some(blob.size))
}
