//! Puts the top manifest under its name and asks it back.

use daemon::crash::{Effect, around};
use proto::Digest;
use proto::outcome::Spent;
use registry::Place;

use crate::context::TaskContext;
use crate::failure::StageError;
use crate::stages::fetch::Image;
use crate::stages::resolve::OpenTarget;

/// Moves the name only from what it `shown` when the attempt began: a late attempt must not move it back over what
/// somebody put there since.
pub(crate) async fn run(cx: &TaskContext, image: &Image, target: &OpenTarget) -> Result<Digest, StageError> {
    let OpenTarget { place, shown } = target;
    let ours = &image.top.digest;
    let current = shows(place).await?;
    if current.as_ref() != Some(ours) {
        if current != *shown {
            return Err(StageError::Moved { expected: shown.clone(), found: current });
        }
        around(Effect::TagPut, place.tag(&image.top)).await.map_err(StageError::Destination)?;
        cx.note_spent(Spent { manifests_written: 1, ..Spent::default() });
        let back = around(Effect::TagReadBack, shows(place)).await?;
        if back.as_ref() != Some(ours) {
            return Err(StageError::Moved { expected: Some(ours.clone()), found: back });
        }
    }
    place.finish().await.map_err(StageError::Destination)?;
    Ok(ours.clone())
}

async fn shows(place: &Place) -> Result<Option<Digest>, StageError> {
    let head = place.resolve().await.map_err(StageError::Destination)?;
    Ok(head.map(|head| head.digest))
}
