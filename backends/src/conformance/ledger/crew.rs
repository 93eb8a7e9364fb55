//! Which workers live, and which runs are cancelled.

use std::sync::Arc;
use std::time::Duration;

use proto::{Attempt, RunId, Stage, TaskId};
use tokio::time::{Instant, advance, pause, sleep};

use crate::conformance::PATIENCE;
use crate::ledger::{BEAT_LASTS, Beat, Ledger, Underway};

/// A worker with something to do.
fn busy(worker: &str) -> Beat {
    let underway = |n: u32| Underway {
        task: TaskId::new(),
        attempt: Attempt(n),
        source: format!("registry.example.com/app:{n}"),
        stage: Some(Stage::Push),
        bytes_done: 1,
        bytes_expected: u64::from(n),
    };
    Beat {
        worker: worker.to_owned(),
        slots: 48,
        drains: false,
        running: (1..=3).map(underway).collect(),
        bytes_written: 1 << 50,
        bytes_saved: 7,
    }
}

/// Each worker once, with all of it.
pub async fn who_beats_is_told_with_what_it_said_last(ledger: Arc<dyn Ledger>) {
    assert_eq!(ledger.beats().await, Some(Vec::new()));
    let idle = |worker: &str| Beat { worker: worker.to_owned(), slots: 2, ..Beat::default() };
    let (one, two) = (busy("worker-1"), Beat { drains: true, ..idle("worker 2: ü'\"\n") });
    for beat in [&two, &idle("worker-1"), &one] {
        ledger.beat(beat).await;
    }
    let mut expected = vec![one, two];
    expected.sort_by(|one, other| one.worker.cmp(&other.worker));
    assert_eq!(ledger.beats().await, Some(expected));
}

/// It was killed, or is cut off.
pub async fn who_beats_no_more_is_soon_forgotten(ledger: Arc<dyn Ledger>) {
    pause();
    let (gone, lives) = (busy("gone"), busy("lives"));
    ledger.beat(&gone).await;
    advance(BEAT_LASTS / 2).await;
    ledger.beat(&lives).await;
    advance(BEAT_LASTS / 2 - Duration::from_millis(1)).await;
    assert_eq!(ledger.beats().await, Some(vec![gone, lives.clone()]));
    advance(Duration::from_millis(1)).await;
    assert_eq!(ledger.beats().await, Some(vec![lives.clone()]));
    ledger.beat(&lives).await;
    advance(BEAT_LASTS / 2).await;
    assert_eq!(ledger.beats().await, Some(vec![lives]));
}

/// The same in real time.
pub async fn who_beats_no_more_is_forgotten_and_not_before(ledger: Arc<dyn Ledger>, lasts: Duration) {
    let (gone, lives) = (busy("gone"), busy("lives"));
    let began = Instant::now();
    ledger.beat(&gone).await;
    let names = async || {
        ledger.beat(&lives).await;
        let beats = ledger.beats().await.unwrap();
        beats.into_iter().map(|beat| beat.worker).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["gone", "lives"]);
    while names().await.len() == 2 {
        assert!(began.elapsed() < PATIENCE);
        sleep(lasts / 20).await;
    }
    assert!(began.elapsed() >= lasts);
    assert_eq!(names().await, ["lives"]);
}

/// That run and no other.
pub async fn a_run_is_cancelled_once_somebody_said_so(ledger: Arc<dyn Ledger>) {
    let (run, other) = (RunId::new(), RunId::new());
    assert!(!ledger.is_cancelled(run).await);
    ledger.cancel(run).await;
    ledger.cancel(run).await;
    assert!(ledger.is_cancelled(run).await && !ledger.is_cancelled(other).await);
}
