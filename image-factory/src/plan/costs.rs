//! Adds up what a run costs at each registry, against what its budgets allow.

use std::collections::{BTreeMap, HashSet};

use backends::store::NewTask;
use proto::{Digest, Host, Location, Repository};
use registry::Client;

use super::make::Look;
use super::{Allowed, Cost};

/// What a run costs, as far as it was looked at.
#[derive(Default)]
pub(super) struct Costs {
    /// By registry, each with a repository there.
    at: BTreeMap<Host, (Repository, Cost)>,
    /// Blobs that are counted as sent, by the repository that they go to.
    counted: BTreeMap<String, HashSet<Digest>>,
}

impl Costs {
    /// What is asked of the registry of `repository`.
    pub(super) fn at(&mut self, repository: &Repository) -> &mut Cost {
        &mut self.at.entry(repository.host().clone()).or_insert_with(|| (repository.clone(), Cost::default())).1
    }

    /// The costs by registry, each with what its budget allows as far as that is known: the looks before told it.
    pub(super) async fn against_budgets(self, client: &Client) -> BTreeMap<String, Cost> {
        let mut costs = BTreeMap::new();
        for (host, (repository, mut cost)) in self.at {
            // Settings that cannot be read were told by the looks.
            if let Ok(budget) = client.budget(&repository).await {
                cost.allowed = budget.pulls.map(|pulls| Allowed {
                    left: pulls.left,
                    limit: pulls.limit,
                    window_seconds: pulls.window.as_secs(),
                    wait_seconds: pulls.wait.map(|wait| wait.as_secs()),
                });
                cost.seconds =
                    budget.per_second.filter(|rate| *rate > 0.0).map(|rate| (cost.requests as f64 / rate) as u64);
            }
            costs.insert(host.to_string(), cost);
        }
        costs
    }

    /// Counts the requests of one attempt, about as the worker makes them.
    pub(super) fn add(&mut self, task: &NewTask, look: &Look) {
        let writes: Vec<_> = look.writes().collect();
        let weight = writes.first().and_then(|(_, weight)| *weight);
        let manifests = weight.map_or(1, |weight| weight.manifests as u64);
        let blobs = weight.map_or(0, |weight| weight.blobs.len() as u64);
        if let Some(repository) = repository(&task.source) {
            let cost = self.at(repository);
            cost.requests += 1;
            if !writes.is_empty() {
                // Each manifest, and what refers to it.
                cost.requests += 2 * manifests + blobs;
                cost.pulls += manifests;
            }
        }
        for (location, _) in &look.preview.destinations {
            if let Some(repository) = repository(location) {
                self.at(repository).requests += 1;
            }
        }
        for (location, weight) in writes {
            let Location::Registry(image) = location else { continue };
            let counted = self.counted.entry(image.repository.to_string()).or_default();
            let unsent = weight.map(|weight| {
                let new = weight.blobs.iter().filter(|blob| counted.insert(blob.digest.clone()));
                new.fold((0, 0u64), |(count, bytes), blob| (count + 1, bytes.saturating_add(blob.size)))
            });
            let (new_blobs, bytes) = unsent.unwrap_or_default();
            let cost = self.at(&image.repository);
            // A blob is sent in two requests at most; a manifest is sent, and the tag is asked for before.
            cost.requests += 2 * new_blobs + manifests + 1;
            cost.bytes = cost.bytes.saturating_add(bytes);
            cost.unknown += u64::from(weight.is_none());
        }
    }
}

fn repository(location: &Location) -> Option<&Repository> {
    match location {
        Location::Registry(image) => Some(&image.repository),
        Location::Layout(_) | Location::Archive(_) => None,
    }
}
