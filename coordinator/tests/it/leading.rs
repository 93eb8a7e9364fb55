//! One coordinator leads at a time, and whoever was suspended does nothing after its term.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backends::{Store, StoreError};
use coordinator::{LeadTimes, lead};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::office::{new_run, within};

/// Times that a test can wait for.
const TIMES: LeadTimes = LeadTimes {
    lasts: Duration::from_millis(600),
    every: Duration::from_millis(60),
    stop_after: Duration::from_millis(400),
};

/// A coordinator that leads when it can, and says so with the Store of its term; it works until it is told to stop, or for
/// ever.
fn candidate(
    store: &Store,
    name: &'static str,
    stop: &CancellationToken,
    works_for_ever: bool,
) -> (mpsc::UnboundedReceiver<Store>, AbortOnDropHandle<()>) {
    let (begun, terms) = mpsc::unbounded_channel();
    let (store, stop) = (store.clone(), stop.clone());
    let leading = async move {
        let work = |led: Store, lost: CancellationToken| {
            begun.send(led).unwrap();
            async move {
                match works_for_ever {
                    true => std::future::pending().await,
                    false => lost.cancelled().await,
                }
            }
        };
        lead(&store, name, TIMES, &stop, work).await;
    };
    (terms, AbortOnDropHandle::new(tokio::spawn(leading)))
}

#[tokio::test]
async fn the_next_one_leads_at_once_when_the_leader_stops_and_later_when_it_dies() {
    let store = Store::in_memory().await.unwrap();
    let (stop_one, stop_two) = (CancellationToken::new(), CancellationToken::new());
    let (mut one, ended) = candidate(&store, "one", &stop_one, false);
    within(one.recv()).await.unwrap();
    let (mut two, dies) = candidate(&store, "two", &stop_two, false);
    stop_one.cancel();
    within(ended).await.unwrap();
    within(two.recv()).await.unwrap();
    assert!(one.try_recv().is_err(), "it led once");

    let (mut three, _leads) = candidate(&store, "three", &CancellationToken::new(), false);
    drop(dies);
    let led = within(three.recv()).await.unwrap();
    led.create_run(&new_run(None, Timestamp::now())).await.unwrap();
}

#[tokio::test]
async fn two_never_lead_at_once_and_what_the_former_one_still_writes_is_refused() {
    let store = Store::in_memory().await.unwrap();
    let (mut one, _working) = candidate(&store, "one", &CancellationToken::new(), true);
    let former = within(one.recv()).await.unwrap();
    // It is suspended in the middle of its work: nobody keeps the lead for it.
    let term = suspended(&store, "one").await;
    let (mut two, _leading) = candidate(&store, "two", &CancellationToken::new(), false);
    let leader = within(two.recv()).await.unwrap();
    let run = new_run(None, Timestamp::now());
    let refused = former.create_run(&run).await;
    assert!(matches!(refused, Err(StoreError::NotLeader(_))), "{refused:?}");
    assert!(former.runs(1).await.unwrap().is_empty(), "it may look");
    assert!(leader.create_run(&run).await.unwrap().is_new);
    assert_eq!(term, 1, "the lead was taken from it once");
}

/// Ends the term of the leader, as if it had been suspended and somebody else had led meanwhile; says how often.
async fn suspended(store: &Store, holder: &str) -> usize {
    let times = Arc::new(AtomicUsize::new(0));
    let other = async {
        loop {
            // Whoever is called as the leader has its term already, and gives it up.
            let term = store.take_leadership(holder, Duration::ZERO).await.unwrap();
            if let Some(term) = term
                && store.resign_leadership(term, holder).await.unwrap()
            {
                break times.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    within(other).await;
    times.load(Ordering::SeqCst)
}
