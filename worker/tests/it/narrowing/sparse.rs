//! Indexes that keep their bytes and name what is not there.

use proto::{Class, Code};
use sandbox::{Missing, content};

use super::{held, raw, signed, sorted, sparse, was_asked_for};
use crate::bench::{Bench, digest, failure};

#[tokio::test(flavor = "multi_thread")]
async fn a_sparse_index_keeps_its_bytes_and_its_signature_without_the_other_children() {
    let bench = Bench::new().await;
    bench.destination.features(|features| features.missing = Missing::Accepted);
    let (index, [top_signature, signature, _]) = signed(&bench);
    let task = bench.task_for("1.0", &sparse(&["linux/amd64"]));
    let result = bench.run(&task).await;
    let (intel, arm) = (&index.children[0], &index.children[1]);
    assert_eq!(digest(&result), &index.digest());
    let sboms = [index.referrers[0].digest(), intel.referrers[0].digest()];
    let expected = [&index.digest(), &intel.digest(), &sboms[0], &sboms[1], &top_signature, &signature];
    assert_eq!(held(&bench), sorted(expected));
    assert_eq!(raw(&bench, &index.digest()).as_bytes(), index.raw);
    assert!(!was_asked_for(&bench.source, arm) && !was_asked_for(&bench.destination, arm));

    bench.run(&bench.again(&task, &result)).await;
    assert_eq!((bench.source.requests().len(), bench.destination.requests().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_refuses_a_sparse_index_says_so_itself_and_the_mending_is_told() {
    let bench = Bench::new().await;
    bench.put("1.0", &content::multi_platform(1, &["linux/amd64", "linux/arm64"]));
    let result = bench.run(&bench.task_for("1.0", &sparse(&["linux/amd64"]))).await;
    let failure = failure(&result);
    assert_eq!((failure.code, failure.class), (Code::DestinationRefused, Class::Reject));
    assert!(failure.message.contains("MANIFEST_BLOB_UNKNOWN"), "{failure}");
    assert!(failure.hint.as_ref().unwrap().contains("`index: rewrite`"), "{failure:?}");
    assert_eq!(bench.placed("1.0"), None);
}
