//! Asks which digest the source has now, and what each destination shows, as far as listings did not tell.

use proto::content::Referrers;
use proto::task::{Destination, Fingerprint, ListedTag, Mirror, Placed, Sidecars};
use proto::{Digest, Location, Reference, Repository};
use registry::{Client, Kind, Place, Reread, cosign_tags};

use crate::context::TaskContext;
use crate::failure::StageError;
use crate::source::Source;

/// What a destination needs.
pub(crate) enum Target<'a> {
    /// Nothing: it shows what was placed there, which was made of what the source shows.
    UpToDate(OpenTarget<'a>, &'a Placed),
    /// All further stages.
    Open(OpenTarget<'a>),
}

/// A destination, and what it shows.
pub(crate) struct OpenTarget<'a> {
    pub(crate) place: Place,
    pub(crate) destination: &'a Destination,
    /// What the tag shows before we begin; it is moved only from this.
    pub(crate) shown: Option<Digest>,
}

/// Finds the source's digest in one request at most.
pub(crate) async fn source<'c>(cx: &'c TaskContext, task: &Mirror) -> Result<Source<'c>, StageError> {
    let place = cx.tools.places.source(&task.source).await.map_err(StageError::Source)?;
    let source = match (pinned(&task.source), &task.listed) {
        (Some(digest), _) => Source::new(cx, place, digest, sidecars(cx, task)).pinned(),
        // What is read back is asked for by its tag: what a cache of another registry lists may be old.
        (None, Some(digest)) if cx.is_first_attempt() && !task.destinations.iter().any(|to| to.read_back) => {
            Source::new(cx, place, digest.clone(), sidecars(cx, task)).listed()
        }
        _ => ask(cx, task, place).await?,
    };
    cx.note_source(&source.digest);
    Ok(source)
}

/// What the listing of the source tells of sidecars. For a later attempt it is too old to tell what is not there.
fn sidecars(cx: &TaskContext, task: &Mirror) -> Sidecars {
    let told = task.sidecars.clone();
    Sidecars { is_complete: told.is_complete && cx.is_first_attempt(), ..told }
}

fn pinned(location: &Location) -> Option<Digest> {
    let Location::Registry(image) = location else { return None };
    match image.reference() {
        Reference::Digest(digest) => Some(digest),
        Reference::Tag(_) => None,
    }
}

/// Where reading is not counted, what is new is read at once, and what is known is read unless it is the same; else a
/// HEAD asks.
async fn ask<'c>(cx: &'c TaskContext, task: &Mirror, place: Place) -> Result<Source<'c>, StageError> {
    if let Place::Repository { client, image } = &place
        && !cx.only_looks
        && !client.counts_pulls(&image.repository).await.map_err(StageError::Source)?
    {
        let (repository, name) = (&image.repository, image.reference());
        let known = known_digest(task).filter(|_| cx.is_first_attempt());
        let is_new = task.destinations.iter().all(|destination| destination.placed.is_none());
        let read = match known {
            Some(known) if is_conditional(client, repository).await? => {
                client.manifest_unless(repository, &name, known).await.map_err(StageError::Source)?
            }
            _ if is_new => match client.manifest(repository, &name).await {
                Ok(manifest) => Reread::Other(Box::new(manifest)),
                Err(error) if error.kind() == Kind::NotFound => Reread::Gone,
                Err(error) => return Err(StageError::Source(error)),
            },
            _ => return head(cx, task, place).await,
        };
        return match (read, known) {
            (Reread::Same, Some(known)) => Ok(Source::new(cx, place, known.clone(), sidecars(cx, task))),
            (Reread::Other(manifest), _) => {
                cx.tools.ledger.keep_manifest(&manifest).await;
                Ok(Source::new(cx, place, manifest.digest.clone(), sidecars(cx, task)).with(*manifest))
            }
            _ => Err(StageError::SourceAbsent),
        };
    }
    head(cx, task, place).await
}

async fn is_conditional(client: &Client, repository: &Repository) -> Result<bool, StageError> {
    let known = client.capabilities(repository).await.map_err(StageError::Source)?;
    Ok(known.conditional == Some(true))
}

