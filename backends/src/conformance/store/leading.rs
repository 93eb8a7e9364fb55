//! One coordinator leads at a time, and who led before writes nothing.

use std::time::{Duration, Instant};

use proto::failure::Class;
use proto::{Digest, RunId};

use super::{Scene, add_task, failed, failure, new_run, new_task, placed, result, run_to_be};
use crate::Store;
use crate::conformance::PATIENCE;
use crate::store::{RunReport, StoreError, Term};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

/// Far less than it takes to find out.
const SHORT: Duration = Duration::from_millis(50);

/// Each holder has a term of its own, with the number that follows.
pub async fn one_coordinator_leads_at_a_time(store: Store) {
    let first = store.take_leadership("a", LONG).await.unwrap().unwrap();
    assert_eq!(store.take_leadership("b", LONG).await.unwrap(), None);
    assert_eq!(store.take_leadership("a", LONG).await.unwrap(), Some(first), "its answer may have been lost");
    assert!(store.renew_leadership(first, "a", LONG).await.unwrap());
    assert!(!store.renew_leadership(first, "b", LONG).await.unwrap());
    assert!(!store.resign_leadership(first, "b").await.unwrap());

    assert!(store.resign_leadership(first, "a").await.unwrap());
    assert!(!store.renew_leadership(first, "a", LONG).await.unwrap(), "it was given up");
    let second = store.take_leadership("b", LONG).await.unwrap().unwrap();
    assert!(second > first);
    assert!(store.resign_leadership(second, "b").await.unwrap());
    let third = store.take_leadership("a", LONG).await.unwrap().unwrap();
    assert!(third > second, "a new term, for the same holder too");
}

/// Takes the lead as soon as the last holder's time is over.
async fn wait_for_the_lead(store: &Store, holder: &str) -> Term {
    let since = Instant::now();
    loop {
        if let Some(term) = store.take_leadership(holder, LONG).await.unwrap() {
            return term;
        }
        assert!(since.elapsed() < PATIENCE, "the lead is never free");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// It was suspended between a look and a write, for longer than its term, and knows nothing of what happened.
pub async fn a_leader_whose_term_has_ended_writes_nothing_and_reads_on(store: Store) {
    let term = store.take_leadership("a", SHORT).await.unwrap().unwrap();
    // Nobody else has the lead yet, however long this takes.
    let old = Scene::new(store.led_by(term)).await;
    old.add("app:1", &["app:1"]).await;
    old.add("app:2", &["app:2"]).await;
    let taken = old.publish().await;
    let next = wait_for_the_lead(&store, "b").await;
    assert!(!old.store.renew_leadership(term, "a", LONG).await.unwrap());
    assert_eq!(store.take_leadership("a", LONG).await.unwrap(), None);

    let before = (old.progress().await, store.books().await.unwrap().tasks);
    every_write_is_refused(&old, &taken, term).await;
    assert_eq!((old.progress().await, store.books().await.unwrap().tasks), before);
    assert!(store.warnings(old.run).await.unwrap().is_empty());
    assert_eq!(old.store.runs(10).await.unwrap().len(), 1);

    let new = Scene { store: store.led_by(next), ..old };
    assert_eq!(new.publish().await, [], "what was published is not taken again");
    for task in &taken {
        new.record(result(task, placed("one"))).await;
    }
    assert_eq!(new.progress().await.counts.pushed, 2);
}

async fn every_write_is_refused(old: &Scene, taken: &[proto::Task], term: Term) {
    let Scene { store, run, now } = old;
    let (run, now) = (*run, *now);
    let report = RunReport { digest: Digest::of(b"report"), path: "report.json".to_owned() };
    let answer = result(&taken[0], failed(Class::Reject));
    let refused = [
        store.create_run(&run_to_be("nightly", false, now)).await.err(),
        store.fire(&run_to_be("nightly", false, now), now).await.err(),
        store.add_tasks(run, &[new_task("app:3", &["app:3"])], now).await.err(),
        store.add_failed_line(run, "source.example.com/gone", &failure(Class::Reject), now).await.err(),
        store.mark_unchanged(run, &[], now).await.err(),
        store.set_expanded(run, now).await.err(),
        store.take_ready(10, now).await.err(),
        store.mark_published(taken).await.err(),
        store.take_back_unanswered(now, &[]).await.err(),
        store.record(&[answer], now).await.err(),
        store.dead_letter(taken[0].id, taken[0].attempt, now).await.err(),
        store.finish_run(run, now).await.err(),
        store.set_report(run, &report).await.err(),
        store.cancel_run(run, "suite", now).await.err(),
        store.interrupt_run(run, now).await.err(),
        store.add_warning(run, "late").await.err(),
        store.pause_schedule("nightly", "suite", now).await.err(),
        store.resume_schedule("nightly").await.err(),
        store.clean_up(now, now, 10).await.err(),
    ];
    for (at, error) in refused.into_iter().enumerate() {
        assert!(matches!(error, Some(StoreError::NotLeader(ended)) if ended == term), "write {at}: {error:?}");
    }
}

/// Whoever serves the API takes what people want, leader or not.
pub async fn a_store_that_is_bound_to_no_term_writes_whoever_leads(store: Store) {
    let term = store.take_leadership("a", LONG).await.unwrap().unwrap();
    let run: RunId = new_run(&store, "nightly", false, "2026-01-02T01:30:00Z".parse().unwrap()).await;
    add_task(&store.led_by(term), run, "app:1", &["app:1"], "2026-01-02T01:30:00Z".parse().unwrap()).await;
    assert_eq!(store.progress(run).await.unwrap().ready, 1);
}
