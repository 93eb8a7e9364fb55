//! A broker that is short of memory reads no messages: what it holds is taken and acked all the same.

use std::time::Duration;

use backends::conformance::queue::message;
use backends::conformance::server::{Kind, Server};
use backends::rabbit::RabbitTimes;
use backends::{Lane, Queue, QueueError, RabbitQueue};

use super::scene::{TIMES, complaint, depth_becomes, next, publish, ready, settings, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_a_memory_alarm_acks_go_on_and_publishing_waits_and_says_why() {
    let Some(server) = Server::start(Kind::RabbitMq) else { return };
    let times = RabbitTimes { answer: Duration::from_secs(4), ..TIMES };
    let queue = RabbitQueue::new(settings(&server.url()).with_times(times));
    for _ in 0..3 {
        publish(&queue, Lane::Tasks).await;
    }
    let held = next(&queue, Lane::Tasks).await;

    server.ctl(&["set_vm_memory_high_watermark", "absolute", "1"]);
    let error = loop {
        // Until the alarm is known everywhere, messages are taken.
        if let Err(error) = within(queue.publish(Lane::Results, &message(Lane::Results))).await {
            break error;
        }
    };
    assert!(matches!(&error, QueueError::Unavailable { why, .. } if why.contains("memory")), "{error:?}");
    let why = complaint(&queue, "takes no messages").await;
    assert!(why.contains(&server.address) && why.contains("memory"), "{why}");
    let error = within(queue.publish(Lane::Results, &message(Lane::Results))).await.unwrap_err();
    assert!(error.to_string().contains("memory"), "{error}");

    // Longer than two heartbeats by now, and this connection lives.
    held.ack().await.unwrap();
    next(&queue, Lane::Tasks).await.ack().await.unwrap();
    drop(next(&queue, Lane::Tasks).await);
    let again = next(&queue, Lane::Tasks).await;
    assert_eq!(again.count(), 2, "it was given back over a connection that lived all the time");
    again.ack().await.unwrap();
    depth_becomes(&queue, Lane::Tasks, 0).await;

    server.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    ready(&queue).await;
    let id = publish(&queue, Lane::Tasks).await;
    assert_eq!(next(&queue, Lane::Tasks).await.envelope().id(), id);
}
