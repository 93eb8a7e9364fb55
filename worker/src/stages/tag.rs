//! Puts the top manifest under its name and asks it back.

use daemon::crash::{Effect, around};
use proto::Digest;
use proto::task::Destination;
use registry::Place;

use crate::failure::StageError;
use crate::shipment::{Name, SUPPLIES_MAX, Shipment};
use crate::stages::resolve::OpenTarget;

/// Moves the name only from what it `shown` when the attempt began: a late attempt must not move it back over what
/// somebody put there since.
pub(crate) async fn run(shipment: &Shipment<'_>, target: &OpenTarget<'_>) -> Result<Digest, StageError> {
    let OpenTarget { place, destination, shown } = target;
    let ours = &shipment.image.top.digest;
    let mut lacked = None;
    for _ in 0..=SUPPLIES_MAX {
        // Asked again after each refusal: to send what was lacking may have taken long.
        let current = shows(place).await?;
        if current.as_ref() == Some(ours) {
            return finish(shipment, place).await;
        }
        if current != *shown {
            return Err(StageError::Moved { expected: shown.clone(), found: current });
        }
        let answer = match around(Effect::TagPut, shipment.try_to_put(Name::Own, &shipment.image.top)).await? {
            Ok(answer) => answer,
            Err(error) => {
                lacked = Some(error);
                continue;
            }
        };
        // A registry that checks what it takes has read it, and says under which digest it keeps it.
        let is_confirmed = answer.digest.as_ref() == Some(ours) && shipment.is_verified_there().await?;
        if !is_confirmed {
            let back = around(Effect::TagReadBack, shows(place)).await?;
            if back.as_ref() != Some(ours) {
                return Err(StageError::Moved { expected: Some(ours.clone()), found: back });
            }
        }
        warn_of_replaced(shipment, destination, shown.as_ref());
        return finish(shipment, place).await;
    }
    Err(lacked.map_or(StageError::TooLarge, StageError::Incomplete))
}

/// Says what somebody else may miss.
fn warn_of_replaced(shipment: &Shipment<'_>, destination: &Destination, shown: Option<&Digest>) {
    let (location, placed) = (&destination.location, destination.placed.as_ref().map(|placed| &placed.digest));
    match shown {
        Some(other) if placed != Some(other) => {
            let what =
                if placed.is_some() { "which is not what was placed there" } else { "of which nothing is on record" };
            shipment.cx.warn(format!("{location} showed {other}, {what}; it was replaced"));
        }
        None if placed.is_some() => shipment.cx.warn(format!("{location} was gone; it was set again")),
        _ => {}
    }
}

async fn finish(shipment: &Shipment<'_>, place: &Place) -> Result<Digest, StageError> {
    place.finish().await.map_err(StageError::Destination)?;
    shipment.stock.tell(&shipment.image.digests()).await;
    Ok(shipment.image.top.digest.clone())
}

async fn shows(place: &Place) -> Result<Option<Digest>, StageError> {
    let head = place.resolve().await.map_err(StageError::Destination)?;
    Ok(head.map(|head| head.digest))
}
