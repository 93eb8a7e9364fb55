//! Asks sources and destinations which tags they have, and lets `expand` make tasks of them, repository by repository.

mod source;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use backends::store::{NewTask, Unchanged};
use backends::{Store, StoreError};
use daemon::crash::{Effect, around};
use daemon::run_span;
use futures_util::{StreamExt, future, stream};
use jiff::Timestamp;
use jobfile::{Job, RepositoryLocation, Source};
use proto::limits::EXPAND_BATCH;
use proto::{Failure, Location, Repository, RunId};
use registry::{Client, Kind, Tags};
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::coordinator::{Coordinator, Event};
use crate::error::CoordinatorError;
use crate::expand::{Expansion, Known, Listing, Only, expand};
use crate::order::Extent;
pub use source::{Tries, list, tags, warning_of_invalid, warning_of_partial};

/// Sources surveyed at once.
const CONCURRENCY: usize = 16;

impl Coordinator {
    /// Writes the tasks of a run of `job`, as many of them as `extent` says; sources are listed by `client`. After `stop` the
    /// run counts as not expanded.
    ///
    /// # Errors
    /// The Store does not take the tasks.
    pub async fn expand(
        &self,
        run: RunId,
        client: &Client,
        job: &Job,
        extent: &Extent,
        stop: &CancellationToken,
    ) -> Result<(), CoordinatorError> {
        match extent {
            Extent::Listed(only) => self.expand_listed(run, client, (job, only), stop).await,
            Extent::Placed(audit) => self.expand_placements(run, job, audit, stop).await,
        }
    }

    /// Writes the tasks of a run, those of a repository as soon as it was listed, and notes what needs none. A repository
    /// that cannot be listed is a failed line of the report; the others go on.
    ///
    /// After `stop` nothing more is listed, and the run counts as not expanded. What `only` does not reach is not listed
    /// at all; what it names and nothing meets is a warning. A run that is limited so reads nothing back but what is in
    /// doubt.
    async fn expand_listed(
        &self,
        run: RunId,
        client: &Client,
        (job, only): (&Job, &Only),
        stop: &CancellationToken,
    ) -> Result<(), CoordinatorError> {
        let name = self.store.run(run).await?.job;
        let percent = if matches!(only, Only::All) { job.verify_at_most } else { 0 };
        let sample = self.store.sample(&name, percent, Timestamp::now()).await?;
        let survey = Survey {
            client,
            store: Some(&self.store),
            tries: &Tries::new(self.pace.retry_after),
            job: &name,
            only,
            sample,
            shared: Shared::among(&job.sources),
        };
        let reached = job.sources.iter().filter(|source| only.reaches(&source.location));
        // What is listed while others are written is written with the next, in one transaction.
        let (found, listed) = mpsc::channel(CONCURRENCY);
        let survey = &survey;
        let list = async move {
            let list = async |source| {
                // Nobody takes it any more if the Store took nothing.
                found.send((source, survey.expansion(source).await)).await.ok();
            };
            stream::iter(reached).for_each_concurrent(CONCURRENCY, list).await;
            Ok(())
        };
        let all = future::try_join(list, self.write_expansions(run, only, listed)).instrument(run_span!("expand", run));
        if let Some(((), met)) = stop.run_until_cancelled(all).await.transpose()? {
            for warning in only.warnings(job, &met) {
                self.store.add_warning(run, &warning).await?;
            }
            around(Effect::RunExpanded, self.store.set_expanded(run, Timestamp::now())).await?;
            self.run_finished.notify_one();
        }
        Ok(())
    }

    /// Writes what was found of sources; says which wishes are met.
    async fn write_expansions(
        &self,
        run: RunId,
        only: &Only,
        mut listed: mpsc::Receiver<(&Source, Result<Expansion, StoreError>)>,
    ) -> Result<BTreeSet<String>, CoordinatorError> {
        let (mut met, mut batch) = (BTreeSet::new(), Vec::new());
        while listed.recv_many(&mut batch, CONCURRENCY).await > 0 {
            let (mut tasks, mut unchanged) = (Vec::new(), Vec::new());
            let mut rest = Vec::new();
            for (source, expansion) in batch.drain(..) {
                let mut expansion = expansion?;
                tasks.append(&mut expansion.tasks);
                unchanged.append(&mut expansion.unchanged);
                rest.push((source, expansion));
            }
            self.add(run, &tasks, &unchanged, Timestamp::now()).await?;
            for (source, expansion) in rest {
                met.extend(self.note_source(run, source, expansion, only).await?);
            }
        }
        Ok(met)
    }

    /// Says which wishes are met; where not all tags are known, it may be all that reach here.
    async fn note_source(
        &self,
        run: RunId,
        source: &Source,
        expansion: Expansion,
        only: &Only,
    ) -> Result<BTreeSet<String>, CoordinatorError> {
        let (location, mut met) = (&source.location, expansion.met);
        for warning in &expansion.warnings {
            self.store.add_warning(run, warning).await?;
        }
        if let Some(failure) = expansion.failure {
            self.note_failed_source(run, location, failure).await?;
            return Ok(only.wishes_at(location).into_iter().collect());
        }
        // A repository is a wish of its own: it was listed, whatever it has.
        let name = location.to_string();
        met.extend(only.wishes_at(location).into_iter().filter(|wish| *wish == name));
        Ok(met)
    }

