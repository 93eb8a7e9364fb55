//! How attempts end before their time: drain, deadline.

use std::time::Duration;

use backends::Lane;
use proto::outcome::End;
use proto::{Class, Code, Task};
use sandbox::{Effect, Fault, Hold, content};

use crate::bench::{Bench, digest, end, failure, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_worker_finishes_what_runs_and_takes_nothing_new() {
    let bench = Bench::new().await;
    let hold = Hold::on(&bench.destination, "PUT", "/manifests/1.0", 0);
    bench.queue_image(1, "1.0").await;
    let working = bench.work(1);
    within(hold.reached()).await;
    bench.queue_image(2, "2.0").await;
    working.shutdown.drain.cancel();
    drop(hold);
    working.ended().await;

    assert_eq!(Some(digest(&bench.result().await)), bench.placed("1.0").as_ref());
    assert_eq!((bench.depth(Lane::Tasks).await, bench.depth(Lane::Results).await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_within_the_grace_is_given_back_as_interrupted() {
    let bench = Bench::new().await;
    let stall = bench.destination.fault(Fault::on("PUT", "/blobs/uploads/", Effect::StallUpload { after: 10 }));
    let task = bench.queue_image(1, "1.0").await;
    let working = bench.work_with_grace(1, Duration::from_millis(50));
    within(bench.destination.log().wait_for("PUT", "/blobs/uploads/", 1)).await;
    working.shutdown.drain.cancel();
    working.ended().await;
    let result = bench.result().await;
    assert_eq!((result.task, end(&result)), (task.id, &End::INTERRUPTED));
    assert_eq!(bench.depth(Lane::Tasks).await, 0, "it is answered for");

    stall.remove();
    bench.publish(&Task { attempt: task.attempt.next(), ..task }).await;
    let _working = bench.work(1);
    digest(&bench.result().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_solo_task_that_waits_for_others_does_not_hold_up_the_drain() {
    let bench = Bench::new().await;
    bench.destination.fault(Fault::on("PUT", "/blobs/uploads/", Effect::StallUpload { after: 10 }));
    let first = bench.queue_image(1, "1.0").await;
    let working = bench.work_with_grace(2, Duration::from_millis(50));
    within(bench.destination.log().wait_for("PUT", "/blobs/uploads/", 1)).await;
    bench.publish(&Task { solo: true, ..bench.task("1.0") }).await;
    within(async {
        while bench.depth(Lane::Tasks).await > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    working.shutdown.drain.cancel();
    working.ended().await;
    let result = bench.result().await;
    assert_eq!((result.task, end(&result)), (first.id, &End::INTERRUPTED));
    assert_eq!((bench.depth(Lane::Tasks).await, bench.depth(Lane::Results).await), (1, 0), "it waits for another");
}

/// Runs a task with a short deadline over an image of three blobs, of which `complete` arrive and the next stalls.
async fn run_out_of_time(complete: u64) -> (Bench, Task) {
    let bench = Bench::new().await;
    let stall = Effect::StallUpload { after: 10 };
    bench.destination.fault(Fault::on("PUT", "/blobs/uploads/", stall).after(complete));
    bench.put("1.0", &content::image(1).build());
    let task = Task { deadline: Duration::from_millis(500), ..bench.task("1.0") };
    bench.publish(&task).await;
    (bench, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_after_a_blob_was_complete_interrupts_and_the_next_attempt_goes_on() {
    let (bench, task) = run_out_of_time(1).await;
    let _working = bench.work(1);
    let result = bench.result().await;
    assert_eq!(end(&result), &End::INTERRUPTED);
    assert_eq!(result.spent.blobs_written, 1);
    assert_eq!(bench.placed("1.0"), None);

    bench.destination.clear_faults();
    bench.publish(&Task { attempt: task.attempt.next(), deadline: Duration::from_secs(20), ..task }).await;
    let result = bench.result().await;
    assert_eq!(Some(digest(&result)), bench.placed("1.0").as_ref());
    assert_eq!((result.spent.blobs_written, result.spent.blobs_skipped), (2, 1), "it goes on from what is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_before_any_blob_was_complete_is_a_failure() {
    let (bench, _) = run_out_of_time(0).await;
    let _working = bench.work(1);
    let result = bench.result().await;
    assert_eq!((failure(&result).code, failure(&result).class), (Code::BlobExceedsDeadline, Class::Reject));
    assert_eq!(bench.placed("1.0"), None);
}
