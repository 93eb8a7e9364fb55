//! Makes a plan: survey, expand and the resolve stage, without Store, Queue or any write.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use backends::store::{NewDestination, NewTask, Placement, Unchanged, target_owned};
use backends::{LocalLedger, Store};
use coordinator::expand::Only;
use coordinator::survey::{self, Shared, Survey, Tries};
use futures_util::{StreamExt, TryStreamExt, stream};
use jobfile::{RepositoryLocation, Source};
use proto::content::Platforms;
use proto::outcome::End;
use proto::task::{Destination, Mirror, Placed, TaskKind};
use proto::{Attempt, Digest, Failure, Location, RunId, Task, limits};
use registry::{Client, Tags};
use worker::{Activity, Preview, Prospect, Tools, Weight, preview};

use super::costs::Costs;
use super::{Action, Cost, DestinationPlan, FailedRepository, ImagePlan, JobPlan};

/// Repositories listed, and images looked at, at once.
const CONCURRENCY: usize = 8;

/// Looks at registries for a plan, and adds up what the run will cost.
pub(crate) struct Planner {
    client: Client,
    tools: Tools,
    /// What is on record; none if there was no run yet.
    store: Option<Store>,
    tries: Tries,
    costs: Costs,
}

impl Planner {
    pub(crate) async fn new(client: Client, store: Option<Store>, retry_after: [Duration; 2]) -> Self {
        // What a plan finds out is not kept: it leaves no trace.
        let tools = Tools::new(client.clone(), Arc::new(LocalLedger::in_memory().await), Activity::default());
        Self { client, tools, store, tries: Tries::new(retry_after), costs: Costs::default() }
    }

    /// What all that was looked at costs, by registry.
    pub(crate) async fn into_costs(self) -> BTreeMap<String, Cost> {
        self.costs.against_budgets(&self.client).await
    }

    /// The tags of a repository; none where the file names all that it wants.
    pub(crate) async fn tags(&self, source: &Source) -> Result<Tags, Failure> {
        survey::tags(&self.client, source, &self.tries).await
    }

    /// What `job`, which mirrors `sources`, would do. `tell` hears of each image that was looked at.
    pub(crate) async fn job(&mut self, job: &str, sources: &[Source], tell: impl Fn()) -> anyhow::Result<JobPlan> {
        let survey = Survey {
            client: &self.client,
            store: self.store.as_ref(),
            tries: &self.tries,
            job,
            only: &Only::All,
            sample: HashSet::new(),
            shared: Shared::among(sources),
        };
        let surveys = sources.iter().map(|source| {
            let survey = &survey;
            async move { anyhow::Ok((source, survey.expansion(source).await?)) }
        });
        let expansions: Vec<_> = stream::iter(surveys.collect::<Vec<_>>()).buffered(CONCURRENCY).try_collect().await?;
        let listed: BTreeSet<_> = sources.iter().flat_map(|source| survey.destinations_listed(source)).collect();
        listed.into_iter().for_each(|repository| self.costs.at(repository).requests += 1);
        let mut plan = JobPlan { job: job.to_owned(), images: Vec::new(), failed: Vec::new(), warnings: Vec::new() };
        let (mut tasks, mut unchanged) = (Vec::new(), Vec::new());
        for (source, expansion) in expansions {
            if let (true, RepositoryLocation::Registry(repository)) = (source.needs_listing(), &source.location) {
                self.costs.at(repository).requests += 1;
            }
            let repository = source.location.to_string();
            plan.failed.extend(expansion.failure.map(|failure| FailedRepository { repository, failure }));
            plan.warnings.extend(expansion.warnings);
            tasks.extend(expansion.tasks);
            unchanged.extend(expansion.unchanged);
        }
        unchanged.iter().for_each(|_| tell());
        let (images, warnings) = self.images(job, tasks, tell).await?;
        plan.images = images;
        plan.images.extend(unchanged.into_iter().map(kept));
        plan.warnings.extend(warnings);
        let destinations = plan.images.iter().flat_map(|image| &image.destinations);
        plan.warnings.extend(destinations.filter_map(DestinationPlan::warning));
        plan.images.sort_by(|a, b| a.source.cmp(&b.source));
        Ok(plan)
    }

    /// What would be done with each of `tasks`, and what is worth a look about it.
    pub(crate) async fn images(
        &mut self,
        job: &str,
        tasks: Vec<NewTask>,
        tell: impl Fn(),
    ) -> anyhow::Result<(Vec<ImagePlan>, Vec<String>)> {
        let mut costs = std::mem::take(&mut self.costs);
        let looks = tasks.iter().map(|task| self.look(job, task)).collect::<Vec<_>>();
        let mut looks = stream::iter(looks).buffered(CONCURRENCY);
        let (mut images, mut warnings) = (Vec::new(), Vec::new());
        for task in &tasks {
            let Some(look) = looks.try_next().await? else { break };
            tell();
            // Folded at once: what images consist of is too much to be held for all of them.
            costs.add(task, &look);
            warnings.extend(look.preview.warnings.iter().cloned());
            images.push(look.into_plan(task));
        }
        drop(looks);
        self.costs = costs;
        Ok((images, warnings))
    }

