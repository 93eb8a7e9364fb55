//! What every [`Queue`] promises.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::try_join_all;
use proto::envelope::EnvelopeError;
use proto::{Envelope, LayoutRef, Location, TaskResult, limits};
use tokio::time::{sleep, timeout};

use super::{PATIENCE, location, loose_task};
use crate::{Delivery, Lane, Queue};

/// Makes the suite's promises tests of an expression that gives, in a future, an empty `Arc<dyn Queue>` and what must live
/// as long as it does; none where it cannot be had.
#[macro_export]
macro_rules! queue_suite {
    ($make:expr) => {
        $crate::queue_suite! { $make;
            a_message_arrives_as_it_was_sent
            the_largest_message_arrives_and_a_larger_one_cannot_be_made
            an_acked_message_is_gone
            a_dropped_delivery_comes_back
            a_task_that_nobody_acks_becomes_a_dead_letter
            results_and_dead_letters_come_back_until_they_are_acked
            lanes_are_apart
            depth_counts_what_waits
            a_dropped_next_loses_nothing
            takers_that_give_up_at_any_moment_lose_nothing
            a_waiting_taker_is_woken_for_every_message
            what_is_released_waits_again_and_the_next_taker_begins_anew
            a_message_that_cannot_be_read_is_parked_and_those_behind_it_come
            many_messages_are_published_at_once
        }
    };
    ($make:expr; $($name:ident)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            let Some((queue, _guard)) = $make.await else { return };
            $crate::conformance::queue::$name(queue).await;
        }
    )+};
}

/// What is published is delivered, byte for byte, and counted as its first delivery.
pub async fn a_message_arrives_as_it_was_sent(queue: Arc<dyn Queue>) {
    let message = publish(&*queue, Lane::Tasks).await;
    let delivery = next(&*queue, Lane::Tasks).await;
    assert_eq!(delivery.envelope(), &message);
    assert_eq!(delivery.count(), 1);
    delivery.ack().await.unwrap();
}

/// The cap is the same on every backend, because no message above it exists.
pub async fn the_largest_message_arrives_and_a_larger_one_cannot_be_made(queue: Arc<dyn Queue>) {
    let padded = |bytes: usize| {
        let path = "x".repeat(bytes).into();
        Envelope::of_task(&loose_task(Location::Layout(LayoutRef { path, name: None })))
    };
    let overhead = padded(70_000).unwrap().bytes().len() - 70_000;
    let largest = padded(limits::MESSAGE_BYTES_MAX - overhead).unwrap();
    assert_eq!(largest.bytes().len(), limits::MESSAGE_BYTES_MAX);
    queue.publish(Lane::Tasks, &largest).await.unwrap();
    let delivery = next(&*queue, Lane::Tasks).await;
    assert_eq!(delivery.envelope(), &largest);
    let larger = padded(limits::MESSAGE_BYTES_MAX - overhead + 1);
    assert!(matches!(larger, Err(EnvelopeError::TooLarge(_))));
}

/// After the ack nothing is left of a message.
pub async fn an_acked_message_is_gone(queue: Arc<dyn Queue>) {
    publish(&*queue, Lane::Tasks).await;
    next(&*queue, Lane::Tasks).await.ack().await.unwrap();
    let second = publish(&*queue, Lane::Tasks).await;
    let delivery = next(&*queue, Lane::Tasks).await;
    assert_eq!((delivery.envelope(), delivery.count()), (&second, 1));
    delivery.ack().await.unwrap();
    depth_becomes(&*queue, Lane::Tasks, 0).await;
}

/// A worker that was lost gives its messages back.
pub async fn a_dropped_delivery_comes_back(queue: Arc<dyn Queue>) {
    let message = publish(&*queue, Lane::Tasks).await;
    drop(next(&*queue, Lane::Tasks).await);
    let delivery = next(&*queue, Lane::Tasks).await;
    assert_eq!((delivery.envelope(), delivery.count()), (&message, 2));
}

/// After `limits::DELIVERIES_MAX` deliveries a task is for the coordinator.
pub async fn a_task_that_nobody_acks_becomes_a_dead_letter(queue: Arc<dyn Queue>) {
    let message = publish(&*queue, Lane::Tasks).await;
    for count in 1..=limits::DELIVERIES_MAX {
        let delivery = next(&*queue, Lane::Tasks).await;
        assert_eq!((delivery.envelope(), delivery.count()), (&message, count));
    }
    let dead = next(&*queue, Lane::DeadTasks).await;
    assert_eq!((dead.envelope(), dead.count()), (&message, 1));
    dead.ack().await.unwrap();
    depth_becomes(&*queue, Lane::Tasks, 0).await;
}

