//! What is known of single registries, and would be a trap to a mirror that does not know it.

use proto::{Class, Code};
use sandbox::{Effect, Fault, Missing, content};

use crate::bench::{Bench, destinations, digest, failure};

#[tokio::test(flavor = "multi_thread")]
async fn harbor_counts_a_get_as_a_pull_so_a_destination_is_asked_by_head_alone() {
    for missing in [Missing::Listed, Missing::Accepted] {
        let bench = Bench::new().await;
        bench.destination.features(|can| can.missing = missing);
        let index = content::multi_platform(1, &["linux/amd64", "linux/arm64"]);
        bench.put("1.0", &index.clone().with_referrer(content::sbom(&index)));
        let task = bench.task("1.0");
        let mut gets = Vec::new();
        let mut note_gets = |when| {
            let asked = bench.destination.requests().into_iter().filter(|request| request.method == "GET");
            let content = asked.filter(|request| request.is("", "/manifests/") || request.is("", "/blobs/"));
            gets.extend(content.map(|request| (when, request.path)));
        };
        let result = bench.run(&task).await;
        digest(&result);
        assert!(bench.destination.log().count("HEAD", "/manifests/") > 0, "it is asked");
        note_gets("new");

        let mut unchanged = bench.again(&task, &result);
        digest(&bench.run(&unchanged).await);
        note_gets("unchanged");

        destinations(&mut unchanged)[0].read_back = true;
        digest(&bench.run(&unchanged).await);
        assert!(bench.destination.log().count("HEAD", "/blobs/") > 0, "it is read back");
        note_gets("read back");

        bench.put("1.0", &content::image(2).build());
        digest(&bench.run(&bench.again(&task, &result)).await);
        note_gets("moved");
        assert_eq!(gets, [], "{missing:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ecr_wants_a_repository_to_be_created_first_and_the_failure_says_so_at_once() {
    let bench = Bench::new().await;
    bench.put("1.0", &content::image(1).build());
    let unknown = |method, path| Fault::on(method, path, Effect::refusal(404, "NAME_UNKNOWN"));
    bench.destination.fault(unknown("", "/v2/mirror/app/"));
    let result = bench.run(&bench.task("1.0")).await;
    let failure = failure(&result);
    assert_eq!((failure.code, failure.class), (Code::DestinationNotFound, Class::Reject), "{failure:?}");
    assert!(failure.message.contains("NAME_UNKNOWN"), "{failure:?}");
    assert!(failure.hint.as_ref().unwrap().starts_with("create the repository"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_first_push_creates_a_repository_nothing_has_to_be_there_before() {
    let bench = Bench::new().await;
    let top = bench.put("1.0", &content::image(1).build());
    assert_eq!(bench.destination.store().repositories(), [""; 0]);
    assert_eq!(digest(&bench.run(&bench.task("1.0")).await), &top);
    assert_eq!(bench.destination.store().repositories(), ["mirror/app"]);
}
