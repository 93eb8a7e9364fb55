//! Deliveries are counted, and none is spent on a task that nobody began.

use std::collections::BTreeMap;
use std::sync::Arc;

use backends::conformance::proxy::Proxy;
use backends::conformance::server::{Kind, Server};
use backends::{Lane, Queue, RabbitQueue, RabbitSettings};
use proto::{Envelope, Task, limits};

use super::scene::{TIMES, depth_becomes, next, prefix, publish, queue, settings, until, url_at, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_task_is_fetched_while_nobody_waits_for_one() {
    let Some(server) = Server::shared(Kind::RabbitMq) else { return };
    let queue = Arc::new(queue(&server.url()));
    for lane in [Lane::Tasks, Lane::DeadTasks] {
        // One that was waited for, and one that lay there: after the ack of either the broker has nobody to push to.
        let taker = queue.clone();
        let waiting = tokio::spawn(async move { taker.next(lane).await.unwrap() });
        publish(&*queue, lane).await;
        within(waiting).await.unwrap().ack().await.unwrap();
        publish(&*queue, lane).await;
        let held = next(&*queue, lane).await;
        publish(&*queue, lane).await;
        publish(&*queue, lane).await;
        held.ack().await.unwrap();
        depth_becomes(&*queue, lane, 2).await;
        assert_eq!(next(&*queue, lane).await.count(), 1);
    }
}

/// A worker with eight slots that dies of one task, each time, and takes the connection with it.
struct Fatal<'a> {
    server: &'a Server,
    prefix: String,
    poison: String,
    /// How often each task was begun, and how often of that beside nothing.
    begun: BTreeMap<String, (u32, u32)>,
    done: u64,
}

impl Fatal<'_> {
    /// Begins what there is until its slots are full, nothing is left, or a task wants to be alone; then it dies, or is
    /// done with what it has.
    async fn live(&mut self, coordinator: &RabbitQueue) {
        // What it had when it died before is back, or dead.
        let mut waiting = 0;
        until("all is back", async || {
            waiting = coordinator.depth(Lane::Tasks).await.unwrap();
            self.done + waiting + coordinator.depth(Lane::DeadTasks).await.unwrap() == 8
        })
        .await;
        let proxy = Proxy::start(&self.server.address).await;
        let settings = RabbitSettings::new(&url_at(&proxy.address)).unwrap().with_prefix(&self.prefix).unwrap();
        let queue = RabbitQueue::new(settings.with_times(TIMES));
        let mut held = Vec::new();
        for _ in 0..waiting {
            let delivery = next(&queue, Lane::Tasks).await;
            let task = delivery.envelope().task().unwrap();
            let id = task.id.to_string();
            let begun = self.begun.entry(id.clone()).or_default();
            *begun = (begun.0 + 1, begun.1 + u32::from(task.solo));
            if task.solo && id != self.poison {
                delivery.ack().await.unwrap();
                self.done += 1;
                continue;
            }
            held.push(delivery);
            if task.solo {
                break;
            }
        }
        if !held.is_empty() {
            // The poison is among them: without a word to the broker it is gone.
            proxy.refuse(true);
            proxy.cut();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn seven_innocents_beside_one_that_kills_its_worker_are_done_and_it_alone_is_lost() {
    let Some(server) = Server::shared(Kind::RabbitMq) else { return };
    let prefix = prefix();
    let coordinator = RabbitQueue::new(settings(&server.url()).with_prefix(&prefix).unwrap());
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(publish(&coordinator, Lane::Tasks).await.trim_end_matches("/1").to_owned());
    }
    let poison = ids[3].clone();
    let mut worker = Fatal { server, prefix, poison: poison.clone(), begun: BTreeMap::new(), done: 0 };
    for _ in 0..limits::DELIVERIES_MAX {
        worker.live(&coordinator).await;
    }
    // All eight died together so often; each is tried again alone.
    for _ in 0..8 {
        let letter = next(&coordinator, Lane::DeadTasks).await;
        let task = letter.envelope().task().unwrap();
        let again = Task { attempt: task.attempt.next(), solo: true, ..task };
        coordinator.publish(Lane::Tasks, &Envelope::of_task(&again).unwrap()).await.unwrap();
        letter.ack().await.unwrap();
    }
    // And then those that lay behind it.
    for _ in 0..=limits::DELIVERIES_MAX {
        worker.live(&coordinator).await;
    }
    let lost = next(&coordinator, Lane::DeadTasks).await;
    assert_eq!(lost.envelope().task().unwrap().id.to_string(), poison);
    depth_becomes(&coordinator, Lane::Tasks, 0).await;
    assert_eq!(coordinator.depth(Lane::DeadTasks).await.unwrap(), 0);
    for (id, begun) in worker.begun {
        let solo = if id == poison { limits::DELIVERIES_MAX } else { 1 };
        assert_eq!(begun, (limits::DELIVERIES_MAX + solo, solo), "{id}");
    }
}
