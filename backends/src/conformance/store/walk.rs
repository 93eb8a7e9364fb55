//! A long random walk over the verbs, with the books checked after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use proto::failure::Class;
use proto::outcome::End;
use proto::{Digest, Location, Outcome, RunId, Task, TaskId};

use super::{deferred, destinations, failed, new_run, new_task, placed, results};
use crate::Store;
use crate::store::{Progress, Recorded, ReportRow, RunReport, Unchanged};

const STEPS: usize = 600;

/// Tasks of three jobs that share targets, attempts that are lost, repeated, late and dead, runs that are stopped: at
/// every step each task is open or closed once, no target has two open tasks, and the counters equal the rows. In the
/// end all runs finish.
pub async fn a_long_random_walk_keeps_the_books(store: Store) {
    let mut walk = Walk {
        store,
        random: 20_260_102,
        now: "2026-01-02T01:30:00Z".parse().unwrap(),
        open: Vec::new(),
        ended: Vec::new(),
        attempts: Vec::new(),
        held: BTreeMap::new(),
        rows: BTreeMap::new(),
        seen: BTreeSet::new(),
    };
    for _ in 0..STEPS {
        walk.step().await;
        walk.check_some().await;
    }
    walk.finish().await;
    assert_eq!(walk.seen.len(), Outcome::ALL.len() + 4, "the walk met every outcome and verdict: {:?}", walk.seen);
}

struct Walk {
    store: Store,
    random: u64,
    now: Timestamp,
    open: Vec<RunId>,
    ended: Vec<RunId>,
    /// All that were ever taken: any of them may be answered at any time, and again.
    attempts: Vec<Task>,
    /// Targets of attempts that were taken and have not ended.
    held: BTreeMap<Location, TaskId>,
    /// Rows of tasks that are done, which never change.
    rows: BTreeMap<(RunId, String), ReportRow>,
    /// What happened at least once.
    seen: BTreeSet<String>,
}

