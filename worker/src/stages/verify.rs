//! Asks the destination for what was assumed to be there, before the name appears.

use proto::{Digest, Reference};

use crate::failure::StageError;
use crate::shipment::{CONCURRENCY, Shipment};
use crate::stage::concurrently;

/// Everything below the top manifest is there: what was sent, mounted or seen in this attempt needs no second question,
/// nor does what the registry itself asks for when it takes the manifest above. What is missing is sent.
pub(crate) async fn run(shipment: &Shipment<'_>) -> Result<(), StageError> {
    let mut assumed = shipment.stock.assumed();
    assumed.retain(|digest| *digest != shipment.image.top.digest);
    if !assumed.is_empty() && shipment.is_verified_there().await? {
        // Nothing above them names referrers.
        let referring = shipment.image.referring();
        assumed.retain(|digest| referring.contains(digest));
    }
    let asked = concurrently(CONCURRENCY, assumed.iter().map(|digest| is_there(shipment, digest))).await?;
    let missing: Vec<Digest> = assumed.into_iter().zip(asked).filter(|(_, found)| !found).map(|(d, _)| d).collect();
    if !missing.is_empty() {
        shipment.supply(&missing).await?;
    }
    Ok(())
}

async fn is_there(shipment: &Shipment<'_>, digest: &Digest) -> Result<bool, StageError> {
    let found = match shipment.image.blob(digest) {
        Some(blob) => shipment.place.blob_size(digest).await.map(|size| size == Some(blob.size)),
        None => shipment.place.head(&Reference::Digest(digest.clone())).await.map(|head| head.is_some()),
    };
    let found = found.map_err(StageError::Destination)?;
    if found {
        shipment.stock.note_seen(digest);
    }
    Ok(found)
}
