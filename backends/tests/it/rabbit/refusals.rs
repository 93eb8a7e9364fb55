//! What a broker refuses is told with its address and cause, and goes on once it is mended.

use std::sync::Arc;
use std::time::Duration;

use backends::conformance::queue::message;
use backends::conformance::server::{Kind, Server};
use backends::rabbit::{RabbitTimes, RabbitTls};
use backends::{Lane, Queue, QueueError, RabbitQueue, RabbitSettings};
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};

use super::scene::{TIMES, complaint, next, outsider, prefix, publish, ready, settings, until, within};

/// A test that hands something wrong to a broker and wants it told.
async fn complains(url: &str, change: impl FnOnce(RabbitSettings) -> RabbitSettings, about: &str) -> String {
    let queue = RabbitQueue::new(change(settings(url)));
    let why = complaint(&queue, about).await;
    println!("{why}");
    why
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_not_shown() {
    let Some(server) = Server::shared(Kind::RabbitMq) else { return };
    let why = complains(&server.url(), |it| it.with_login("robot", "wrong-password"), "ACCESS_REFUSED").await;
    assert!(why.contains(&server.address) && !why.contains("wrong-password"), "{why}");
    let why = complains(&format!("{}/nowhere", server.url()), |it| it, "nowhere not found").await;
    assert!(why.contains(&format!("amqp://{}/nowhere", server.address)), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_wants_the_authority_and_the_broker_our_certificate() {
    let Some(server) = Server::start_with_tls(Kind::RabbitMq) else { return };
    let Some(other) = Server::start_with_tls(Kind::Redis) else { return };
    let ca = |server: &Server| Some(server.file("ca.crt").into());
    let client = || Some((server.file("client.pem").into(), server.file("client-key.pem").into()));
    let with = |tls| |it: RabbitSettings| it.with_tls(tls).unwrap();

    let queue = RabbitQueue::new(with(RabbitTls { ca: ca(&server), client: client() })(settings(&server.url())));
    let id = publish(&queue, Lane::Tasks).await;
    assert_eq!(next(&queue, Lane::Tasks).await.envelope().id(), id);

    let why =
        complains(&server.url(), with(RabbitTls { ca: ca(&other), client: client() }), "invalid peer certificate")
            .await;
    assert!(why.contains(&format!("amqps://{}/", server.address)), "{why}");
    complains(&server.url(), with(RabbitTls { ca: None, client: client() }), "invalid peer certificate").await;
    complains(&server.url(), with(RabbitTls { ca: ca(&server), client: None }), "ertificate").await;
    let missing = Some("/nowhere/ca.crt".into());
    complains(&server.url(), with(RabbitTls { ca: missing, client: None }), "read `/nowhere/ca.crt`").await;
    let key = Some((server.file("client.pem").into(), server.file("ca.crt").into()));
    complains(&server.url(), with(RabbitTls { ca: ca(&server), client: key }), "is no PEM private key").await;
    // Without TLS the broker hears nothing that it understands.
    let plain = server.url().replace("amqps", "amqp");
    let why = complaint(&RabbitQueue::new(settings(&plain)), "amqp://").await;
    assert!(why.contains(&server.address), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_queue_takes_comes_back_and_goes_to_the_queue_that_is_made_again() {
    let Some(server) = Server::shared(Kind::RabbitMq) else { return };
    let prefix = prefix();
    let queue = RabbitQueue::new(settings(&server.url()).with_prefix(&prefix).unwrap());
    publish(&queue, Lane::Results).await;
    let (_connection, channel) = outsider(server).await;
    channel.queue_delete(format!("{prefix}.results").into(), Default::default()).await.unwrap();

    let id = publish(&queue, Lane::Results).await;
    let delivery = next(&queue, Lane::Results).await;
    assert_eq!(delivery.envelope().id(), id, "it came back to us, and went to the new queue");
    delivery.ack().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_refused_all_the_time_is_an_error_in_the_end() {
    let Some(server) = Server::start(Kind::RabbitMq) else { return };
    let times = RabbitTimes { answer: Duration::from_secs(1), ..TIMES };
    let settings = settings(&server.url()).with_times(times);
    let full = format!("^{}[.]results$", settings.prefix());
    let queue = RabbitQueue::new(settings);
    ready(&queue).await;
    let limit = r#"{"max-length": 1, "overflow": "reject-publish"}"#;
    server.ctl(&["set_policy", "full", &full, limit, "--apply-to", "queues"]);
    let refused = async {
        loop {
            // The limit is known after a while, and counted after some more.
            if let Err(error) = queue.publish(Lane::Results, &message(Lane::Results)).await {
                break error;
            }
        }
    };
    let error = within(refused).await;
    assert!(matches!(&error, QueueError::Refused { why, .. } if why.contains("rejected")), "{error:?}");
    assert!(!error.is_outage() && error.to_string().contains(&server.address), "{error}");
    publish(&queue, Lane::Tasks).await;
    assert!(queue.health().is_ready());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_queue_that_is_deleted_under_a_taker_is_made_again() {
    let Some(server) = Server::shared(Kind::RabbitMq) else { return };
    let prefix = prefix();
    let queue = Arc::new(RabbitQueue::new(settings(&server.url()).with_prefix(&prefix).unwrap()));
    ready(&*queue).await;
    let (_connection, channel) = outsider(server).await;
    for lane in Lane::ALL {
        let taker = queue.clone();
        let waiting = tokio::spawn(async move { taker.next(lane).await.unwrap().envelope().id().to_owned() });
        let name = format!("{prefix}.{lane}");
        let is_consumed = async || {
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            let found = channel.queue_declare(name.as_str().into(), passive, FieldTable::default()).await;
            found.unwrap().consumer_count() > 0
        };
        until("somebody waits at the queue", is_consumed).await;
        channel.queue_delete(name.as_str().into(), Default::default()).await.unwrap();
        complaint(&*queue, "ended the consumer").await;
        ready(&*queue).await;
        let id = publish(&*queue, lane).await;
        assert_eq!(within(waiting).await.unwrap(), id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_is_named_with_what_to_do() {
    let Some(server) = Server::shared(Kind::RabbitMq) else { return };
    let prefix = prefix();
    let name = format!("{prefix}.tasks");
    let (_connection, channel) = outsider(server).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), arguments).await.unwrap();

    let queue = RabbitQueue::new(settings(&server.url()).with_prefix(&prefix).unwrap());
    let why = complaint(&queue, "other arguments").await;
    assert!(why.contains(&name) && why.contains("let it run empty and delete it"), "{why}");
    channel.queue_delete(name.as_str().into(), Default::default()).await.unwrap();
    publish(&queue, Lane::Tasks).await;
}
