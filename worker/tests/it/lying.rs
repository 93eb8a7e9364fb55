//! A Ledger that lies costs time, never correctness.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backends::{Beat, Holders, Lease, Ledger};
use proto::{Class, Code, Digest, Host, Manifest, Repository, RunId};
use sandbox::{Image, Missing, content};

use crate::bench::{Bench, digest, failure, tools_over};

/// Says that everything is everywhere, and keeps no word of the contrary.
#[derive(Default)]
struct Liar {
    /// Panics when it is asked next, once.
    stumbles: AtomicBool,
}

#[async_trait]
impl Ledger for Liar {
    async fn holders(&self, _: &Repository, wanted: &[Digest]) -> Holders {
        assert!(!self.stumbles.swap(false, Ordering::SeqCst), "the stage stumbles");
        Holders { here: wanted.iter().cloned().collect(), knows_repository: true, ..Holders::default() }
    }

    async fn note_held(&self, _: &Repository, _: &[Digest]) {}

    async fn note_missing(&self, _: &Repository, _: &[Digest]) {}

    async fn manifest(&self, _: &Digest) -> Option<Manifest> {
        None
    }

    async fn keep_manifest(&self, _: &Manifest) {}

    async fn learned(&self, _: &Host) -> Option<String> {
        None
    }

    async fn keep_learned(&self, _: &Host, _: &str) {}

    /// Somebody else always sends it.
    async fn lease(&self, _: &Host, _: &Digest) -> Option<Lease> {
        None
    }

    async fn lease_ended(&self, _: &Host, _: &Digest, _: Duration) {}

    async fn beat(&self, _: &Beat) {}

    async fn beats(&self) -> Option<Vec<Beat>> {
        Some(Vec::new())
    }

    async fn cancel(&self, _: RunId) {}

    async fn is_cancelled(&self, _: RunId) -> bool {
        false
    }
}

/// An index with children, an SBOM and a signature.
fn all_kinds(bench: &Bench) -> Image {
    let index = content::multi_platform(1, &["linux/amd64", "linux/arm64"]);
    let index = index.clone().with_referrer(content::sbom(&index));
    bench.put(&content::cosign_tag(&index.digest(), "sig"), &content::cosign_signature(&index));
    bench.put("1.0", &index);
    index
}

/// Runs the image's task until it is done: an attempt that waits for somebody else is given back, until there were too
/// many of them.
async fn done(bench: &Bench) -> Digest {
    let tools = tools_over(Arc::new(Liar::default()));
    let task = bench.task("1.0");
    let patient = proto::Task { attempt: proto::Attempt(20), ..task };
    digest(&bench.run_with(&tools, &patient).await).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_says_that_everything_is_everywhere_leaves_no_gap() {
    for missing in [Missing::Listed, Missing::Unnamed, Missing::Accepted] {
        let bench = Bench::new().await;
        bench.destination.features(|can| can.missing = missing);
        let index = all_kinds(&bench);
        assert_eq!(done(&bench).await, index.digest(), "{missing:?}");
        let (source, destination) = (bench.source.store(), bench.destination.store());
        assert_eq!(destination.manifests("mirror/app"), source.manifests("team/app"), "{missing:?}");
        for manifest in source.manifests("team/app").values() {
            let manifest = Manifest::parse(manifest.raw.clone(), Some(&manifest.media_type)).unwrap();
            for blob in manifest.blobs() {
                assert!(destination.has_blob("mirror/app", &blob.digest), "{missing:?}: {}", blob.digest);
            }
        }
    }
}

#[tokio::test]
async fn a_panic_in_an_attempt_becomes_its_result_and_the_worker_goes_on() {
    let bench = Bench::new().await;
    bench.put("1.0", &content::image(1).build());
    let task = proto::Task { attempt: proto::Attempt(20), ..bench.task("1.0") };
    let tools = tools_over(Arc::new(Liar { stumbles: true.into() }));
    let _working = bench.work_with(ready(tools), 1, Duration::from_secs(60));
    bench.publish(&task).await;
    let result = bench.result().await;
    assert_eq!(result.task, task.id);
    let failure = failure(&result);
    assert_eq!(
        (failure.code, failure.class, failure.message.as_str()),
        (Code::Internal, Class::Bug, "the stage stumbles")
    );

    bench.publish(&task).await;
    digest(&bench.result().await);
}