    /// Writes tasks, and notes what needs none; what is not unchanged after all becomes a task.
    pub(crate) async fn add(
        &self,
        run: RunId,
        tasks: &[NewTask],
        unchanged: &[Unchanged],
        now: Timestamp,
    ) -> Result<(), CoordinatorError> {
        let mut refused = Vec::new();
        for batch in unchanged.chunks(EXPAND_BATCH) {
            refused.extend(around(Effect::TasksAdd, self.store.mark_unchanged(run, batch, now)).await?);
        }
        for batch in tasks.chunks(EXPAND_BATCH).chain(refused.chunks(EXPAND_BATCH)) {
            around(Effect::TasksAdd, self.store.add_tasks(run, batch, now)).await?;
            self.tasks_ready.notify_one();
        }
        Ok(())
    }

    /// A repository of which nothing, or not all, becomes tasks is a line of the report.
    async fn note_failed_source(
        &self,
        run: RunId,
        source: &RepositoryLocation,
        failure: Failure,
    ) -> Result<(), CoordinatorError> {
        self.store.add_failed_line(run, &source.to_string(), &failure, Timestamp::now()).await?;
        self.tell_event(Event::Unlisted { repository: source.to_string(), failure });
        Ok(())
    }
}

/// Asks one source after the other what it has, and their destinations what is there; what a run and a plan have in
/// common. Each repository is listed once.
pub struct Survey<'a> {
    /// Asks registries.
    pub client: &'a Client,
    /// Knows what was placed; none where nothing is on record.
    pub store: Option<&'a Store>,
    /// How listings are tried again.
    pub tries: &'a Tries,
    /// The job, as the Store knows it.
    pub job: &'a str,
    /// What the run is limited to.
    pub only: &'a Only,
    /// Placements that are to be read back.
    pub sample: HashSet<Location>,
    /// Listings of destinations that several sources go to.
    pub shared: Shared,
}

/// What a destination lists; none if it could not be listed: then the worker asks.
type DestinationListing = Option<Arc<Listing>>;

/// Listings that are got once, and kept for as long as the survey: of destinations that several sources go to.
#[derive(Debug, Default)]
pub struct Shared(HashMap<Repository, OnceCell<DestinationListing>>);

impl Shared {
    /// Those of the sources of a job.
    pub fn among(sources: &[Source]) -> Self {
        let (mut seen, mut shared) = (HashSet::new(), HashMap::new());
        for repository in sources.iter().flat_map(destinations) {
            if !seen.insert(repository) {
                shared.insert(repository.clone(), OnceCell::new());
            }
        }
        Self(shared)
    }
}

/// The registries' repositories that images of a source may go to, each once.
fn destinations(source: &Source) -> BTreeSet<&Repository> {
    let all = source.lines.iter().flat_map(|line| &line.destinations);
    let at_registry = all.filter_map(|destination| match destination {
        RepositoryLocation::Registry(repository) => Some(repository),
        RepositoryLocation::Layout { .. } => None,
    });
    at_registry.collect()
}

impl Survey<'_> {
    /// What is wanted of a repository. One that cannot be listed gives a failure and no tasks.
    ///
    /// # Errors
    /// The Store does not answer.
    pub async fn expansion(&self, source: &Source) -> Result<Expansion, StoreError> {
        let asked = self.destinations_listed(source);
        let listings = future::join_all(asked.into_iter().map(async |repository| {
            let listing = self.destination(repository).await?;
            Some((repository.clone(), listing))
        }));
        let (listed, listings) = future::join(tags(self.client, source, self.tries), listings).await;
        let listed = match listed {
            Ok(listed) => listed,
            Err(failure) => return Ok(Expansion { failure: Some(failure), ..Expansion::default() }),
        };
        let mut expansion = expand(source, &listed, self.only);
        expansion.warnings.extend(warning_of_invalid(&source.location, &listed));
        expansion.warnings.extend(warning_of_partial(&source.location, &listed));
        let targets = expansion.tasks.iter().flat_map(|task| &task.destinations);
        let targets: Vec<Location> = targets.map(|to| to.location.clone()).collect();
        let placements = match self.store {
            Some(store) => store.placements(&targets).await?,
            None => HashMap::new(),
        };
        expansion.compare(&Known {
            job: self.job,
            source: source.needs_listing().then_some(&listed),
            destinations: listings.into_iter().flatten().collect(),
            placements,
            sample: &self.sample,
        });
        Ok(expansion)
    }

    /// The destinations of a source that are listed for it: none for a single image, which is asked for as cheaply.
    pub fn destinations_listed<'s>(&self, source: &'s Source) -> BTreeSet<&'s Repository> {
        let is_single = || expand(source, &Tags::default(), self.only).tasks.len() < 2;
        if !source.needs_listing() && is_single() { BTreeSet::new() } else { destinations(source) }
    }

    async fn destination(&self, repository: &Repository) -> DestinationListing {
        match self.shared.0.get(repository) {
            Some(shared) => shared.get_or_init(|| self.list_destination(repository)).await.clone(),
            None => self.list_destination(repository).await,
        }
    }

    /// A repository that is not there lists nothing. That one cannot be listed is no failure: some may be written to by
    /// who may not list them.
    async fn list_destination(&self, repository: &Repository) -> DestinationListing {
        match self.client.tags(repository).await {
            Ok(tags) => Some(Arc::new(tags.into())),
            Err(error) if error.kind() == Kind::NotFound => Some(Arc::new(Tags::default().into())),
            Err(error) => {
                tracing::debug!(%repository, "a destination is not listed: {}", daemon::ErrorChain(&error));
                None
            }
        }
    }
}