/// The coordinator may be down for as long as it likes.
pub async fn results_and_dead_letters_come_back_until_they_are_acked(queue: Arc<dyn Queue>) {
    for lane in [Lane::Results, Lane::DeadTasks] {
        let message = publish(&*queue, lane).await;
        for _ in 0..2 * limits::DELIVERIES_MAX {
            assert_eq!(next(&*queue, lane).await.envelope(), &message);
        }
        next(&*queue, lane).await.ack().await.unwrap();
        depth_becomes(&*queue, lane, 0).await;
    }
}

/// A message is delivered on the lane on which it was published.
pub async fn lanes_are_apart(queue: Arc<dyn Queue>) {
    for lane in Lane::ALL {
        let message = publish(&*queue, lane).await;
        for other in Lane::ALL {
            depth_becomes(&*queue, other, u64::from(other == lane)).await;
        }
        let delivery = next(&*queue, lane).await;
        assert_eq!(delivery.envelope(), &message);
        delivery.ack().await.unwrap();
    }
}

/// What is in somebody's hands does not wait.
pub async fn depth_counts_what_waits(queue: Arc<dyn Queue>) {
    for _ in 0..3 {
        publish(&*queue, Lane::Tasks).await;
    }
    depth_becomes(&*queue, Lane::Tasks, 3).await;
    let delivery = next(&*queue, Lane::Tasks).await;
    depth_becomes(&*queue, Lane::Tasks, 2).await;
    drop(delivery);
    depth_becomes(&*queue, Lane::Tasks, 3).await;
    next(&*queue, Lane::Tasks).await.ack().await.unwrap();
    depth_becomes(&*queue, Lane::Tasks, 2).await;
}

/// A `next` that has begun to wait may be dropped, before a message comes and after.
pub async fn a_dropped_next_loses_nothing(queue: Arc<dyn Queue>) {
    drop(begun(&queue, Lane::Tasks).await);
    let first = publish(&*queue, Lane::Tasks).await;
    assert_eq!(next(&*queue, Lane::Tasks).await.envelope(), &first);
    next(&*queue, Lane::Tasks).await.ack().await.unwrap();

    let waiting = begun(&queue, Lane::Tasks).await;
    let second = publish(&*queue, Lane::Tasks).await;
    drop(waiting);
    assert_eq!(next(&*queue, Lane::Tasks).await.envelope(), &second);
}

/// Many takers, each of which gives up after some turns of the scheduler and asks again: no message is left over.
pub async fn takers_that_give_up_at_any_moment_lose_nothing(queue: Arc<dyn Queue>) {
    const MESSAGES: usize = 200;
    let acked = Arc::new(Mutex::new(BTreeSet::new()));
    let takers: Vec<_> = (0..8)
        .map(|patience| {
            let (queue, acked) = (Arc::clone(&queue), Arc::clone(&acked));
            tokio::spawn(async move {
                while acked.lock().unwrap().len() < MESSAGES {
                    let taken = take_impatiently(&*queue, patience).await;
                    acked.lock().unwrap().extend(taken);
                }
            })
        })
        .collect();
    let mut expected = BTreeSet::new();
    for _ in 0..MESSAGES {
        expected.insert(publish(&*queue, Lane::Results).await.id().to_owned());
    }
    for taker in takers {
        timeout(PATIENCE, taker).await.unwrap().unwrap();
    }
    assert_eq!(*acked.lock().unwrap(), expected);
    assert_eq!(queue.depth(Lane::Results).await.unwrap(), 0);
}

/// Waits for a message for so many turns of the scheduler; gives the name of the one that it acked.
async fn take_impatiently(queue: &dyn Queue, turns: usize) -> Option<String> {
    let wait = async {
        for _ in 0..=turns {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        delivery = queue.next(Lane::Results) => {
            let delivery = delivery.unwrap();
            let id = delivery.envelope().id().to_owned();
            delivery.ack().await.unwrap();
            Some(id)
        }
        () = wait => None,
    }
}

/// Takers that wait, or are about to, get one message each, in whatever order they and the messages come.
pub async fn a_waiting_taker_is_woken_for_every_message(queue: Arc<dyn Queue>) {
    const TAKERS: usize = 8;
    for _ in 0..50 {
        let takers: Vec<_> = (0..TAKERS)
            .map(|_| {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move { next(&*queue, Lane::Tasks).await.ack().await.unwrap() })
            })
            .collect();
        for _ in 0..TAKERS {
            publish(&*queue, Lane::Tasks).await;
        }
        for taker in takers {
            taker.await.unwrap();
        }
    }
}

