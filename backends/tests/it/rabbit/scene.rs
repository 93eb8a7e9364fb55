//! What the tests on brokers share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backends::RabbitQueue;
use backends::rabbit::{RabbitSettings, RabbitTimes};

/// Quick enough for a test that breaks things.
pub(crate) const TIMES: RabbitTimes = RabbitTimes {
    heartbeat: Duration::from_secs(1),
    connect: Duration::from_secs(10),
    answer: Duration::from_secs(10),
    pause: Duration::from_millis(500),
};

/// Settings with a prefix of their own.
pub(crate) fn settings(url: &str) -> RabbitSettings {
    static USED: AtomicUsize = AtomicUsize::new(0);
    let prefix = format!("test-{}", USED.fetch_add(1, Ordering::SeqCst));
    RabbitSettings::new(url).unwrap().with_prefix(&prefix).unwrap().with_times(TIMES)
}

/// A queue of its own.
pub(crate) fn queue(url: &str) -> RabbitQueue {
    RabbitQueue::new(settings(url))
}
