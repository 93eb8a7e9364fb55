//! Asks the destination for what the name will lead to, before the name appears.

use proto::Reference;
use registry::Place;

use crate::failure::StageError;
use crate::stage::concurrently;
use crate::stages::fetch::{Image, Part};

/// Questions asked at once.
const CONCURRENCY: usize = 4;

/// Every manifest below the top one is readable by its digest. Blobs need no second question: each was seen, mounted
/// or uploaded in this very attempt.
pub(crate) async fn run(image: &Image, place: &Place) -> Result<(), StageError> {
    concurrently(CONCURRENCY, image.below.iter().flatten().map(|part| ask(place, part))).await?;
    Ok(())
}

async fn ask(place: &Place, part: &Part) -> Result<(), StageError> {
    let digest = &part.manifest.digest;
    match place.head(&Reference::Digest(digest.clone())).await.map_err(StageError::Destination)? {
        Some(_) => Ok(()),
        None => Err(StageError::Incomplete(digest.clone())),
    }
}
