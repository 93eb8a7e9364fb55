//! Runs of two jobs, with few images and few targets, so that they meet.

use std::collections::BTreeSet;

use backends::store::{NewRun, NewTask};
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
        let mut tasks = Vec::new();
        for _ in 0..self.random.usize(1..=2) {
            let targets: BTreeSet<u8> = (0..self.random.usize(1..=3)).map(|_| self.random.u8(0..6)).collect();
            tasks.push(NewTask {
                id: self.name().parse().unwrap(),
                source: location("source.test/app", self.random.u8(0..5)),
                listed: None,
                sidecars: Default::default(),
                destinations: targets.into_iter().map(|tag| location("mirror.test/app", tag).into()).collect(),
            });
        }
        self.store.add_tasks(run, &tasks, self.now).await.unwrap();
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
