//! Asks a destination for all of what was placed there, to its last blob and by the names that lead to it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proto::content::{Content, IndexForm, Platforms};
use proto::task::Placed;
use proto::{Descriptor, Digest, Reference};
use registry::Kind;

use crate::context::TaskContext;
use crate::failure::{StageError, or_nothing};
use crate::source::Source;
use crate::stage::concurrently;
use crate::stages::fetch::{self, Image, Part};
use crate::stages::resolve::OpenTarget;

/// Questions asked at once.
const CONCURRENCY: usize = 4;

/// Of the image that was placed, all that the destination lacks, or does not find by the name that it should have. What
/// is there is told to others, and so is what is not.
pub(crate) async fn run(cx: &TaskContext, image: &Image, target: &OpenTarget<'_>) -> Result<Vec<Digest>, StageError> {
    let parts: Vec<&Part> = image.below.iter().flatten().collect();
    let listed = listed_referrers(target, &parts).await?;
    let has_top = has_manifest(target, &image.top.digest).await?;
    let has_parts = concurrently(CONCURRENCY, parts.iter().map(|part| has_part(target, part, &listed))).await?;
    let blobs = image.blobs();
    let has_blobs = concurrently(CONCURRENCY, blobs.iter().map(|blob| has_blob(target, blob))).await?;
    let digests = parts.into_iter().map(|part| &part.manifest.digest).chain(blobs.into_iter().map(|blob| &blob.digest));
    let asked = digests.zip(has_parts.into_iter().chain(has_blobs));
    let (found, missing): (Vec<_>, Vec<_>) =
        std::iter::once((&image.top.digest, has_top)).chain(asked).partition(|(_, is_there)| *is_there);
    let [found, missing] =
        [found, missing].map(|list| list.into_iter().map(|(digest, _)| digest.clone()).collect::<Vec<Digest>>());
    if let Some(repository) = target.place.repository() {
        cx.tools.ledger.note_held(repository, &found).await;
        cx.tools.ledger.note_missing(repository, &missing).await;
    }
    Ok(missing)
}

/// The same after what was missing was sent: that it was taken does not prove that it is there.
pub(crate) async fn again(cx: &TaskContext, image: &Image, target: &OpenTarget<'_>) -> Result<(), StageError> {
    let missing = run(cx, image, target).await?;
    if missing.is_empty() { Ok(()) } else { Err(StageError::Unrepaired(listed(&missing))) }
}

/// The same where the source no longer has the image: what lies at the destination tells what it should consist of, and
/// the record how much that was.
///
/// Any gap is the attempt's failure, since nobody can fill it.
pub(crate) async fn alone(cx: &TaskContext, target: &OpenTarget<'_>, placed: &Placed) -> Result<Image, StageError> {
    let OpenTarget { destination, shown, .. } = target;
    if shown.as_ref() != Some(&placed.digest) {
        return Err(StageError::Drifted(format!("its tag shows {}", or_nothing(shown))));
    }
    let place = cx.tools.places.source(&destination.location).await.map_err(StageError::Destination)?;
    let own = Source::new(cx, place, placed.digest.clone(), Default::default());
    let image = fetch::run(cx, &own, &there(&destination.content)).await.map_err(|error| match error {
        StageError::Source(error) if error.kind() == Kind::NotFound => {
            StageError::Drifted(daemon::ErrorChain(&error).to_string())
        }
        StageError::Source(error) => StageError::Destination(error),
        other => other,
    })?;
    let missing = run(cx, &image, target).await?;
    if !missing.is_empty() {
        return Err(StageError::Drifted(listed(&missing)));
    }
    match destination.parts {
        // Nothing at the destination names a referrer that is gone.
        Some(parts) if image.parts() < parts => {
            let gone = format!("{} of {parts} manifests and blobs are there", image.parts());
            Err(StageError::Drifted(gone))
        }
        _ => Ok(image),
    }
}

/// What of an image at a destination is to be there, if `wanted` of it was placed: an index that was written anew names
/// no other.
fn there(wanted: &Content) -> Content {
    let platforms = match &wanted.platforms {
        Platforms::Only { index: IndexForm::Rewrite, .. } => Platforms::All,
        platforms => platforms.clone(),
    };
    Content { platforms, ..wanted.clone() }
}

/// Some digests, for people.
pub(crate) fn listed(digests: &[Digest]) -> String {
    let shown: Vec<&str> = digests.iter().take(3).map(Digest::as_str).collect();
    let more = digests.len().saturating_sub(shown.len());
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// What the destination lists as referring to each subject of these parts.
async fn listed_referrers(
    target: &OpenTarget<'_>,
    parts: &[&Part],
) -> Result<BTreeMap<Digest, HashSet<Digest>>, StageError> {
    let subjects = parts.iter().filter_map(|part| part.manifest.subject.as_ref());
    let subjects: BTreeSet<&Digest> = subjects.map(|subject| &subject.digest).collect();
    let asked = subjects.iter().map(async |subject| {
        let found = target.place.referrers(subject, &Default::default()).await.map_err(StageError::Destination)?;
        Ok::<HashSet<_>, StageError>(found.into_iter().map(|referrer| referrer.digest).collect())
    });
    let found = concurrently(CONCURRENCY, asked).await?;
    Ok(subjects.into_iter().cloned().zip(found).collect())
}

/// Whether a manifest is there, by its tags and by what it refers to. A tag of cosign that shows another one is left
/// alone, as when it is sent.
async fn has_part(
    target: &OpenTarget<'_>,
    part: &Part,
    listed: &BTreeMap<Digest, HashSet<Digest>>,
) -> Result<bool, StageError> {
    let digest = &part.manifest.digest;
    let mut is_shown = false;
    for tag in &part.sidecars {
        match target.place.head(&Reference::Tag(tag.clone())).await.map_err(StageError::Destination)? {
            Some(head) => is_shown |= head.digest == *digest,
            None => return Ok(false),
        }
    }
    let subject = part.manifest.subject.as_ref().map(|subject| &subject.digest);
    let is_listed = subject.and_then(|subject| listed.get(subject)).is_none_or(|listed| listed.contains(digest));
    Ok(is_listed && (is_shown || has_manifest(target, digest).await?))
}

async fn has_manifest(target: &OpenTarget<'_>, digest: &Digest) -> Result<bool, StageError> {
    target.place.has_manifest(digest).await.map_err(StageError::Destination)
}

async fn has_blob(target: &OpenTarget<'_>, blob: &Descriptor) -> Result<bool, StageError> {
    target.place.has_blob(blob).await.map_err(StageError::Destination)
}
