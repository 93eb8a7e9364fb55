//! Asks the destination for what was assumed to be there, before the name appears.

use proto::Digest;

use crate::failure::StageError;
use crate::shipment::Shipment;

/// Everything below the top manifest is there: what was sent, mounted or seen in this attempt needs no second question,
/// nor does what the registry itself asks for when it takes the manifest above. What is missing is sent.
pub(crate) async fn run(shipment: &Shipment<'_>) -> Result<(), StageError> {
    let mut assumed = shipment.stock.assumed();
    assumed.retain(|digest| *digest != shipment.image.top.digest);
    if !assumed.is_empty() && shipment.is_to_be_named && shipment.is_verified_there().await? {
        // The proof is of the blobs of images. Nothing above them names referrers, and layers with addresses of their own
        // may be missing.
        let referring = shipment.image.referring();
        let is_asked_there = |digest: &Digest| shipment.image.blob(digest).is_some_and(|blob| blob.urls.is_empty());
        assumed.retain(|digest| referring.contains(digest) || !is_asked_there(digest));
    }
    let missing = shipment.lacked(assumed).await?;
    if !missing.is_empty() {
        shipment.supply(&missing).await?;
    }
    Ok(())
}
