//! What may happen in a night, step by step, until all goes well again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use backends::store::TaskEntry;
use backends::{Lane, Queue, Store};
use futures_util::FutureExt;
use jiff::Timestamp;
use proto::outcome::End;
use proto::{Attempt, Envelope, RunId, TaskId, TaskResult, limits};
use tempfile::TempDir;

use super::Seen;
use super::broker::{Broker, Trouble};
use super::jobs::location;
use super::workers::{Attempting, Registry, Script};
use crate::coordinator::{Coordinator, Pace};
use crate::report::Reports;

/// Steps in which anything may happen.
const STEPS: usize = 60;

pub(super) struct Night {
    pub(super) random: fastrand::Rng,
    pub(super) now: Timestamp,
    pub(super) store: Store,
    pub(super) broker: Arc<Broker>,
    folder: TempDir,
    pub(super) coordinator: Coordinator,
    pub(super) registry: Registry,
    /// Tasks in the hands of workers.
    pub(super) working: Vec<Attempting>,
    /// All results that were ever said.
    said: Vec<TaskResult>,
    /// Attempts whose result, if they had one, was forgotten on its way.
    pub(super) unheard: BTreeSet<(TaskId, Attempt)>,
    /// Attempts that may be over: a result of theirs was said, or nobody survived them.
    pub(super) ended: BTreeSet<(TaskId, Attempt)>,
    pub(super) runs: Vec<RunId>,
    /// Names given so far.
    pub(super) names: u32,
    pub(super) tasks: BTreeMap<TaskId, TaskEntry>,
    pub(super) seen: Seen,
}

