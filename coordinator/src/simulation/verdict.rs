//! What must be true of a night: between any two steps, and at its end.

use std::time::Duration;

use backends::{Lane, Queue};
use futures_util::FutureExt;
use proto::{Code, limits};

use super::night::Night;
use super::workers::{Attempting, Script};
use crate::report::Summary;

/// Rounds in which all goes well, at most, until each run must have its report.
const ROUNDS_MAX: usize = 30;

impl Night {
    /// The rules that hold between any two steps.
    pub(super) async fn check(&mut self) {
        let books = self.store.books().await.unwrap();
        assert_eq!(books.faults, Vec::<String>::new());
        for entry in books.tasks {
            let Some(known) = self.tasks.insert(entry.id, entry.clone()) else { continue };
            let moved_on = self.ended.contains(&(known.id, known.attempt)) && entry.attempt == known.attempt.next();
            assert!(
                entry.attempt == known.attempt || moved_on,
                "only its own end ends an attempt: {known:?}, {entry:?}"
            );
            assert!(known.outcome.is_none() || known == entry, "a task is closed once: {known:?}, {entry:?}");
        }
    }

    /// Nothing goes wrong any more: everything comes to its end, and what is on record agrees with the registry.
    pub(super) async fn end_well(&mut self) {
        for run in self.store.open_runs().await.unwrap() {
            self.store.set_expanded(run.id, self.now).await.unwrap();
        }
        for round in 0.. {
            assert!(round < ROUNDS_MAX, "these runs never end: {:?}", self.store.open_runs().await);
            self.coordinator.dispatch(self.now).await.unwrap();
            while let Some(delivery) = self.broker.next(Lane::Tasks).now_or_never() {
                self.working.push(Attempting::begin(delivery.unwrap(), &self.registry));
            }
            for working in std::mem::take(&mut self.working) {
                let result = self.work(&working, || Script::Place);
                self.say(result).await;
                working.ack().await;
            }
            self.coordinator.collect_waiting(self.now).await.unwrap();
            self.take_up_dead_letters().await;
            self.close().await;
            self.check().await;
            if self.all_reported().await {
                break;
            }
            self.pass(Duration::from_secs(1_800));
        }
        self.expect_reports().await;
        self.expect_placements().await;
    }

    async fn all_reported(&self) -> bool {
        self.store.runs(10).await.unwrap().iter().all(|run| run.report.is_some())
    }

    async fn expect_reports(&mut self) {
        for run in self.store.runs(10).await.unwrap() {
            let report = Summary::read(run.report.unwrap().path.as_ref()).unwrap();
            assert_eq!(report.totals.images, run.counts.tasks, "the report has all tasks");
            if report.causes.iter().any(|cause| cause.code == Code::TargetOwned.as_str()) {
                self.saw("a tag had another owner");
            }
            let bug = report.causes.iter().find(|cause| cause.code == Code::Internal.as_str());
            assert_eq!(bug, None, "no worker is to blame");
        }
        let outcomes: Vec<_> = self.tasks.values().filter_map(|entry| entry.outcome).collect();
        assert_eq!(outcomes.len(), self.tasks.len(), "all tasks are closed");
        for outcome in outcomes {
            self.saw(&format!("outcome {outcome}"));
        }
    }

    /// What is on record is what was last written, unless nobody heard of that, or a late result disagreed and an
    /// audit is due.
    async fn expect_placements(&mut self) {
        let mut audits = Vec::new();
        for run in self.runs.clone() {
            audits.extend(self.store.warnings(run).await.unwrap());
        }
        for (target, written) in self.registry.tags.clone() {
            if audits.iter().any(|audit| audit.contains(&format!("`{target}`"))) {
                self.saw("a late result disagreed");
                continue;
            }
            if !written.by_present_attempt || self.unheard.contains(&written.by) {
                continue;
            }
            let placements = self.store.placements(std::slice::from_ref(&target)).await.unwrap();
            let digest = placements.get(&target).map(|placement| &placement.placed.digest);
            assert_eq!(digest, Some(&written.digest), "{target}");
            self.saw("a placement was compared");
        }
    }
}

#[tokio::test]
async fn what_the_queue_forgot_is_published_again_once_its_time_is_over() {
    let mut night = Night::new(0).await;
    night.begin_run().await;
    let published = night.now;
    night.coordinator.dispatch(published).await.unwrap();
    let before = night.broker.drain(Lane::Tasks).await;
    assert!(!before.is_empty());

    // The lane is seen empty, after it was before the tasks were published.
    for _ in 0..2 {
        night.pass(limits::ANSWER_WITHIN + Duration::from_secs(1));
        night.coordinator.dispatch(night.now).await.unwrap();
    }
    assert_eq!(night.broker.drain(Lane::Tasks).await, []);
    night.pass(limits::ANSWER_WITHIN);
    night.coordinator.dispatch(night.now).await.unwrap();
    assert_eq!(night.broker.drain(Lane::Tasks).await, []);
    night.pass(Duration::from_secs(1));
    night.broker.publish(Lane::Tasks, &before[0]).await.unwrap();
    night.coordinator.dispatch(night.now).await.unwrap();
    assert_eq!(night.broker.drain(Lane::Tasks).await, before[..1], "while one waits the others may only be late");
    night.coordinator.dispatch(night.now).await.unwrap();
    assert_eq!(night.broker.drain(Lane::Tasks).await, before);
}
