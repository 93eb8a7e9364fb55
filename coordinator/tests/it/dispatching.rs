//! Tasks go out and results come back, whatever fails in between.

use std::sync::atomic::Ordering;

use backends::conformance::damage_store;
use backends::{Lane, Queue};
use coordinator::CoordinatorError;
use proto::Attempt;
use proto::limits::DELIVERIES_MAX;

use crate::office::{Office, placed};

#[tokio::test]
async fn a_task_is_in_the_store_before_it_is_on_the_queue() {
    let office = Office::new().await;
    let run = office.submit_tags(&["1", "2", "3"]).await;
    office.run_to_report(run, 3).await;
    // Others may be done by then, but the one that is published is not even marked.
    let ready = office.queue.ready_when_published.lock().unwrap();
    assert!(ready.len() == 3 && ready.iter().all(|ready| *ready > 0), "{ready:?}");
}

#[tokio::test]
async fn a_task_published_before_a_crash_is_published_again_and_its_second_result_changes_nothing() {
    let mut office = Office::new().await;
    let run = office.submit_tags(&["1"]).await;
    office.queue.is_mute.store(true, Ordering::SeqCst);
    let (first, task) = office.during(office.next_task()).await;

    office.queue.is_mute.store(false, Ordering::SeqCst);
    office.start_over();
    let work = async {
        let (second, again) = office.next_task().await;
        assert_eq!(again, task, "the same attempt");
        for delivery in [first, second] {
            office.answer(&placed(&task)).await;
            delivery.ack().await.unwrap();
        }
        office.report(run).await
    };
    let report = office.during(work).await;
    assert_eq!((&report["totals"]["images"], &report["totals"]["pushed"]), (&1.into(), &1.into()));
    assert_eq!(report["images"][0]["attempts"], 1);
    assert_eq!(office.store.progress(run).await.unwrap().counts.done(), 1);
}

#[tokio::test]
async fn a_result_that_the_store_does_not_take_is_not_acked_and_ends_the_coordinator() {
    let (office, path) = Office::with_file().await;
    office.submit_tags(&["1"]).await;
    let work = async {
        let (delivery, task) = office.next_task().await;
        damage_store(&path).await;
        office.answer(&placed(&task)).await;
        delivery.ack().await.unwrap();
    };
    let error = office.failing_during(work).await;
    assert!(matches!(error, CoordinatorError::Store(_)), "{error:?}");
    assert_eq!(office.depth(Lane::Results).await, 1);
    let result = office.queue.next(Lane::Results).await.unwrap();
    assert_eq!(result.count(), 5 + 1, "it was tried five times");
}

#[tokio::test]
async fn a_queue_that_fails_four_times_in_a_row_is_asked_again_and_five_times_end_the_coordinator() {
    let office = Office::new().await;
    let run = office.submit_tags(&["1"]).await;
    office.queue.refusals.store(4, Ordering::SeqCst);
    office.run_to_report(run, 1).await;

    office.queue.refusals.store(5, Ordering::SeqCst);
    let error = office.failing_during(office.submit_tags(&["2"])).await;
    assert!(matches!(error, CoordinatorError::Queue(_)), "{error:?}");
}

#[tokio::test]
async fn a_dead_letter_is_tried_once_more_and_alone_and_only_then_failed() {
    let office = Office::new().await;
    let run = office.submit_tags(&["1"]).await;
    let work = async {
        for (attempt, solo) in [(1, false), (2, true)] {
            for _ in 0..DELIVERIES_MAX {
                let (delivery, task) = office.next_task().await;
                assert_eq!((task.attempt, task.solo), (Attempt(attempt), solo));
                drop(delivery);
            }
        }
        office.report(run).await
    };
    let report = office.during(work).await;
    let image = &report["images"][0];
    assert_eq!((&image["outcome"], &image["attempts"]), (&"failed".into(), &2.into()));
    assert_eq!(image["destinations"][0]["failure"]["code"], "worker_lost");
    assert_eq!(office.depth(Lane::DeadTasks).await, 0);
}

#[tokio::test]
async fn an_interrupted_run_counts_the_results_that_still_wait_and_cancels_the_rest() {
    let office = Office::new().await;
    let run = office.submit_tags(&["1", "2"]).await;
    let ((_first, task), _second) = office.during(async { (office.next_task().await, office.next_task().await) }).await;
    office.answer(&placed(&task)).await;

    office.coordinator.interrupt(run).await.unwrap();
    let report = office.report(run).await;
    assert_eq!(report["run"]["end"], "interrupted");
    assert_eq!((&report["totals"]["pushed"], &report["totals"]["cancelled"]), (&1.into(), &1.into()));
}
