//! Sends everything below the top manifest, by digest: blobs first, then manifests, children before parents. What the
//! destination has is not sent again.

use crate::failure::StageError;
use crate::shipment::{CONCURRENCY, Shipment};
use crate::stage::concurrently;

/// Afterwards the destination has all that the top manifest leads to, as far as is known; the image's own tag is
/// untouched.
pub(crate) async fn run(shipment: &Shipment<'_>) -> Result<(), StageError> {
    let blobs = shipment.image.blobs();
    shipment.cx.activity.expect_bytes(blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size)));
    shipment.blobs().await?;
    for level in &shipment.image.below {
        concurrently(CONCURRENCY, level.iter().map(|part| shipment.part(part))).await?;
    }
    Ok(())
}
