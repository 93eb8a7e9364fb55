//! Images of odd shapes, and hostile ones.

use proto::outcome::End;
use proto::task::{Destination, TaskKind};
use proto::{Code, Digest};
use sandbox::{Hold, Registry, content};
use serde_json::{Value, json};

use crate::bench::{Bench, digest, failure, within};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn child(media_type: &str, (digest, size): &(Digest, usize)) -> Value {
    json!({ "mediaType": media_type, "digest": digest.as_str(), "size": size })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_layers_of_a_build_cache_travel_though_an_index_names_them() {
    let bench = Bench::new().await;
    let layer = bench.source.store().put_blob("team/app", b"a cached layer".as_slice().into());
    let layer = (layer, 14);
    let cache = json!({ "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [child("application/vnd.oci.image.layer.v1.tar+gzip", &layer)] });
    let (top, _) = bench.put_document(Some("cache"), &cache);
    bench.publish(&bench.task("cache")).await;
    let _working = bench.work(1);
    assert_eq!(digest(&bench.result().await), &top);
    assert!(bench.destination.store().has_blob("mirror/app", &layer.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_a_child_at_two_depths_is_there_before_both_parents() {
    let bench = Bench::new().await;
    let image = content::image(1).build();
    bench.source.store().put_image("team/app", None, &image);
    let image = (image.digest(), image.raw.len());
    let nested = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child(MANIFEST, &image)] });
    let nested = bench.put_document(None, &nested);
    let top = json!({ "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [child(INDEX, &nested), child(MANIFEST, &image)] });
    let (top, _) = bench.put_document(Some("1.0"), &top);
    bench.publish(&bench.task("1.0")).await;
    let _working = bench.work(1);
    assert_eq!(digest(&bench.result().await), &top);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sbom_under_the_tags_of_two_images_keeps_both() {
    let bench = Bench::new().await;
    let images = [content::image(1).build(), content::image(2).build()];
    let sbom = content::artifact("application/spdx+json", b"{}");
    let tags = images.clone().map(|image| content::cosign_tag(&image.digest(), "sbom"));
    for tag in &tags {
        bench.put(tag, &sbom);
    }
    bench.put("1.0", &content::index(&images));
    bench.publish(&bench.task("1.0")).await;
    let _working = bench.work(1);
    digest(&bench.result().await);
    for tag in tags {
        assert_eq!(bench.placed(&tag), Some(sbom.digest()), "{tag}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_only_the_destination_has_is_left_alone() {
    let bench = Bench::new().await;
    let image = content::image(1).build();
    let top = bench.put("1.0", &image);
    let tag = content::cosign_tag(&top, "sig");
    bench.put(&tag, &content::cosign_signature(&image));
    let own = content::artifact("application/vnd.example.own-signature", b"ours");
    bench.destination.store().put_image("mirror/app", Some(&tag), &own);
    bench.publish(&bench.task("1.0")).await;
    let _working = bench.work(1);
    let result = bench.result().await;
    assert_eq!(digest(&result), &top);
    assert_eq!(bench.placed(&tag), Some(own.digest()));
    assert!(result.warnings.iter().any(|warning| warning.contains(&tag)), "{:?}", result.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_put_under_the_tag_is_replaced_and_named() {
    let bench = Bench::new().await;
    let top = bench.put("1.0", &content::image(1).build());
    let foreign = content::image(2).build();
    bench.destination.store().put_image("mirror/app", Some("1.0"), &foreign);
    bench.publish(&bench.task("1.0")).await;
    let _working = bench.work(1);
    let result = bench.result().await;
    assert_eq!(digest(&result), &top);
    assert!(result.warnings.iter().any(|warning| warning.contains(foreign.digest().as_str())), "{:?}", result.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn manifests_that_together_are_too_large_to_hold_are_refused() {
    let bench = Bench::new().await;
    let padding = "x".repeat(3_500_000);
    let manifest = |n: u32| {
        let image = content::image(1).annotation("number", &n.to_string()).annotation("padding", &padding).build();
        bench.source.store().put_image("team/app", None, &image);
        child(MANIFEST, &(image.digest(), image.raw.len()))
    };
    let children: Vec<Value> = (0..12).map(manifest).collect();
    bench.put_document(Some("1.0"), &json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children }));
    bench.publish(&bench.task("1.0")).await;
    let _working = bench.work(1);
    assert_eq!(failure(&bench.result().await).code, Code::ImageTooLarge);
    assert_eq!(bench.placed("1.0"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_beyond_all_bounds_are_a_failure_of_the_image() {
    let bench = Bench::new().await;
    let layer = |text: &str| {
        let digest = bench.source.store().put_blob("team/app", text.as_bytes().to_vec().into());
        json!({ "mediaType": "application/octet-stream", "digest": digest.as_str(), "size": u64::MAX })
    };
    let document = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": layer("a"), "layers": [layer("b")] });
    bench.put_document(Some("1.0"), &document);
    bench.publish(&bench.task("1.0")).await;
    let _working = bench.work(1);
    assert_eq!(failure(&bench.result().await).code, Code::SourceCorrupt);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hostile_manifest_quotes_does_not_fill_the_report() {
    let bench = Bench::new().await;
    let document = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": "x".repeat(400_000), "layers": [] });
    bench.put_document(Some("1.0"), &document);
    bench.publish(&bench.task("1.0")).await;
    let _working = bench.work(1);
    let result = bench.result().await;
    assert_eq!(failure(&result).code, Code::SourceCorrupt);
    assert!(failure(&result).message.len() < 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn within_one_registry_nothing_is_sent() {
    let bench = Bench::new().await;
    let top = bench.put("1.0", &content::image(1).build());
    let mut task = bench.task("1.0");
    let TaskKind::Mirror(mirror) = &mut task.kind;
    mirror.destinations[0].location = format!("{}/mirror/app:1.0", bench.source.host()).parse().unwrap();
    bench.publish(&task).await;
    let _working = bench.work(1);
    let result = bench.result().await;
    assert_eq!(digest(&result), &top);
    assert_eq!((result.spent.blobs_written, result.spent.blobs_mounted), (0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_hangs_does_not_hold_up_the_other() {
    let bench = Bench::new().await;
    let top = bench.put("1.0", &content::image(1).build());
    let hanging = Registry::builder().start().await.unwrap();
    let held = Hold::on(&hanging, "HEAD", "/manifests/1.0", 0);
    let mut task = bench.task("1.0");
    let TaskKind::Mirror(mirror) = &mut task.kind;
    let location = format!("{}/mirror/app:1.0", hanging.host()).parse().unwrap();
    mirror.destinations.insert(0, Destination::new(location));
    bench.publish(&task).await;
    let _working = bench.work(1);
    within(held.reached()).await;
    within(bench.destination.log().wait_for("PUT", "/manifests/1.0", 1)).await;
    drop(held);
    let result = bench.result().await;
    let is_placed = |end: &End| matches!(end, End::Placed { digest, .. } if *digest == top);
    assert!(result.destinations.iter().all(|destination| is_placed(&destination.end)), "{result:?}");
}
