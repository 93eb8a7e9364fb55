//! Signals, and work that does not end in time.

use std::time::Duration;

use daemon::Shutdown;
use daemon::telemetry::{Format, Settings, init};

use crate::child::{Child, PATIENCE, is_child};

/// A daemon that works until it is told to drain, and then for as long again as it is let.
#[tokio::main]
async fn work(grace: Duration) {
    let _telemetry = init(&Settings { format: Format::Text, filter: "info", service: "test" }, std::io::stderr);
    let shutdown = Shutdown::on_signals().unwrap();
    tracing::info!("working");
    let done = shutdown.drained(grace, "the work", std::future::pending::<()>()).await;
    tracing::info!("done: {}", done.is_some());
}

#[tokio::test]
async fn sigterm_drains_and_what_takes_too_long_is_left_and_told() {
    if is_child() {
        return std::thread::spawn(|| work(Duration::from_millis(10))).join().unwrap();
    }
    let mut child = Child::of("shutdown::sigterm_drains_and_what_takes_too_long_is_left_and_told", &[]);
    child.says("working").await;
    child.signal("TERM");
    child.says("SIGTERM: finishing what is under way").await;
    child.says("the work did not end within 0.01 s, and is left as it is").await;
    assert!(child.ended().await.contains("done: false"));
}

#[tokio::test]
async fn the_second_signal_leaves_at_once() {
    if is_child() {
        return std::thread::spawn(|| work(10 * PATIENCE)).join().unwrap();
    }
    let mut child = Child::of("shutdown::the_second_signal_leaves_at_once", &[]);
    child.says("working").await;
    child.signal("INT");
    child.says("SIGINT: finishing").await;
    child.signal("TERM");
    child.says("SIGTERM: leaving at once").await;
    let said = child.ended().await;
    assert!(said.contains("done: false") && !said.contains("did not end"), "{said}");
}

#[tokio::test]
async fn work_that_ends_in_time_is_not_hurried() {
    let shutdown = Shutdown::default();
    shutdown.drain.cancel();
    let work = async {
        tokio::task::yield_now().await;
        7
    };
    assert_eq!(shutdown.drained(PATIENCE, "the work", work).await, Some(7));
}
