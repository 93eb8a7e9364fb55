//! Asks the destination for what was assumed to be there, before the name appears.

use crate::failure::StageError;
use crate::shipment::Shipment;

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
    let missing = shipment.lacked(assumed).await?;
    if !missing.is_empty() {
        shipment.supply(&missing).await?;
    }
    Ok(())
}
