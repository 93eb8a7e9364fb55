//! Tags move, or go, while a run is under way.

use std::sync::atomic::{AtomicU64, Ordering};

use sandbox::{Effect, Fault, content};

use super::{Row, TAG, entry};

/// The requests for `app`'s tag at the destination, as `HEAD` and `PUT`.
fn questions(row: &Row) -> Vec<String> {
    let path = format!("/v2/mirror/app/manifests/{TAG}");
    row.destination.requests().into_iter().filter(|r| r.path == path).map(|r| r.method).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_goes_after_it_was_listed_fails() {
    let mut row = Row::new().await;
    row.images[0] = entry(&row.source, "app", "1.*");
    let gone = Effect::act(|store| {
        store.delete_tag("app", TAG);
    });
    row.source.fault(Fault::on("GET", "/v2/app/manifests/1.0", gone).times(1));
    row.fails("source_not_found").await;
    assert_eq!(row.source.log().count("GET", "/v2/app/tags/list"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_tag_that_moves_during_the_copy_is_copied_as_it_was_found() {
    let row = Row::new().await;
    let moved = Effect::act(|store| store.put_image("app", Some(TAG), &content::image(40).build()));
    row.source.fault(Fault::on("GET", "/v2/app/blobs/", moved).times(1));
    row.arrives().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_tag_that_somebody_moves_meanwhile_is_left_alone_and_settled_by_the_next_attempt() {
    let row = Row::new().await.with_uploads();
    let moved = Effect::act(|store| store.put_image("mirror/app", Some(TAG), &content::image(40).build()));
    let moved = row.destination.fault(Fault::on("PUT", "/v2/mirror/app/blobs/uploads/", moved).times(1));
    let report = row.arrives().await;
    assert_eq!(moved.hits(), 1);
    assert_eq!(report["images"][0]["attempts"], 2);
    // The first attempt asks, finds it moved and lets it be; the second asks, sees nothing move, and puts.
    // The registry refuses what is not whole, so what it took need not be asked back.
    assert_eq!(questions(&row), ["HEAD", "HEAD", "HEAD", "HEAD", "PUT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_tag_that_somebody_keeps_moving_is_left_to_them() {
    let row = Row::new().await;
    let count = AtomicU64::new(100);
    let moving = Effect::act(move |store| {
        let image = content::image(count.fetch_add(1, Ordering::SeqCst)).build();
        store.put_image("mirror/app", Some(TAG), &image);
    });
    let moving = row.destination.fault(Fault::on("HEAD", "/v2/mirror/app/manifests/1.0", moving));
    row.run(1).await;
    let report = row.workshop.report().await;
    assert_eq!(crate::support::failures(&report), [format!("{}/app:{TAG} → destination_moved", row.source.host())]);
    assert_eq!(row.shown(), Some(content::image(99 + moving.hits()).build().digest()));
    assert_eq!(questions(&row), ["HEAD"; 6], "two for each attempt, and no PUT");
}
