//! Asks which digest the source has now, and what each destination shows.

use proto::task::{Destination, Fingerprint, Mirror};
use proto::{Digest, Location, Reference, Tag};
use registry::Place;

use crate::context::TaskContext;
use crate::failure::StageError;

/// The source, and the digest that this attempt copies whatever the tag does meanwhile.
pub(crate) struct Source {
    pub(crate) place: Place,
    pub(crate) digest: Digest,
}

/// What a destination needs.
pub(crate) enum Target {
    /// Nothing: it shows what was placed there, which was made of what the source shows.
    UpToDate,
    /// All further stages.
    Open(OpenTarget),
}

/// A destination that needs work.
pub(crate) struct OpenTarget {
    pub(crate) place: Place,
    /// What the tag shows before we begin; it is moved only from this.
    pub(crate) shown: Option<Digest>,
}

/// Finds the source's digest with a HEAD, which no registry counts as a pull.
pub(crate) async fn source(cx: &TaskContext, location: &Location) -> Result<Source, StageError> {
    let place = cx.tools.places.source(location).await.map_err(StageError::Source)?;
    let digest = match pinned(location) {
        Some(digest) => digest,
        None => place.resolve().await.map_err(StageError::Source)?.ok_or(StageError::SourceAbsent)?.digest,
    };
    cx.note_source(&digest);
    Ok(Source { place, digest })
}

fn pinned(location: &Location) -> Option<Digest> {
    let Location::Registry(image) = location else { return None };
    match image.reference() {
        Reference::Digest(digest) => Some(digest),
        Reference::Tag(_) => None,
    }
}

/// Asks a destination what its tag shows, and compares with what is on record.
pub(crate) async fn destination(
    cx: &TaskContext,
    task: &Mirror,
    source: &Source,
    destination: &Destination,
) -> Result<Target, StageError> {
    let place = cx.tools.places.destination(&destination.location).await.map_err(StageError::Destination)?;
    let shown = place.resolve().await.map_err(StageError::Destination)?.map(|head| head.digest);
    let placed = destination.placed.as_ref().map(|placed| &placed.digest);
    if let Some(other) = shown.as_ref().filter(|shown| Some(*shown) != placed && **shown != source.digest) {
        cx.warn(format!("{} showed {other}, which is not what was placed there; it is replaced", destination.location));
    }
    let wanted = Fingerprint::of_copy(&source.digest, &destination.content);
    let is_ours = destination.placed.as_ref().is_some_and(|placed| placed.fingerprint == wanted);
    if is_ours && shown.as_ref() == placed && has_all(&place, &task.cosign_tags).await? {
        return Ok(Target::UpToDate);
    }
    Ok(Target::Open(OpenTarget { place, shown }))
}

/// Whether none of the signatures that the source lists is missing.
async fn has_all(place: &Place, cosign_tags: &[Tag]) -> Result<bool, StageError> {
    for tag in cosign_tags {
        if place.head(&Reference::Tag(tag.clone())).await.map_err(StageError::Destination)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}
