//! Runs of two jobs, with few images and few targets, so that they meet.

use std::collections::BTreeSet;

use backends::store::{NewRun, NewTask, Unchanged};
use proto::task::Placed;
use proto::{Digest, Location, RunId};

use super::night::Night;

impl Night {
    fn name(&mut self) -> String {
        self.names += 1;
        // Later names sort after earlier ones, as those of real runs and tasks do.
        format!("{:032x}", self.names)
    }

    pub(super) async fn begin_run(&mut self) {
        if self.runs.len() == 3 {
            return;
        }
        let id = self.name().parse().unwrap();
        let job = if self.random.u8(0..3) == 0 { "weekly" } else { "nightly" };
        let run = NewRun {
            id,
            job: job.to_owned(),
            file_digest: Digest::of(b"file"),
            file_path: format!("/jobs/{job}.yaml"),
            git_commit: None,
            started_by: "simulation".to_owned(),
            take_over: self.random.u8(0..4) == 0,
            only: None,
            started_at: self.now,
            key: None,
            max_concurrency: None,
            deadline: None,
            pinned: None,
        };
        self.store.create_run(&run).await.unwrap();
        self.runs.push(id);
        self.add_tasks_to(id).await;
    }

    pub(super) async fn open_run(&mut self) -> Option<RunId> {
        let open = self.store.open_runs().await.unwrap();
        self.random.choice(&open).map(|run| run.id)
    }

    pub(super) async fn add_tasks(&mut self) {
        let Some(run) = self.open_run().await else { return };
        if self.tasks.len() < 8 && !self.store.run(run).await.unwrap().expanded {
            self.add_tasks_to(run).await;
        }
    }

    async fn add_tasks_to(&mut self, run: RunId) {
        let (mut tasks, mut unchanged) = (Vec::new(), Vec::new());
        for _ in 0..self.random.usize(1..=2) {
            let targets: BTreeSet<u8> = (0..self.random.usize(1..=3)).map(|_| self.random.u8(0..6)).collect();
            let task = NewTask {
                id: self.name().parse().unwrap(),
                source: location("source.test/app", self.random.u8(0..5)),
                listed: None,
                sidecars: Default::default(),
                destinations: targets.into_iter().map(|tag| location("mirror.test/app", tag).into()).collect(),
            };
            match self.random.bool().then_some(self.placed(&task).await).flatten() {
                Some(placed) => unchanged.push(Unchanged { task, placed }),
                None => tasks.push(task),
            }
        }
        let before = self.store.progress(run).await.unwrap().counts.up_to_date;
        self.coordinator.add(run, &tasks, &unchanged, self.now).await.unwrap();
        let after = self.store.progress(run).await.unwrap().counts.up_to_date;
        if after > before {
            self.saw("an image was seen unchanged");
        } else if !unchanged.is_empty() {
            self.saw("an image that seemed unchanged became a task");
        }
    }

    /// What is on record of all destinations of a task, whatever their tags show by now: a listing may be late.
    async fn placed(&self, task: &NewTask) -> Option<Vec<Placed>> {
        let locations: Vec<Location> = task.destinations.iter().map(|to| to.location.clone()).collect();
        let placements = self.store.placements(&locations).await.unwrap();
        locations.iter().map(|location| Some(placements.get(location)?.placed.clone())).collect()
    }

    pub(super) async fn expanded(&mut self) {
        if let Some(run) = self.open_run().await {
            self.store.set_expanded(run, self.now).await.unwrap();
        }
    }
}

pub(super) fn location(repository: &str, tag: u8) -> Location {
    format!("{repository}:{tag}").parse().unwrap()
}