impl Walk {
    /// SplitMix64: the same walk each time.
    fn below(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    async fn step(&mut self) {
        match self.below(22) {
            0 if self.open.len() < 4 => {
                let (job, take_over) = (format!("job-{}", self.below(3)), self.below(4) == 0);
                self.open.push(new_run(&self.store, &job, take_over, self.now).await);
            }
            1..=3 => self.add().await,
            4..=7 => {
                let limit = 1 + self.below(6);
                self.dispatch(limit).await;
            }
            8..=14 => self.answer().await,
            15 => self.dead_letter().await,
            16 => self.close_one().await,
            17..=19 => self.see_unchanged().await,
            _ => {
                let ms = self.below(20_000) as u64;
                self.pass(Duration::from_millis(ms));
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.checked_add(time).unwrap();
    }

    async fn add(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = self.below(self.open.len());
        let targets: Vec<String> = (0..=self.below(3)).map(|_| format!("app:{}", self.below(12))).collect();
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let task = new_task(&format!("app:{}", self.below(200)), &targets);
        // An expanded run may get more here: the walk cares for the books, not for the order of `expand`.
        self.store.add_tasks(self.open[at], &[task], self.now).await.unwrap();
    }

    /// Sees up to two placements unchanged, or makes a task of them.
    async fn see_unchanged(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = self.below(self.open.len());
        let run = self.open[at];
        let targets: BTreeSet<String> = (0..=self.below(4) / 3).map(|_| format!("app:{}", self.below(12))).collect();
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let task = new_task(&format!("app:{}", self.below(200)), &targets);
        let locations: Vec<Location> = task.destinations.iter().map(|to| to.location.clone()).collect();
        let known = self.store.placements(&locations).await.unwrap();
        let placed = locations.iter().filter_map(|location| Some(known.get(location)?.placed.clone())).collect();
        let before = self.store.progress(run).await.unwrap().counts.up_to_date;
        let image = Unchanged { task, placed };
        let refused = self.store.mark_unchanged(run, std::slice::from_ref(&image), self.now).await.unwrap();
        if self.store.progress(run).await.unwrap().counts.up_to_date > before {
            self.seen.insert("unchanged".to_owned());
        }
        self.store.add_tasks(run, &refused, self.now).await.unwrap();
    }

    async fn dispatch(&mut self, limit: usize) {
        let tasks = self.store.take_ready(limit, self.now).await.unwrap();
        for task in &tasks {
            for destination in destinations(task) {
                let holder = self.held.insert(destination.location.clone(), task.id);
                assert!(holder.is_none_or(|holder| holder == task.id), "two open tasks at {:?}", destination.location);
            }
        }
        if self.below(4) > 0 {
            self.store.mark_published(&tasks).await.unwrap();
        }
        self.attempts.extend(tasks);
    }

    async fn answer(&mut self) {
        if self.attempts.is_empty() {
            return;
        }
        // Most often one of the latest, sometimes one of long ago.
        let span = if self.below(5) == 0 { self.attempts.len() } else { self.attempts.len().min(8) };
        let at = self.attempts.len() - 1 - self.below(span);
        let task = self.attempts[at].clone();
        let ends: Vec<End> = destinations(&task).iter().map(|_| self.end()).collect();
        let recorded = self.store.record(&[results(&task, &ends)], self.now).await.unwrap()[0];
        self.seen.insert(format!("{recorded:?}"));
        if matches!(recorded, Recorded::First | Recorded::UpToDate) {
            self.held.retain(|_, holder| *holder != task.id);
        }
    }

    fn end(&mut self) -> End {
        match self.below(10) {
            0 => failed(Class::Reject),
            1..=2 => failed(Class::Retry),
            3 => deferred(Duration::from_secs(60)),
            4 => End::INTERRUPTED,
            n => placed(if n < 8 { "one" } else { "two" }),
        }
    }

    async fn dead_letter(&mut self) {
        let Some(task) = self.attempts.last().cloned() else { return };
        let recorded = self.store.dead_letter(task.id, task.attempt, self.now).await.unwrap();
        if recorded == Recorded::First {
            self.held.retain(|_, holder| *holder != task.id);
        }
    }

    /// Ends a run, one way or another.
    async fn close_one(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = self.below(self.open.len());
        let run = self.open[at];
        self.store.set_expanded(run, self.now).await.unwrap();
        if self.below(2) == 0 {
            for _ in 0..4 {
                // What others hold, or what waits for another try, comes in a later round.
                self.pass(Duration::from_secs(60));
                self.dispatch(1_000).await;
                self.defer_all(run).await;
            }
            self.store.postpone_deferred(run, self.now).await.unwrap();
        }
        let ended = match self.below(6) {
            0 => self.store.cancel_run(run, "suite", self.now).await.unwrap(),
            1 => self.store.interrupt_run(run, self.now).await.unwrap(),
            _ => self.store.finish_run(run, self.now).await.unwrap(),
        };
        if ended {
            self.open.remove(at);
            self.check(&[run]).await;
            assert_eq!(self.store.books().await.unwrap().faults, Vec::<String>::new());
            if self.below(2) == 0 {
                // From now on another run may see what this one saw.
                let report = RunReport { digest: Digest::of(b"report"), path: "report.json".to_owned() };
                assert!(self.store.set_report(run, &report).await.unwrap());
            } else {
                self.ended.push(run);
            }
            let of_run: BTreeSet<_> = self.attempts.iter().filter(|task| task.run == run).map(|task| task.id).collect();
            self.held.retain(|_, holder| !of_run.contains(holder));
        }
    }

    /// A registry shuts: whatever a run has out comes back deferred.
    async fn defer_all(&mut self, run: RunId) {
        for task in self.attempts.iter().filter(|task| task.run == run) {
            let ends = vec![deferred(Duration::from_secs(3_600)); destinations(task).len()];
            let recorded = self.store.record(&[results(task, &ends)], self.now).await.unwrap()[0];
            if recorded == Recorded::First {
                self.held.retain(|_, holder| *holder != task.id);
            }
        }
    }

    /// The open runs, and one of those that ended.
    async fn check_some(&mut self) {
        let mut runs = self.open.clone();
        if !self.ended.is_empty() {
            let at = self.below(self.ended.len());
            runs.push(self.ended[at]);
        }
        self.check(&runs).await;
    }

    async fn check(&mut self, runs: &[RunId]) {
        // At once: on a server most of the time is the way there and back.
        let looks = join_all(runs.iter().map(|run| self.look(*run))).await;
        for (&run, (progress, rows)) in runs.iter().zip(looks) {
            let open = progress.ready + progress.deferred + progress.published;
            assert_eq!(progress.counts.tasks, rows.len() as u64 + open, "each task is open or closed");
            for outcome in Outcome::ALL {
                let count = rows.iter().filter(|row| row.outcome == outcome).count() as u64;
                assert_eq!(progress.counts.of(outcome), count, "the counters equal the rows");
            }
            for row in rows {
                self.seen.insert(format!("{:?}", row.outcome));
                let known = self.rows.entry((run, row.source.clone())).or_insert_with(|| row.clone());
                assert_eq!(*known, row, "a task is closed once");
            }
            assert!(open == 0 || self.open.contains(&run), "nothing is open in a run that ended");
        }
    }

    async fn look(&self, run: RunId) -> (Progress, Vec<ReportRow>) {
        let progress = self.store.progress(run).await.unwrap();
        (progress, self.store.report_rows(run, None, 10_000).await.unwrap())
    }

    /// From here on every attempt is answered and nothing goes wrong: all must come to an end.
    async fn finish(&mut self) {
        for run in self.open.clone() {
            self.store.set_expanded(run, self.now).await.unwrap();
        }
        for _ in 0..10_000 {
            // What was published before is answered too: nobody else would.
            let mut tasks = std::mem::take(&mut self.attempts);
            tasks.extend(self.store.take_ready(50, self.now).await.unwrap());
            for task in tasks {
                let ends = vec![placed("one"); destinations(&task).len()];
                self.store.record(&[results(&task, &ends)], self.now).await.unwrap();
            }
            let mut still_open = Vec::new();
            for run in std::mem::take(&mut self.open) {
                if self.store.finish_run(run, self.now).await.unwrap() {
                    self.ended.push(run);
                } else {
                    still_open.push(run);
                }
            }
            self.open = still_open;
            if self.open.is_empty() {
                let ended = self.ended.clone();
                return self.check(&ended).await;
            }
            self.pass(Duration::from_secs(10));
        }
        panic!("these runs never end: {:?}", self.open);
    }
}
