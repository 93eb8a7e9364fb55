//! What was placed is read back: what is missing is found by every way that leads to it, and sent again.

use proto::outcome::End;
use proto::{Class, Code, Task, TaskResult};
use registry::fallback_tag;
use sandbox::{Effect, Fault, Image, content};

use crate::bench::{Bench, destinations, digest, end, failure};

const APP: &str = "mirror/app";

/// An image with two children and an SBOM.
fn image() -> Image {
    let index = content::multi_platform(1, &["linux/amd64", "linux/arm64"]);
    index.clone().with_referrer(content::sbom(&index))
}

/// The task to read back what a task has placed.
async fn placed(bench: &Bench, image: &Image) -> Task {
    bench.put("1.0", image);
    let task = bench.task("1.0");
    let result = bench.run(&task).await;
    let mut again = bench.again(&task, &result);
    let to = &mut destinations(&mut again)[0];
    to.read_back = true;
    let End::Placed { parts, .. } = end(&result) else { panic!("nothing was placed: {result:?}") };
    to.parts = *parts;
    again
}

fn is_read_back(result: &TaskResult) -> bool {
    matches!(end(result), End::Placed { read_back: true, moved: false, .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_referrer_that_is_there_and_no_longer_listed_is_listed_again() {
    let bench = Bench::new().await;
    bench.destination.features(|can| can.referrers = false);
    let image = image();
    let task = placed(&bench, &image).await;
    assert!(bench.run(&task).await.warnings.is_empty());

    let list = fallback_tag(&image.digest()).unwrap();
    assert!(bench.destination.store().delete_tag(APP, list.as_str()));
    let result = bench.run(&task).await;
    assert!(is_read_back(&result), "{result:?}");
    assert!(result.warnings[0].contains(content::sbom(&image).digest().as_str()), "{:?}", result.warnings);
    assert!(bench.destination.store().tag(APP, list.as_str()).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_another_length_is_no_blob_of_the_image() {
    let bench = Bench::new().await;
    let image = image();
    let task = placed(&bench, &image).await;
    let blob = image.blob_digests()[0].clone();
    let other = Effect::LongerBody { by: 7 };
    let fault = bench.destination.fault(Fault::on("HEAD", &format!("/blobs/{blob}"), other).times(1));
    let result = bench.run(&task).await;
    assert_eq!(fault.hits(), 1);
    assert!(is_read_back(&result), "{result:?}");
    assert!(result.warnings[0].contains(blob.as_str()), "{:?}", result.warnings);
    assert_eq!(bench.destination.log().count("POST", "/blobs/uploads/"), 1, "it was sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_and_still_not_there_is_a_failure() {
    let bench = Bench::new().await;
    let image = image();
    let task = placed(&bench, &image).await;
    let blob = image.blob_digests()[0].clone();
    bench.destination.fault(Fault::on("HEAD", &format!("/blobs/{blob}"), Effect::blob_unknown()));
    let result = bench.run(&task).await;
    let failure = failure(&result);
    assert_eq!((failure.code, failure.class), (Code::DestinationIncomplete, Class::Retry));
    assert!(failure.message.contains(blob.as_str()), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_source_a_destination_that_does_not_answer_is_not_said_to_lack_anything() {
    let bench = Bench::new().await;
    let image = image();
    let task = placed(&bench, &image).await;
    for digest in bench.source.store().manifests("team/app").keys() {
        bench.source.store().delete_manifest("team/app", digest);
    }
    let mut pinned = task;
    let proto::task::TaskKind::Mirror(mirror) = &mut pinned.kind;
    mirror.source = format!("{}/team/app:1.0@{}", bench.source.host(), image.digest()).parse().unwrap();
    assert!(is_read_back(&bench.run(&pinned).await), "all is there");

    let tools = crate::bench::tools().await;
    bench.destination.fault(Fault::on("GET", "/manifests/", Effect::status(503)));
    assert_eq!(failure(&bench.run_with(&tools, &pinned).await).code, Code::DestinationUnavailable);
    bench.destination.clear_faults();
    assert!(bench.destination.store().delete_manifest(APP, &image.children[0].digest()));
    let lacking = bench.run_with(&tools, &pinned).await;
    assert_eq!(failure(&lacking).code, Code::DestinationDrifted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_was_taken_away_does_not_hide_what_is_missing_below_it() {
    let bench = Bench::new().await;
    let image = image();
    let task = placed(&bench, &image).await;
    let layer = image.children[1].blob_digests()[0].clone();
    assert!(bench.destination.store().delete_tag(APP, "1.0") && bench.destination.store().delete_blob(APP, &layer));
    let result = bench.run(&task).await;
    assert_eq!(digest(&result), &image.digest());
    assert!(bench.destination.store().has_blob(APP, &layer));
    let told = result.warnings.join("\n");
    assert!(told.contains(layer.as_str()) && told.contains("was gone; it was set again"), "{told}");
}