/// Whoever stops taking holds nothing back but what is in somebody's hands.
pub async fn what_is_released_waits_again_and_the_next_taker_begins_anew(queue: Arc<dyn Queue>) {
    for lane in Lane::ALL {
        for _ in 0..3 {
            publish(&*queue, lane).await;
        }
        let held = next(&*queue, lane).await;
        queue.release(lane).await;
        depth_becomes(&*queue, lane, 2).await;
        held.ack().await.unwrap();
        for _ in 0..2 {
            next(&*queue, lane).await.ack().await.unwrap();
        }

        // What comes for a taker that has gone is not kept either.
        let waiting = begun(&queue, lane).await;
        publish(&*queue, lane).await;
        drop(waiting);
        queue.release(lane).await;
        queue.release(lane).await;
        depth_becomes(&*queue, lane, 1).await;
        next(&*queue, lane).await.ack().await.unwrap();
        depth_becomes(&*queue, lane, 0).await;
    }
}

/// It may have been written by a newer release: it is not given to anybody, and not lost.
pub async fn a_message_that_cannot_be_read_is_parked_and_those_behind_it_come(queue: Arc<dyn Queue>) {
    for (lane, other) in [(Lane::Tasks, Lane::Results), (Lane::Results, Lane::Tasks), (Lane::DeadTasks, Lane::Results)]
    {
        let parked = queue.parked().await.unwrap();
        queue.publish(lane, &message(other)).await.unwrap();
        let readable = publish(&*queue, lane).await;
        let delivery = next(&*queue, lane).await;
        assert_eq!(delivery.envelope(), &readable);
        delivery.ack().await.unwrap();
        depth_becomes(&*queue, lane, 0).await;
        assert_eq!(queue.parked().await.unwrap(), parked + 1);
    }
}

/// Whoever publishes need not wait for one message before the next one.
pub async fn many_messages_are_published_at_once(queue: Arc<dyn Queue>) {
    let sent: Vec<_> = (0..300).map(|_| message(Lane::Tasks)).collect();
    try_join_all(sent.iter().map(|message| queue.publish(Lane::Tasks, message))).await.unwrap();
    depth_becomes(&*queue, Lane::Tasks, 300).await;
    let mut received = BTreeSet::new();
    for _ in 0..300 {
        let delivery = next(&*queue, Lane::Tasks).await;
        received.insert(delivery.envelope().id().to_owned());
        delivery.ack().await.unwrap();
    }
    assert_eq!(received, sent.iter().map(|message| message.id().to_owned()).collect());
}

/// A message of a lane.
pub fn message(lane: Lane) -> Envelope {
    let task = loose_task(location("docker.io/library/alpine:3.22"));
    match lane {
        Lane::Tasks | Lane::DeadTasks => Envelope::of_task(&task).unwrap(),
        Lane::Results => Envelope::of_result(&TaskResult::new(&task, Vec::new())).unwrap(),
    }
}

async fn publish(queue: &dyn Queue, lane: Lane) -> Envelope {
    let message = message(lane);
    queue.publish(lane, &message).await.unwrap();
    message
}

async fn next(queue: &dyn Queue, lane: Lane) -> Delivery {
    timeout(PATIENCE, queue.next(lane)).await.unwrap().unwrap()
}

/// A `next` that has been polled and waits.
async fn begun(queue: &Arc<dyn Queue>, lane: Lane) -> impl Future<Output = ()> {
    let queue = Arc::clone(queue);
    let mut waiting = Box::pin(async move { drop(queue.next(lane).await) });
    tokio::select! {
        biased;
        () = &mut waiting => panic!("nothing was published"),
        () = tokio::task::yield_now() => {}
    }
    waiting
}

/// Depths may be stale: asks until it is so.
async fn depth_becomes(queue: &dyn Queue, lane: Lane, depth: u64) {
    let asked = timeout(PATIENCE, async {
        while queue.depth(lane).await.unwrap() != depth {
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(asked.await.is_ok(), "the depth of {lane:?} never became {depth}");
}
