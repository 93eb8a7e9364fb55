//! What becomes of a destination: the name last, byte for byte, and never back over what is newer.

use proto::outcome::End;
use proto::task::{Destination, Fingerprint, Placed, TaskKind};
use proto::{Code, Content, Digest, Task};
use sandbox::{Effect, Fault, Hold, Missing, content};

use crate::bench::{Bench, digest, end, failure, within};

/// An index with children, an SBOM and a signature, oddly formatted where that can be.
fn put_all_kinds(bench: &Bench) -> Digest {
    let child = content::image(1).oddly_formatted().build();
    let child = child.clone().with_referrer(content::sbom(&child));
    let index = content::index(&[child, content::image(2).build()]);
    let index = index.clone().with_referrer(content::sbom(&index));
    let signature = content::cosign_signature(&index);
    bench.put(&content::cosign_tag(&index.digest(), "sig"), &signature);
    bench.put("1.0", &index)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_appears_last() {
    let bench = Bench::new().await;
    let top = put_all_kinds(&bench);
    bench.publish(&bench.task("1.0")).await;
    let _working = bench.work(1);
    assert_eq!(digest(&bench.result().await), &top);

    let requests = bench.destination.requests();
    let named = requests.iter().position(|request| request.is("PUT", "/manifests/1.0")).unwrap();
    let (before, after) = requests.split_at(named);
    assert_eq!(before.iter().filter(|request| request.is("PUT", "/manifests/") && request.status == 201).count(), 5);
    assert_eq!(after.len(), 1, "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_does_not_check_what_it_takes_is_asked_for_the_name() {
    let bench = Bench::new().await;
    bench.destination.features(|can| can.missing = Missing::Accepted);
    let top = put_all_kinds(&bench);
    assert_eq!(digest(&bench.run(&bench.task("1.0")).await), &top);
    let requests = bench.destination.requests();
    let named = requests.iter().position(|request| request.is("PUT", "/manifests/1.0")).unwrap();
    let after: Vec<_> = requests[named + 1..].iter().map(|request| request.method.as_str()).collect();
    assert_eq!(after, ["HEAD"]);
    let probe = requests.iter().filter(|request| request.is("DELETE", "/manifests/"));
    assert_eq!(probe.map(|request| request.status).collect::<Vec<_>>(), [202], "what was put to find out is gone");
    assert_eq!(bench.destination.store().manifests("mirror/app"), bench.source.store().manifests("team/app"));
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_images_are_copied_byte_for_byte() {
    let bench = Bench::new().await;
    put_all_kinds(&bench);
    bench.publish(&bench.task("1.0")).await;
    let _working = bench.work(1);
    digest(&bench.result().await);
    let (theirs, ours) =
        (bench.source.store().manifests("team/app"), bench.destination.store().manifests("mirror/app"));
    assert_eq!(theirs.len(), 6);
    assert_eq!(theirs, ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_loses_a_child_before_the_name_appears_is_sent_it_again() {
    let bench = Bench::new().await;
    let (top, lose) = put_and_lose_a_child(&bench);
    bench.destination.fault(Fault::on("PUT", "/manifests/1.0", lose).times(1));
    assert_eq!(digest(&bench.run(&bench.task("1.0")).await), &top);
    assert_eq!(bench.destination.store().manifests("mirror/app"), bench.source.store().manifests("team/app"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_loses_a_child_again_and_again_gets_no_name() {
    let bench = Bench::new().await;
    let (_, lose) = put_and_lose_a_child(&bench);
    bench.destination.fault(Fault::on("PUT", "/manifests/1.0", lose));
    let result = bench.run(&bench.task("1.0")).await;
    assert_eq!(failure(&result).code, Code::DestinationIncomplete);
    assert_eq!(bench.placed("1.0"), None);
}

/// Puts an index, and says how the destination loses one of its children.
fn put_and_lose_a_child(bench: &Bench) -> (Digest, Effect) {
    let child = content::image(1).build();
    let top = bench.put("1.0", &content::index(&[child.clone(), content::image(2).build()]));
    let lost = child.digest();
    (top, Effect::act(move |store| assert!(store.delete_manifest("mirror/app", &lost))))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_attempt_does_not_move_a_tag_back() {
    let bench = Bench::new().await;
    let old = bench.put("1.0", &content::image(1).build());
    let late = bench.task("1.0");
    // The late worker stops just before it looks at the tag for the last time; the next night comes meanwhile.
    let hold = Hold::on(&bench.destination, "HEAD", "/manifests/1.0", 1);
    bench.publish(&late).await;
    let _late = bench.work(1);
    within(hold.reached()).await;

    let new = bench.put("1.0", &content::image(2).build());
    bench.publish(&bench.task("1.0")).await;
    let _next = bench.work(1);
    assert_eq!(digest(&bench.result().await), &new);

    drop(hold);
    let result = bench.result().await;
    assert_eq!((result.task, result.source_digest.as_ref()), (late.id, Some(&old)));
    assert_eq!(failure(&result).code, Code::DestinationMoved);
    assert_eq!(bench.placed("1.0"), Some(new.clone()));

    // The attempt after that finds what the source shows by then.
    bench.publish(&Task { attempt: late.attempt.next(), ..late }).await;
    assert_eq!(digest(&bench.result().await), &new);
}

#[tokio::test(flavor = "multi_thread")]
async fn up_to_date_means_two_questions_and_a_tag_that_moved_away_is_set_right() {
    let bench = Bench::new().await;
    let ours = bench.put("1.0", &content::image(1).build());
    let mut task = bench.task("1.0");
    bench.publish(&task).await;
    let _working = bench.work(1);
    digest(&bench.result().await);

    let TaskKind::Mirror(mirror) = &mut task.kind;
    let placed = Placed { digest: ours.clone(), fingerprint: Fingerprint::of_copy(&ours, &Content::default()) };
    mirror.destinations = vec![Destination { placed: Some(placed), ..mirror.destinations[0].clone() }];
    bench.source.log().clear();
    bench.destination.log().clear();
    bench.publish(&task).await;
    assert_eq!(digest(&bench.result().await), &ours);
    assert_eq!((bench.source.requests().len(), bench.destination.requests().len()), (1, 1));

    bench.destination.store().put_image("mirror/app", Some("1.0"), &content::image(9).build());
    bench.publish(&task).await;
    assert!(matches!(end(&bench.result().await), End::Placed { .. }));
    assert_eq!(bench.placed("1.0"), Some(ours));
}
