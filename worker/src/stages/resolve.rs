//! Asks which digest the source has now, and what each destination shows.

use proto::content::Referrers;
use proto::task::{Destination, Fingerprint, Mirror};
use proto::{Digest, Location, Reference};
use registry::{Kind, Place, cosign_tags};

use crate::context::TaskContext;
use crate::failure::StageError;
use crate::source::Source;

/// What a destination needs.
pub(crate) enum Target<'a> {
    /// Nothing: it shows this, which was placed there, and was made of what the source shows.
    UpToDate(&'a Digest),
    /// All further stages.
    Open(OpenTarget<'a>),
}

/// A destination that needs work.
pub(crate) struct OpenTarget<'a> {
    pub(crate) place: Place,
    pub(crate) destination: &'a Destination,
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
    Ok(Source::new(place, digest))
}

fn pinned(location: &Location) -> Option<Digest> {
    let Location::Registry(image) = location else { return None };
    match image.reference() {
        Reference::Digest(digest) => Some(digest),
        Reference::Tag(_) => None,
    }
}

/// Asks a destination what its tag shows, and compares with what is on record.
pub(crate) async fn destination<'a>(
    cx: &TaskContext,
    task: &Mirror,
    source: &Source,
    destination: &'a Destination,
) -> Result<Target<'a>, StageError> {
    let place = cx.tools.places.destination(&destination.location).await.map_err(StageError::Destination)?;
    compare(place, task, source, destination).await
}

/// The same for somebody who only looks; none if there is not even a layout, which [`destination`] would make.
pub(crate) async fn look<'a>(
    cx: &TaskContext,
    task: &Mirror,
    source: &Source,
    destination: &'a Destination,
) -> Result<Option<Target<'a>>, StageError> {
    match cx.tools.places.source(&destination.location).await {
        Ok(place) => compare(place, task, source, destination).await.map(Some),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(StageError::Destination(error)),
    }
}

async fn compare<'a>(
    place: Place,
    task: &Mirror,
    source: &Source,
    destination: &'a Destination,
) -> Result<Target<'a>, StageError> {
    let shown = place.resolve().await.map_err(StageError::Destination)?.map(|head| head.digest);
    let wanted = Fingerprint::of_copy(&source.digest, &destination.content);
    if let Some(placed) = &destination.placed
        && placed.fingerprint == wanted
        && shown.as_ref() == Some(&placed.digest)
        && has_signatures(&place, task, &placed.digest, &destination.content.referrers).await?
    {
        return Ok(Target::UpToDate(&placed.digest));
    }
    Ok(Target::Open(OpenTarget { place, destination, shown }))
}

/// Whether none of the signatures that the source lists for what was placed, and that are wanted, is missing.
async fn has_signatures(place: &Place, task: &Mirror, placed: &Digest, wanted: &Referrers) -> Result<bool, StageError> {
    let wanted = cosign_tags(placed, wanted).into_iter().filter(|tag| task.sidecars.tags.contains(tag));
    for tag in wanted {
        if place.head(&Reference::Tag(tag)).await.map_err(StageError::Destination)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}
