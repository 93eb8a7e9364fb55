//! What a newer release has written waits until there is one that reads it.

use backends::conformance::queue::message;
use backends::conformance::server::{Kind, Server};
use backends::{Lane, Queue, RabbitQueue};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};

use super::scene::{depth_becomes, next, outsider, prefix, publish, put, settings, until};

fn from(lane: &str) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert("x-image-factory-lane".into(), AMQPValue::LongString(lane.into()));
    BasicProperties::default().with_headers(headers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_message_of_an_unknown_version_is_parked_without_a_delivery_being_spent_on_it_again() {
    let Some(server) = Server::shared(Kind::RabbitMq) else { return };
    let prefix = prefix();
    let queue = RabbitQueue::new(settings(&server.url()).with_prefix(&prefix).unwrap());
    publish(&queue, Lane::Tasks).await;
    let (_connection, channel) = outsider(server).await;
    let mut newer = message(Lane::Tasks).bytes().to_vec();
    let version = newer.windows(7).position(|bytes| bytes == b"version").unwrap() + 7;
    newer[version] += 1;
    for bytes in [&*newer, b"rubbish"] {
        put(&channel, &format!("{prefix}.tasks"), bytes, BasicProperties::default().with_message_id("x/1".into()))
            .await;
    }
    let last = publish(&queue, Lane::Tasks).await;
    next(&queue, Lane::Tasks).await.ack().await.unwrap();
    assert_eq!(next(&queue, Lane::Tasks).await.envelope().id(), last);
    // Those that were looked at when the process started are in its hands for a moment.
    until("both are parked", async || queue.parked().await.unwrap() == 2).await;
    assert_eq!(queue.depth(Lane::DeadTasks).await.unwrap(), 0);
    let parked = channel.basic_get(format!("{prefix}.parked").into(), Default::default()).await.unwrap().unwrap();
    assert_eq!(parked.delivery.data, newer);
    assert_eq!(parked.delivery.properties.message_id().as_ref().unwrap().as_str(), "x/1");
    let headers = parked.delivery.properties.headers().as_ref().unwrap();
    assert_eq!(headers.inner().get("x-image-factory-lane"), Some(&AMQPValue::LongString("tasks".into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_starts_puts_back_what_it_can_read_and_leaves_the_rest() {
    let Some(server) = Server::shared(Kind::RabbitMq) else { return };
    let prefix = prefix();
    let start = || RabbitQueue::new(settings(&server.url()).with_prefix(&prefix).unwrap());
    let older = start();
    depth_becomes(&older, Lane::Tasks, 0).await;
    let parked = format!("{prefix}.parked");
    let (_connection, channel) = outsider(server).await;
    let readable = Lane::ALL.map(|lane| (lane, message(lane)));
    for (lane, message) in &readable {
        put(&channel, &parked, b"rubbish", from(lane.as_str())).await;
        put(&channel, &parked, message.bytes(), from(lane.as_str())).await;
    }
    put(&channel, &parked, readable[0].1.bytes(), BasicProperties::default()).await;

    for _ in 0..2 {
        let newer = start();
        for (lane, _) in &readable {
            depth_becomes(&newer, *lane, 1).await;
        }
        until("what is left is parked", async || newer.parked().await.unwrap() == 4).await;
    }
    for (lane, message) in readable {
        assert_eq!(next(&older, lane).await.envelope(), &message);
    }
}