impl Night {
    pub(super) async fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let store = Store::in_memory().await.unwrap();
        let (broker, folder) = (Arc::new(Broker::default()), tempfile::tempdir().unwrap());
        let coordinator = coordinator(&store, &broker, &folder, random.usize(1..6));
        Self {
            random,
            now: "2026-01-02T01:30:00Z".parse().unwrap(),
            store,
            broker,
            folder,
            coordinator,
            registry: Registry::default(),
            working: Vec::new(),
            said: Vec::new(),
            unheard: BTreeSet::new(),
            ended: BTreeSet::new(),
            runs: Vec::new(),
            names: 0,
            tasks: BTreeMap::new(),
            seen: Seen::new(),
        }
    }

    pub(super) async fn play(&mut self) {
        self.begin_run().await;
        for _ in 0..STEPS {
            if self.step().await {
                self.check().await;
            }
        }
        self.end_well().await;
    }

    /// Lets one thing happen; says whether the Store took part in it.
    async fn step(&mut self) -> bool {
        match self.random.u8(0..100) {
            0..3 => self.begin_run().await,
            3..10 => self.add_tasks().await,
            10..13 => self.expanded().await,
            13..36 => self.dispatch().await,
            36..45 => self.coordinator.collect_waiting(self.now).await.unwrap(),
            45..49 => self.take_up_dead_letters().await,
            49..51 => self.close().await,
            51..52 => self.die().await,
            52..53 => self.stop_run().await,
            other => {
                self.step_outside(other).await;
                return false;
            }
        }
        true
    }

    /// What happens to the Queue, the workers, the registry and the clock.
    async fn step_outside(&mut self, step: u8) {
        match step {
            53..68 => self.take_delivery().await,
            68..83 => self.answer().await,
            83..86 => self.repeat_old_result().await,
            86..88 => self.shuffle().await,
            88..89 => self.kill_workers().await,
            89..90 => self.forget_messages().await,
            90..92 => self.move_source(),
            _ => self.pass_some_time(),
        }
    }

    pub(super) fn saw(&mut self, what: &str) {
        *self.seen.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) async fn dispatch(&mut self) {
        let trouble = match self.random.u8(0..8) {
            0..2 => Some(Trouble::Refuse { held: self.random.bool() }),
            2 => Some(Trouble::Die),
            _ => None,
        };
        if let Some(trouble) = trouble {
            self.broker.expect_trouble(self.random.usize(0..2), trouble);
        }
        let dispatched = tokio::select! {
            biased;
            () = self.broker.died() => None,
            dispatched = self.coordinator.dispatch(self.now) => Some(dispatched),
        };
        self.broker.end_trouble();
        match dispatched {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                assert!(matches!(trouble, Some(Trouble::Refuse { .. })), "{error:?}");
                self.saw("the queue refused a task");
            }
            None => {
                self.saw("the coordinator died while it published");
                self.start_over();
            }
        }
    }

    async fn take_delivery(&mut self) {
        let Some(delivery) = self.broker.next(Lane::Tasks).now_or_never() else { return };
        let mut working = Attempting::begin(delivery.unwrap(), &self.registry);
        if self.random.u8(0..4) == 0 {
            self.saw("a worker was cut off and worked on");
            working.cut_off();
        }
        self.working.push(working);
    }

    /// A worker comes to the end of an attempt, one way or another.
    async fn answer(&mut self) {
        if self.working.is_empty() {
            return;
        }
        let working = self.working.swap_remove(self.random.usize(0..self.working.len()));
        let how = self.random.u8(0..10);
        if how == 0 {
            self.saw("a worker died");
            return;
        }
        let mut random = self.random.fork();
        let result = self.work(&working, || Script::random(&mut random));
        if how == 1 {
            // It wrote, and nobody hears of it.
            self.saw("a worker died");
            self.unheard.insert((result.task, result.attempt));
            return;
        }
        self.say(result).await;
        if how == 2 {
            self.saw("a result was said and its task not acked");
        } else {
            working.ack().await;
        }
    }

    pub(super) fn work(&mut self, working: &Attempting, script: impl FnMut() -> Script) -> TaskResult {
        let task = &working.task;
        let is_present =
            self.tasks.get(&task.id).is_some_and(|entry| entry.outcome.is_none() && entry.attempt == task.attempt);
        let result = working.work(&mut self.registry, is_present, script);
        for destination in &result.destinations {
            if matches!(&destination.end, End::Failed(failure) if failure.code == proto::Code::DestinationMoved) {
                self.saw("a late attempt left the tag alone");
            }
        }
        result
    }

    pub(super) async fn say(&mut self, result: TaskResult) {
        self.broker.publish(Lane::Results, &Envelope::of_result(&result).unwrap()).await.unwrap();
        self.ended.insert((result.task, result.attempt));
        self.said.push(result);
    }

    async fn repeat_old_result(&mut self) {
        let Some(result) = self.random.choice(&self.said).cloned() else { return };
        self.saw("an old result came again");
        self.say(result).await;
    }

    pub(super) async fn take_up_dead_letters(&mut self) {
        while let Some(letter) = self.broker.next(Lane::DeadTasks).now_or_never() {
            self.saw("a dead letter");
            let letter = letter.unwrap();
            let task = letter.envelope().task().unwrap();
            self.ended.insert((task.id, task.attempt));
            self.coordinator.take_up(letter, self.now).await.unwrap();
        }
    }

    async fn shuffle(&mut self) {
        for lane in [Lane::Tasks, Lane::Results, Lane::DeadTasks] {
            self.broker.shuffle(lane, &mut self.random).await;
        }
    }

    /// Whoever takes a task dies of it.
    async fn kill_workers(&mut self) {
        while let Some(delivery) = self.broker.next(Lane::Tasks).now_or_never() {
            drop(delivery.unwrap());
        }
    }

    pub(super) async fn close(&mut self) {
        self.coordinator.close_finished(self.now).await.unwrap();
    }

    /// The broker is wiped. Workers that hold a task do not know, and answer.
    async fn forget_messages(&mut self) {
        self.saw("the queue forgot everything");
        for message in self.broker.drain(Lane::Results).await {
            let result = message.result().unwrap();
            self.unheard.insert((result.task, result.attempt));
        }
        self.broker.forget();
    }

    async fn die(&mut self) {
        self.saw("the coordinator died");
        self.start_over();
        if self.random.bool() {
            // As in one process, where the Queue and the workers die too, and the next start closes what was open.
            self.working.clear();
            self.forget_messages().await;
            for run in self.store.open_runs().await.unwrap() {
                self.coordinator.interrupt_at(run.id, self.now).await.unwrap();
                self.saw("a run was interrupted");
            }
        }
    }

    fn start_over(&mut self) {
        self.coordinator = coordinator(&self.store, &self.broker, &self.folder, self.random.usize(1..6));
    }

    async fn stop_run(&mut self) {
        let Some(run) = self.open_run().await else { return };
        self.saw("a run was cancelled");
        self.store.cancel_run(run, "a person", self.now).await.unwrap();
    }

    fn move_source(&mut self) {
        *self.registry.moves.entry(location("source.test/app", self.random.u8(0..5))).or_default() += 1;
    }

    fn pass_some_time(&mut self) {
        let time = match self.random.u8(0..12) {
            0 => limits::ANSWER_WITHIN + Duration::from_secs(1),
            1..=3 => Duration::from_secs(self.random.u64(60..3_600)),
            _ => Duration::from_millis(self.random.u64(1..20_000)),
        };
        self.pass(time);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.checked_add(time).unwrap();
    }
}

fn coordinator(store: &Store, broker: &Arc<Broker>, folder: &TempDir, window: usize) -> Coordinator {
    let pace = Pace { window, ..Pace::for_slots(1) };
    Coordinator::new(store.clone(), broker.clone(), pace, Reports::Folder(folder.path().to_owned()))
}
