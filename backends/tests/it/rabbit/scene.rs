//! What the tests on brokers share.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backends::conformance::queue::message;
use backends::conformance::server::{PASSWORD, Server, USER};
use backends::rabbit::{RabbitSettings, RabbitTimes};
use backends::{Delivery, Health, Lane, Queue, RabbitQueue};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Quick enough for a test that breaks things.
pub(crate) const TIMES: RabbitTimes = RabbitTimes {
    heartbeat: Duration::from_secs(1),
    connect: Duration::from_secs(10),
    answer: Duration::from_secs(20),
    pause: Duration::from_millis(500),
};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// What `work` gives; fails the test if it takes far too long.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("what the test waits for never came")
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let asked = timeout(PATIENCE, async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(asked.await.is_ok(), "it never came to this: {what}");
}

/// A prefix that no other test has.
pub(crate) fn prefix() -> String {
    static USED: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}", USED.fetch_add(1, Ordering::SeqCst))
}

pub(crate) fn settings(url: &str) -> RabbitSettings {
    RabbitSettings::new(url).unwrap().with_prefix(&prefix()).unwrap().with_times(TIMES)
}

/// Queues of their own.
pub(crate) fn queue(url: &str) -> RabbitQueue {
    RabbitQueue::new(settings(url))
}

/// The URL of a proxy before a broker.
pub(crate) fn url_at(address: &str) -> String {
    format!("amqp://{USER}:{PASSWORD}@{address}")
}

/// Waits until a queue says that it cannot be used; gives the sentence.
pub(crate) async fn complaint(queue: &dyn Queue, about: &str) -> String {
    let (begun, mut said) = (Instant::now(), BTreeSet::new());
    loop {
        if let Health::NotReady(why) = queue.health() {
            if why.contains(about) {
                return why;
            }
            said.insert(why);
        }
        assert!(begun.elapsed() < PATIENCE, "no word of `{about}`, but: {said:#?}");
        sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn ready(queue: &dyn Queue) {
    until("the queue can be used", async || queue.health().is_ready()).await;
}

pub(crate) async fn next(queue: &dyn Queue, lane: Lane) -> Delivery {
    within(queue.next(lane)).await.unwrap()
}

/// Publishes a message of the lane; its id.
pub(crate) async fn publish(queue: &dyn Queue, lane: Lane) -> String {
    let message = message(lane);
    within(queue.publish(lane, &message)).await.unwrap();
    message.id().to_owned()
}

pub(crate) async fn depth_becomes(queue: &dyn Queue, lane: Lane, depth: u64) {
    until(&format!("{depth} messages in {lane}"), async || queue.depth(lane).await.unwrap() == depth).await;
}

/// The broker as any other client sees it.
pub(crate) async fn outsider(server: &Server) -> (Connection, Channel) {
    let connection = Connection::connect(&server.url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(Default::default()).await.unwrap();
    (connection, channel)
}

pub(crate) async fn put(channel: &Channel, queue: &str, bytes: &[u8], properties: BasicProperties) {
    let put =
        channel.basic_publish("".into(), queue.into(), Default::default(), bytes, properties.with_delivery_mode(2));
    put.await.unwrap().await.unwrap();
}

/// Messages that are published, taken and acked all the time, whatever happens to the broker.
pub(crate) struct Traffic {
    queue: Arc<RabbitQueue>,
    lane: Lane,
    /// How often each message was taken.
    taken: Arc<Mutex<BTreeMap<String, usize>>>,
    tasks: JoinSet<()>,
}

impl Traffic {
    /// Publishes so many messages, 20 at once, each until it is confirmed; takes and acks them as they come.
    pub(crate) fn start(queue: Arc<RabbitQueue>, lane: Lane, messages: usize) -> Self {
        let mut this = Self { queue, lane, taken: Arc::default(), tasks: JoinSet::new() };
        let left = Arc::new(AtomicUsize::new(messages));
        for _ in 0..20 {
            let (queue, left, taken) = (this.queue.clone(), left.clone(), this.taken.clone());
            this.tasks.spawn(async move {
                while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                    let message = message(lane);
                    taken.lock().unwrap().entry(message.id().to_owned()).or_default();
                    while let Err(error) = queue.publish(lane, &message).await {
                        println!("published again: {error}");
                    }
                }
            });
        }
        let (queue, taken) = (this.queue.clone(), this.taken.clone());
        this.tasks.spawn(async move {
            loop {
                let delivery = queue.next(lane).await.unwrap();
                let id = delivery.envelope().id().to_owned();
                // One that cannot be acked was taken nevertheless, and is to come again.
                let _ = delivery.ack().await;
                *taken.lock().unwrap().entry(id).or_default() += 1;
            }
        });
        this
    }

    /// Waits until so many messages were taken.
    pub(crate) async fn reach(&self, messages: usize) {
        let taken = || self.taken.lock().unwrap().values().filter(|count| **count > 0).count();
        until(&format!("{messages} messages of {} taken", self.lane), async || taken() >= messages).await;
    }

    /// Waits until each was taken, and nothing is left; says how many were taken more than once.
    pub(crate) async fn finish(self, messages: usize) -> usize {
        self.reach(messages).await;
        depth_becomes(&*self.queue, self.lane, 0).await;
        let taken = self.taken.lock().unwrap();
        assert_eq!(taken.len(), messages);
        let again = taken.values().filter(|count| **count > 1).count();
        println!("{messages} messages of {}, {again} of them more than once", self.lane);
        again
    }
}
