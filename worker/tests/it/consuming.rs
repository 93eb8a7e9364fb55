//! Slot, delivery, attempt, result, ack.

use std::sync::atomic::Ordering;

use backends::{Lane, Queue};
use proto::{Code, limits};
use sandbox::{Effect, Fault, Hold, content};

use crate::bench::{Bench, digest, failure, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_acked_only_after_its_result_is_kept() {
    let bench = Bench::new().await;
    bench.queue.refusals.store(2, Ordering::SeqCst);
    let task = bench.queue_image(1, "1.0").await;
    let working = bench.work(2);

    let result = bench.result().await;
    assert_eq!((result.task, Some(digest(&result))), (task.id, bench.placed("1.0").as_ref()));
    assert_eq!(bench.queue.offered.load(Ordering::SeqCst), 3, "each refusal brings the task back");
    working.shutdown.drain.cancel();
    working.ended().await;
    assert_eq!((bench.depth(Lane::Tasks).await, bench.depth(Lane::Results).await), (0, 0));
    assert_eq!(bench.destination.log().count("PUT", "/manifests/1.0"), 1, "run three times, with one effect");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_result_nobody_takes_becomes_a_dead_letter() {
    let bench = Bench::new().await;
    bench.queue.refusals.store(usize::MAX, Ordering::SeqCst);
    let task = bench.queue_image(1, "1.0").await;
    let _working = bench.work(1);
    let letter = within(bench.queue.next(Lane::DeadTasks)).await.unwrap();
    assert_eq!(letter.envelope().task().unwrap(), task);
    assert_eq!(bench.queue.offered.load(Ordering::SeqCst), limits::DELIVERIES_MAX as usize);
}

#[test]
fn a_task_of_a_worker_that_dies_is_delivered_again() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    let (ours, dying) = (runtime(), runtime());
    let (bench, hold) = ours.block_on(async {
        let bench = Bench::new().await;
        bench.queue_image(1, "1.0").await;
        let hold = Hold::losing(&bench.destination, "PUT", "/manifests/1.0", 0);
        (bench, hold)
    });
    {
        let _guard = dying.enter();
        drop(bench.work(1));
    }
    ours.block_on(within(hold.reached()));
    dying.shutdown_background();
    ours.block_on(async {
        let again = within(bench.queue.next(Lane::Tasks)).await.unwrap();
        assert_eq!((again.count(), bench.depth(Lane::Results).await), (2, 0));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn running_a_task_twice_gives_the_same_end_and_one_effect() {
    let bench = Bench::new().await;
    let task = bench.queue_image(1, "1.0").await;
    bench.publish(&task).await;
    let _working = bench.work(2);
    let (one, two) = (bench.result().await, bench.result().await);
    assert_eq!(digest(&one), digest(&two));

    bench.destination.log().clear();
    bench.publish(&task).await;
    assert_eq!(digest(&bench.result().await), digest(&one));
    assert_eq!(bench.destination.log().count("PUT", "") + bench.destination.log().count("POST", ""), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_deliveries_are_held_than_there_are_slots() {
    let bench = Bench::new().await;
    // Each image is put once under its tag.
    let holds = [0, 1].map(|n| Hold::on(&bench.destination, "PUT", "/manifests/1.", n));
    for n in 0..6 {
        bench.queue_image(n, &format!("1.{n}")).await;
    }
    let _working = bench.work(2);
    for hold in &holds {
        within(hold.reached()).await;
    }
    assert_eq!(bench.depth(Lane::Tasks).await, 4);
    assert_eq!(bench.queue.waiting.load(Ordering::SeqCst), 0, "nobody asks for a task without a slot for it");
    drop(holds);
    for _ in 0..6 {
        digest(&bench.result().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_solo_task_runs_beside_nothing_and_two_of_them_do_not_lock_up() {
    let bench = Bench::new().await;
    let hold = Hold::on(&bench.destination, "PUT", "/manifests/first", 0);
    bench.queue_image(1, "first").await;
    for (seed, tag) in [(2, "solo1"), (3, "solo2")] {
        bench.put(tag, &content::image(seed).build());
        bench.publish(&proto::Task { solo: true, ..bench.task(tag) }).await;
    }
    bench.queue_image(4, "last").await;
    let _working = bench.work(3);
    within(hold.reached()).await;
    drop(hold);
    for _ in 0..4 {
        digest(&bench.result().await);
    }
    // Between the first and the last request for one tag there is none for another.
    let tags = ["first", "solo1", "solo2", "last"];
    let of_tag = |path: String| tags.into_iter().find(|tag| path.ends_with(&format!("/manifests/{tag}")));
    let mut seen: Vec<&str> = bench.destination.requests().into_iter().filter_map(|r| of_tag(r.path)).collect();
    seen.dedup();
    assert_eq!(seen, tags);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poison_task_does_not_stop_seven_innocents() {
    let bench = Bench::new().await;
    let mut tasks = Vec::new();
    for n in 0..8 {
        tasks.push(bench.queue_image(n, &format!("1.{n}")).await);
    }
    let poison = content::image(3).build().blob_digests()[0].clone();
    bench.source.fault(Fault::on("GET", &format!("/blobs/{poison}"), Effect::CorruptBody { at: 1 }));
    let _working = bench.work(8);
    for _ in 0..8 {
        let result = bench.result().await;
        if result.task == tasks[3].id {
            assert_eq!(failure(&result).code, Code::SourceCorrupt);
        } else {
            digest(&result);
        }
    }
    let placed: Vec<u64> = (0..8).filter(|n| bench.placed(&format!("1.{n}")).is_some()).collect();
    assert_eq!(placed, [0, 1, 2, 4, 5, 6, 7]);
}
