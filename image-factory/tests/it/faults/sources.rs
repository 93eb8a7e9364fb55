//! The source sends something else than it announced, or stops in the middle.

use sandbox::{Effect, Fault, content};

use super::{Row, entry};

const LAYER: usize = 1_000_000;

/// A row in which the first read of `app`'s layer, or every one, has these effects.
async fn disturbed(times: u64, effects: impl IntoIterator<Item = Effect>) -> Row {
    let row = Row::with_layer(LAYER).await;
    for effect in effects {
        row.source.fault(Fault::on("GET", &row.layer_path(), effect).times(times));
    }
    row
}

impl Row {
    /// The layer was read from where the first read had stopped, and not from the start again.
    fn assert_resumed(&self) {
        let requests = self.source.requests();
        let reads: Vec<_> = requests.iter().filter(|request| request.is("GET", &self.layer_path())).collect();
        assert_eq!(reads.len(), 2, "{reads:?}");
        let from = reads[1].range.as_deref().unwrap_or_default();
        assert!(from.starts_with("bytes=") && from != "bytes=0-", "{reads:?}");
        let bytes = self.source.log().bytes_out("GET", &self.layer_path());
        assert!(bytes < LAYER as u64 * 16 / 10, "{bytes} bytes were read of {LAYER}");
    }

    /// Nothing that could be taken for the layer is at the destination.
    fn assert_no_layer(&self) {
        assert_eq!(self.destination.store().blob("mirror/app", &self.layer()), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_in_the_middle_is_resumed() {
    let row = disturbed(1, [Effect::CutBody { after: LAYER as u64 / 2 }]).await;
    row.arrives().await;
    row.assert_resumed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stalls_in_the_middle_is_resumed() {
    let row = disturbed(1, [Effect::StallBody { after: LAYER as u64 / 2 }]).await;
    row.arrives().await;
    row.assert_resumed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_download_that_moves_is_not_cut() {
    // Two seconds, twice the stall timeout.
    let row = disturbed(u64::MAX, [Effect::Bandwidth(LAYER as u64 / 2)]).await;
    row.arrives().await;
    assert_eq!(row.source.log().count("GET", &row.layer_path()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_blob_is_never_tagged_nor_kept() {
    // In the first byte, in the middle, and in the very last one.
    for at in [0, LAYER as u64 / 2, LAYER as u64 - 1] {
        let row = disturbed(u64::MAX, [Effect::CorruptBody { at }]).await;
        row.fails("source_corrupt").await;
        row.assert_no_layer();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_longer_than_announced_is_never_tagged_nor_kept() {
    for effects in [vec![], vec![Effect::NoLength]] {
        let row = disturbed(u64::MAX, effects.into_iter().chain([Effect::LongerBody { by: 10 }])).await;
        row.fails("source_corrupt").await;
        row.assert_no_layer();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_shorter_than_announced_is_never_tagged_nor_kept() {
    let row = disturbed(u64::MAX, [Effect::ShorterBody { by: 10 }]).await;
    row.fails("source_corrupt").await;
    row.assert_no_layer();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_early_without_having_said_its_length_is_resumed() {
    let row = disturbed(1, [Effect::NoLength, Effect::ShorterBody { by: 10 }]).await;
    row.arrives().await;
    row.assert_resumed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_whose_header_names_another_digest_is_not_copied() {
    let row = Row::new().await;
    let other = content::image(99).build().digest();
    row.source.fault(Fault::on("GET", "/v2/app/manifests/", Effect::OtherDigest(other)));
    row.fails("source_corrupt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_said_to_show_what_is_nowhere_is_not_copied() {
    let mut row = Row::new().await;
    let tool = row.images.pop().unwrap();
    row.run(0).await;
    row.images.push(tool);
    let other = content::image(99).build().digest();
    // Of what is known it is asked whether it is still the same.
    let lie = row.source.fault(Fault::on("HEAD", "/v2/app/manifests/", Effect::OtherDigest(other)));
    row.fails("source_not_found").await;
    assert!(lie.hits() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_manifest_is_not_copied() {
    let row = Row::new().await;
    row.source.fault(Fault::on("GET", "/v2/app/manifests/", Effect::CorruptBody { at: 100 }));
    row.fails("source_corrupt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_listing_is_tried_again_is_told_at_once_and_once_for_all_repositories_of_a_registry() {
    let mut row = Row::new().await;
    row.images = ["app", "tool"].map(|repository| entry(&row.source, repository, "*")).into();
    // All requests of the first try of both.
    row.source.fault(Fault::on("GET", "/tags/list", Effect::status(503)).times(8));
    let ended = row.run(0).await;
    let told: Vec<_> = ended.stderr.lines().filter(|line| line.contains("it is tried again in 0.05 s")).collect();
    assert!(matches!(told[..], [line] if line.contains("503") && line.contains("/tags/list")), "{}", ended.stderr);
}
