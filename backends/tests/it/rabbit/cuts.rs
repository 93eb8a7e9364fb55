//! Connections that are cut in the midst of a publish, an ack or a result.

use std::collections::BTreeMap;
use std::sync::Arc;

use backends::conformance::proxy::Proxy;
use backends::conformance::queue::message;
use backends::conformance::server::{Kind, Server};
use backends::{Lane, Queue, QueueError, RabbitQueue};
use futures_util::future::join_all;

use super::scene::{complaint, depth_becomes, next, publish, ready, settings, url_at, within};

/// A queue behind a proxy, and the same one beside it.
async fn behind_proxy(server: &Server) -> (Proxy, RabbitQueue, RabbitQueue) {
    let proxy = Proxy::start(&server.address).await;
    let direct = settings(&server.url());
    let behind = backends::RabbitSettings::new(&url_at(&proxy.address)).unwrap();
    let behind = behind.with_prefix(direct.prefix()).unwrap().with_times(super::scene::TIMES);
    let (behind, direct) = (RabbitQueue::new(behind), RabbitQueue::new(direct));
    ready(&behind).await;
    (proxy, behind, direct)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cut_in_the_midst_of_publishing_loses_nothing_that_was_confirmed() {
    let Some(server) = Server::shared(Kind::RabbitMq) else { return };
    let (proxy, behind, direct) = behind_proxy(server).await;
    let mut received = BTreeMap::new();
    for cut_after in [0, 1, 100, 1_000, 5_000, 30_000] {
        let sent: Vec<_> = (0..100).map(|_| message(Lane::Results)).collect();
        proxy.cut_after(cut_after);
        let published = join_all(sent.iter().map(|message| behind.publish(Lane::Results, message)));
        for published in within(published).await {
            published.unwrap();
        }
        assert!(!proxy.has_to_cut(), "{cut_after} bytes are more than all that was sent");
        received.extend(sent.iter().map(|message| (message.id().to_owned(), 0)));
    }
    while received.values().any(|count| *count == 0) || direct.depth(Lane::Results).await.unwrap() > 0 {
        let delivery = next(&direct, Lane::Results).await;
        *received.get_mut(delivery.envelope().id()).unwrap() += 1;
        delivery.ack().await.unwrap();
    }
    let again = received.values().filter(|count| **count > 1).count();
    println!("{} messages, {again} of them more than once", received.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_ack_of_a_connection_that_was_cut_takes_nothing_off_the_next_one() {
    let Some(server) = Server::shared(Kind::RabbitMq) else { return };
    let (proxy, behind, direct) = behind_proxy(server).await;
    let (first, second) = (publish(&direct, Lane::Tasks).await, publish(&direct, Lane::Tasks).await);
    let old = [next(&behind, Lane::Tasks).await, next(&behind, Lane::Tasks).await];
    proxy.refuse(true);
    proxy.cut();
    complaint(&behind, "no connection").await;
    proxy.refuse(false);
    // On a channel of the same number, with the same numbers of deliveries, in some other order.
    let new = [next(&behind, Lane::Tasks).await, next(&behind, Lane::Tasks).await];
    for delivery in old {
        assert!(!delivery.is_held());
        assert!(matches!(delivery.ack().await, Err(QueueError::Lapsed)));
    }
    let [one, other] = new;
    assert_eq!((one.count(), other.count()), (2, 2));
    let mut ids = [one.envelope().id().to_owned(), other.envelope().id().to_owned()];
    ids.sort();
    let mut expected = [first, second];
    expected.sort();
    assert_eq!(ids, expected);
    let acked = one.envelope().id().to_owned();
    one.ack().await.unwrap();
    drop(other);
    let left = next(&direct, Lane::Tasks).await;
    assert_ne!(left.envelope().id(), acked);
    left.ack().await.unwrap();
    depth_becomes(&direct, Lane::Tasks, 0).await;
}

/// Takes tasks, answers each and then acks it, as a worker does.
async fn work(queue: Arc<RabbitQueue>) {
    loop {
        let task = queue.next(Lane::Tasks).await.unwrap();
        let result = proto::TaskResult::new(&task.envelope().task().unwrap(), Vec::new());
        let result = proto::Envelope::of_result(&result).unwrap();
        if queue.publish(Lane::Results, &result).await.is_ok() {
            let _ = task.ack().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_task_has_a_result_however_often_the_worker_is_cut_off() {
    let Some(server) = Server::shared(Kind::RabbitMq) else { return };
    let (proxy, behind, direct) = behind_proxy(server).await;
    let behind = Arc::new(behind);
    let mut answers = BTreeMap::new();
    let workers: Vec<_> = (0..8).map(|_| tokio::spawn(work(behind.clone()))).collect();
    for round in 0..6 {
        proxy.cut_after(1_000 + 3_000 * round);
        for _ in 0..50 {
            answers.insert(publish(&direct, Lane::Tasks).await, 0);
        }
        while answers.values().any(|count| *count == 0) {
            // A task whose deliveries were all cut off is for the coordinator: five cuts of the same one are not in this test.
            let result = next(&direct, Lane::Results).await;
            *answers.get_mut(result.envelope().id()).unwrap() += 1;
            result.ack().await.unwrap();
        }
    }
    depth_becomes(&direct, Lane::Tasks, 0).await;
    depth_becomes(&direct, Lane::DeadTasks, 0).await;
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    let again = answers.values().filter(|count| **count > 1).count();
    println!("{} tasks, {again} of them answered more than once", answers.len());
}