    async fn look(&self, job: &str, task: &NewTask) -> anyhow::Result<Look> {
        let locations: Vec<Location> = task.destinations.iter().map(|to| to.location.clone()).collect();
        let placements = match &self.store {
            Some(store) => store.placements(&locations).await?,
            None => Default::default(),
        };
        let placed = placements.iter().map(|(to, placement)| (to.clone(), placement.placed.digest.clone())).collect();
        let is_owned = |placement: &Placement| placement.job != job;
        let owned = placements.iter().filter(|(_, placement)| is_owned(placement));
        let owned = owned.map(|(location, placement)| (location.clone(), placement.job.clone())).collect();
        let destinations = task.destinations.iter().map(|to| Destination {
            location: to.location.clone(),
            content: to.content.clone(),
            placed: placements.get(&to.location).map(|placement| placement.placed.clone()),
            listed: to.listed.clone(),
            read_back: false,
            parts: None,
        });
        let mirror = Mirror {
            source: task.source.clone(),
            listed: task.listed.clone(),
            sidecars: task.sidecars.clone(),
            destinations: destinations.collect(),
        };
        let attempt = Task {
            run: RunId::new(),
            id: task.id,
            attempt: Attempt::FIRST,
            solo: false,
            deadline: limits::ATTEMPT_DEADLINE,
            bundle: None,
            kind: TaskKind::Mirror(mirror),
        };
        let preview = preview(&self.tools, &attempt).await;
        Ok(Look { owned, placed, preview })
    }
}

/// An image, as it was looked at.
pub(super) struct Look {
    /// Destinations that other jobs own.
    owned: BTreeMap<Location, String>,
    /// What is on record.
    placed: BTreeMap<Location, Digest>,
    pub(super) preview: Preview,
}

impl Look {
    /// The destinations that would be written.
    pub(super) fn writes(&self) -> impl Iterator<Item = (&Location, Option<&Weight>)> {
        let open = self.preview.destinations.iter().filter(|(location, _)| !self.owned.contains_key(location));
        open.filter_map(|(location, prospect)| match prospect {
            Prospect::Write { weight, .. } => Some((location, weight.as_ref())),
            Prospect::UpToDate | Prospect::Unable(_) => None,
        })
    }

    fn into_plan(self, task: &NewTask) -> ImagePlan {
        let digest = self.preview.source.as_ref().ok().cloned();
        let mut prospects: BTreeMap<_, _> = self.preview.destinations.into_iter().collect();
        let destinations = task.destinations.iter().map(|to| {
            let prospect = match &self.preview.source {
                Ok(_) => prospects.remove(&to.location),
                Err(end) => Some(Prospect::Unable(end.clone())),
            };
            let plan = to_keep(to, self.placed.get(&to.location).cloned());
            if let Some(owner) = self.owned.get(&to.location) {
                return DestinationPlan {
                    action: Action::Fail,
                    failure: Some(target_owned(&to.location, owner)),
                    ..plan
                };
            }
            match prospect {
                None | Some(Prospect::UpToDate) => DestinationPlan { bytes: Some(0), ..plan },
                Some(Prospect::Write { shows, weight }) => {
                    // Without its manifests it is known only of a whole image what the tag will show.
                    let whole = digest.clone().filter(|_| to.content.platforms == Platforms::All);
                    let becomes = weight.as_ref().map(|weight| weight.digest.clone()).or(whole);
                    let action = match &shows {
                        None => Action::Create,
                        Some(_) if shows == becomes => Action::Confirm,
                        Some(_) => Action::Move,
                    };
                    let bytes = weight.map(|weight| total(&weight));
                    DestinationPlan { action, shows, becomes, bytes, ..plan }
                }
                Some(Prospect::Unable(End::Failed(failure))) => {
                    DestinationPlan { action: Action::Fail, failure: Some(failure), ..plan }
                }
                Some(Prospect::Unable(End::Deferred { failure, .. })) => {
                    DestinationPlan { action: Action::Wait, failure: Some(failure), ..plan }
                }
                Some(Prospect::Unable(End::Placed { .. } | End::Interrupted { .. })) => {
                    DestinationPlan { action: Action::Wait, ..plan }
                }
            }
        });
        let destinations = destinations.collect();
        ImagePlan { source: task.source.clone(), digest, destinations }
    }
}

/// A destination at which nothing is done.
fn to_keep(to: &NewDestination, placed: Option<Digest>) -> DestinationPlan {
    DestinationPlan {
        destination: to.location.clone(),
        group: to.origin.group.clone(),
        owner: to.origin.owner.clone(),
        rule: to.origin.rule.clone(),
        action: Action::Keep,
        placed,
        shows: None,
        becomes: None,
        bytes: None,
        failure: None,
    }
}

/// An image that listings show as it was placed: nothing is asked for it.
fn kept(Unchanged { task, placed }: Unchanged) -> ImagePlan {
    let placed = task.destinations.iter().zip(placed);
    let keep = |(to, placed): (&NewDestination, Placed)| DestinationPlan {
        bytes: Some(0),
        ..to_keep(to, Some(placed.digest))
    };
    ImagePlan { destinations: placed.map(keep).collect(), source: task.source.clone(), digest: task.listed.clone() }
}

fn total(weight: &Weight) -> u64 {
    weight.blobs.iter().fold(0, |sum: u64, blob| sum.saturating_add(blob.size))
}
