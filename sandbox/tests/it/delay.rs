//! A slow line passes everything on, but not before its time.

use std::time::{Duration, Instant};

use sandbox::{Delay, Line};

use crate::help::Fixture;

#[tokio::test]
async fn a_slow_line_passes_everything_on_after_its_latency_and_no_faster_than_its_bandwidth() {
    let f = Fixture::plain().await;
    let path = f.blob("a", 1_000_000);
    let line = Line { latency: Duration::from_millis(20), bandwidth: Some(5_000_000) };
    let delay = Delay::in_front_of(f.registry.address(), line).await.unwrap();
    let direct = f.get(&path).await.bytes().await.unwrap();
    let start = Instant::now();
    let delayed = f.client.get(format!("http://{}/v2/{path}", delay.host())).send().await.unwrap();
    assert_eq!(delayed.bytes().await.unwrap(), direct);
    // Limits from below hold on any machine: there and back, and 1 MB at 5 MB/s.
    assert!(start.elapsed() >= Duration::from_millis(240));
    let address = delay.address();
    drop(delay);
    let closed = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::help::PATIENCE, closed).await.unwrap();
}