async fn head<'c>(cx: &'c TaskContext, task: &Mirror, place: Place) -> Result<Source<'c>, StageError> {
    let shown = place.resolve().await.map_err(StageError::Source)?.ok_or(StageError::SourceAbsent)?;
    Ok(Source::new(cx, place, shown.digest, sidecars(cx, task)))
}

/// What the source showed when a destination was made of it, where that is what was placed.
fn known_digest(task: &Mirror) -> Option<&Digest> {
    let is_whole = |destination: &&Destination| {
        let placed = destination.placed.as_ref();
        placed.is_some_and(|placed| Fingerprint::of_copy(&placed.digest, &destination.content) == placed.fingerprint)
    };
    task.destinations.iter().find(is_whole)?.placed.as_ref().map(|placed| &placed.digest)
}

/// What a destination's tag shows, compared with what is on record.
pub(crate) async fn destination<'a>(
    cx: &TaskContext,
    task: &Mirror,
    source: &Source<'_>,
    destination: &'a Destination,
) -> Result<Target<'a>, StageError> {
    let place = cx.tools.places.destination(&destination.location).await.map_err(StageError::Destination)?;
    compare(cx, place, task, source, destination).await
}

/// The same for somebody who only looks; none if there is not even a layout, which [`destination`] would make.
pub(crate) async fn look<'a>(
    cx: &TaskContext,
    task: &Mirror,
    source: &Source<'_>,
    destination: &'a Destination,
) -> Result<Option<Target<'a>>, StageError> {
    match cx.tools.places.source(&destination.location).await {
        Ok(place) => compare(cx, place, task, source, destination).await.map(Some),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(StageError::Destination(error)),
    }
}

async fn compare<'a>(
    cx: &TaskContext,
    place: Place,
    task: &Mirror,
    source: &Source<'_>,
    destination: &'a Destination,
) -> Result<Target<'a>, StageError> {
    let shown = shown(cx, &place, destination).await?;
    let wanted = source.fingerprint(destination);
    let target = OpenTarget { place, destination, shown };
    if let Some(placed) = &destination.placed
        && placed.fingerprint == wanted
        && target.shown.as_ref() == Some(&placed.digest)
        && has_signatures(cx, &target, task, &placed.digest).await?
    {
        return Ok(Target::UpToDate(target, placed));
    }
    Ok(Target::Open(target))
}

/// What the tag shows: by the listing, where it tells that, or names a tag that was placed; before the tag is moved it
/// is asked in any case.
async fn shown(cx: &TaskContext, place: &Place, destination: &Destination) -> Result<Option<Digest>, StageError> {
    let listed = destination.listed.as_ref().filter(|_| cx.is_first_attempt() && !destination.read_back);
    match (listed.map(|listed| &listed.tag), &destination.placed) {
        (Some(ListedTag::Absent), _) => Ok(None),
        (Some(ListedTag::Shows(digest)), _) => Ok(Some(digest.clone())),
        (Some(ListedTag::Named), Some(placed)) => Ok(Some(placed.digest.clone())),
        _ => Ok(place.resolve().await.map_err(StageError::Destination)?.map(|head| head.digest)),
    }
}

/// Whether none of the signatures that the source lists for what was placed, and that are wanted, is missing.
async fn has_signatures(
    cx: &TaskContext,
    target: &OpenTarget<'_>,
    task: &Mirror,
    placed: &Digest,
) -> Result<bool, StageError> {
    let OpenTarget { place, destination, .. } = target;
    let listed = destination.listed.as_ref().filter(|_| cx.is_first_attempt());
    let wanted: &Referrers = &destination.content.referrers;
    let wanted = cosign_tags(placed, wanted).into_iter().filter(|tag| task.sidecars.tags.contains(tag));
    for tag in wanted {
        let is_there = match listed {
            Some(listed) => listed.sidecars.contains(&tag),
            None => place.head(&Reference::Tag(tag)).await.map_err(StageError::Destination)?.is_some(),
        };
        if !is_there {
            return Ok(false);
        }
    }
    Ok(true)
}
