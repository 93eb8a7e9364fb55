//! A broker that dies, forgets, hangs, or is not there yet: nothing is lost, and nobody starts a process again.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use backends::conformance::queue::message;
use backends::conformance::server::{Kind, Server};
use backends::rabbit::RabbitTimes;
use backends::{Lane, Queue, QueueError, RabbitQueue};

use super::scene::{TIMES, Traffic, complaint, depth_becomes, next, publish, queue, ready, settings, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broker_that_is_killed_and_started_again_has_lost_nothing() {
    let Some(mut server) = Server::start(Kind::RabbitMq) else { return };
    let queue = Arc::new(queue(&server.url()));
    let traffic = [Lane::Tasks, Lane::Results].map(|lane| Traffic::start(queue.clone(), lane, 4_000));
    for at in [300, 1_500] {
        for lane in &traffic {
            lane.reach(at).await;
        }
        server.kill();
        let why = complaint(&*queue, "refused").await;
        assert!(why.contains(&server.address), "{why}");
        server.start_again();
    }
    for lane in traffic {
        lane.finish(4_000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broker_that_forgot_everything_is_given_its_queues_again() {
    let Some(mut server) = Server::start(Kind::RabbitMq) else { return };
    let queue = Arc::new(queue(&server.url()));
    publish(&*queue, Lane::Tasks).await;
    let held = next(&*queue, Lane::Tasks).await;
    let waiting = Lane::ALL.map(|lane| {
        let taker = queue.clone();
        tokio::spawn(async move { taker.next(lane).await.unwrap() })
    });
    server.kill();
    server.wipe();
    server.start_again();

    for (lane, waiting) in Lane::ALL.into_iter().zip(waiting) {
        let id = publish(&*queue, lane).await;
        let delivery = within(waiting).await.unwrap();
        assert_eq!(delivery.envelope().id(), id);
        delivery.ack().await.unwrap();
    }
    assert!(!held.is_held());
    assert!(matches!(held.ack().await, Err(QueueError::Lapsed)));
    let task = publish(&*queue, Lane::Tasks).await;
    let delivery = next(&*queue, Lane::Tasks).await;
    assert_eq!((delivery.envelope().id(), delivery.count()), (&*task, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broker_that_hangs_is_noticed_and_what_was_under_way_goes_on_when_it_wakes() {
    let Some(server) = Server::start(Kind::RabbitMq) else { return };
    let times = RabbitTimes { connect: Duration::from_secs(2), ..TIMES };
    let queue = Arc::new(RabbitQueue::new(settings(&server.url()).with_times(times)));
    let kept = publish(&*queue, Lane::Tasks).await;
    let held = next(&*queue, Lane::Tasks).await;
    server.freeze();
    let (sender, sent) = (queue.clone(), message(Lane::Results));
    let publishing = tokio::spawn(async move {
        while sender.publish(Lane::Results, &sent).await.is_err() {}
        sent.id().to_owned()
    });
    // Silent for longer than two heartbeats, and then for longer than it takes to try again.
    complaint(&*queue, "heartbeat").await;
    complaint(&*queue, "not ready within").await;
    server.resume();

    let id = within(publishing).await.unwrap();
    assert_eq!(next(&*queue, Lane::Results).await.envelope().id(), id);
    assert!(matches!(held.ack().await, Err(QueueError::Lapsed)));
    let again = next(&*queue, Lane::Tasks).await;
    assert_eq!((again.envelope().id(), again.count()), (&*kept, 2));
    again.ack().await.unwrap();
    depth_becomes(&*queue, Lane::Tasks, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broker_that_comes_later_than_its_users_is_used_when_it_comes() {
    let Some(mut server) = Server::start(Kind::RabbitMq) else { return };
    server.kill();
    let queue = Arc::new(queue(&server.url()));
    let taker = queue.clone();
    let waiting = tokio::spawn(async move { taker.next(Lane::Tasks).await.unwrap().envelope().id().to_owned() });
    let why = complaint(&*queue, "refused").await;
    assert!(why.contains(&format!("amqp://{}/", server.address)), "{why}");
    server.start_again();
    let id = publish(&*queue, Lane::Tasks).await;
    assert_eq!(within(waiting).await.unwrap(), id);
    ready(&*queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_broker_verbs_end_in_time_and_say_where_and_why() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let times = RabbitTimes { answer: Duration::from_millis(300), ..TIMES };
    let queue = RabbitQueue::new(settings(&format!("amqp://{address}")).with_times(times));
    complaint(&queue, "refused").await;
    let errors = [
        within(queue.publish(Lane::Tasks, &message(Lane::Tasks))).await.unwrap_err(),
        within(queue.depth(Lane::Tasks)).await.unwrap_err(),
        within(queue.parked()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.is_outage(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&address) && text.contains("refused"), "{text}");
    }
}
