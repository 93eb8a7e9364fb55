//! Narrowed indexes from attempt to attempt, and several of them in one.

use proto::outcome::End;
use proto::task::TaskKind;
use proto::{Code, Content, Digest, TaskResult};
use sandbox::{Hold, content};

use super::{held, rewrite, signed};
use crate::bench::{Bench, destinations, digest, failure, tools, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_index_is_up_to_date_until_other_content_is_wanted() {
    let bench = Bench::new().await;
    bench.put("1.0", &content::multi_platform(1, &["linux/amd64", "linux/arm64", "linux/s390x"]));
    let task = bench.task_for("1.0", &rewrite(&["linux/amd64", "linux/arm64"]));
    let first = bench.run(&task).await;

    let second = bench.run(&bench.again(&task, &first)).await;
    assert_eq!(digest(&second), digest(&first));
    assert_eq!((bench.source.requests().len(), bench.destination.requests().len()), (1, 1));

    let mut other = bench.again(&task, &second);
    destinations(&mut other)[0].content = rewrite(&["linux/amd64"]);
    let third = bench.run(&other).await;
    assert_ne!(digest(&third), digest(&first));
    assert_eq!(bench.placed("1.0").as_ref(), Some(digest(&third)));

    let mut whole = bench.again(&other, &third);
    destinations(&mut whole)[0].content = Content::default();
    let fourth = bench.run(&whole).await;
    assert_eq!(Some(digest(&fourth)), fourth.source_digest.as_ref());
    assert_eq!((third.warnings, fourth.warnings), (Vec::new(), Vec::new()), "what was placed is moved without a word");
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_of_one_task_get_each_what_they_want_of_one_read() {
    let bench = Bench::new().await;
    let (index, _) = signed(&bench);
    let mut task = bench.task("1.0");
    let whole = destinations(&mut task)[0].clone();
    let at = |name: &str| format!("{}/{name}/app:1.0", bench.destination.host()).parse().unwrap();
    let mut small = whole.clone();
    (small.location, small.content) = (at("small"), rewrite(&["linux/amd64"]));
    let mut same = small.clone();
    same.location = at("same");
    destinations(&mut task).extend([small, same]);
    let result = bench.run(&task).await;

    let digests = |result: &TaskResult| -> Vec<Digest> {
        let placed = |end: &End| match end {
            End::Placed { digest, .. } => digest.clone(),
            other => panic!("nothing was placed: {other:?}"),
        };
        result.destinations.iter().map(|destination| placed(&destination.end)).collect()
    };
    let placed = digests(&result);
    let store = bench.destination.store();
    assert_eq!((&placed[0], &placed[1]), (&index.digest(), &placed[2]));
    assert_ne!(placed[0], placed[1]);
    assert_eq!(store.manifests("mirror/app").len(), 9);
    assert_eq!(store.manifests("small/app"), store.manifests("same/app"));
    assert_eq!(store.manifests("small/app").len(), 4);
    let reads = bench.source.log().count("GET", "/manifests/");
    assert_eq!(reads, bench.source.store().manifests("team/app").len(), "each once");

    // A signature of the source's index, which a listing names, is not missing where another index lies.
    let mut again = bench.again(&task, &result);
    let TaskKind::Mirror(mirror) = &mut again.kind;
    mirror.sidecars.tags.insert(content::cosign_tag(&index.digest(), "sig").parse().unwrap());
    assert_eq!(digests(&bench.run(&again).await), placed);
    assert_eq!((bench.source.requests().len(), bench.destination.requests().len()), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_the_name_a_rewritten_index_is_made_again_the_same() {
    let bench = Bench::new().await;
    bench.put("1.0", &content::multi_platform(1, &["linux/amd64", "linux/arm64", "linux/s390x"]));
    let task = bench.task_for("1.0", &rewrite(&["linux/amd64", "linux/arm64"]));
    let hold = Hold::on(&bench.destination, "HEAD", "/manifests/1.0", 1);
    let tools = tools().await;
    let killed = tokio::spawn({
        let task = task.clone();
        async move { worker::attempt(&tools, &task, Default::default()).await }
    });
    within(hold.reached()).await;
    killed.abort();
    assert!(killed.await.is_err());
    drop(hold);
    assert_eq!((bench.placed("1.0"), held(&bench).len()), (None, 2), "all is there but the name");

    bench.destination.log().clear();
    let result = bench.run(&task).await;
    assert_eq!(bench.placed("1.0").as_ref(), Some(digest(&result)));
    assert_eq!((result.spent.blobs_written, result.spent.manifests_written), (0, 1));

    // Killed after the name and before the result: nothing is on record, and what is there is ours.
    let once_more = bench.run(&task).await;
    assert_eq!((digest(&once_more), &once_more.warnings), (digest(&result), &Vec::new()));
    assert_eq!(once_more.spent.manifests_written, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_index_is_not_put_over_what_came_meanwhile() {
    let bench = Bench::new().await;
    bench.put("1.0", &content::multi_platform(1, &["linux/amd64", "linux/arm64"]));
    let hold = Hold::on(&bench.destination, "HEAD", "/manifests/1.0", 1);
    let _working = bench.work(1);
    bench.publish(&bench.task_for("1.0", &rewrite(&["linux/amd64"]))).await;
    within(hold.reached()).await;
    let newer = content::image(9).build();
    bench.destination.store().put_image("mirror/app", Some("1.0"), &newer);
    drop(hold);
    assert_eq!(failure(&bench.result().await).code, Code::DestinationMoved);
    assert_eq!(bench.placed("1.0"), Some(newer.digest()));
}
