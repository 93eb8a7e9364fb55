//! Asks sources which tags they have, and lets `expand` make tasks of them, repository by repository.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use backends::store::NewTask;
use backends::{Store, StoreError};
use daemon::crash::{Effect, around};
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use jobfile::{Job, RepositoryLocation, Source};
use proto::content::Referrers;
use proto::limits::EXPAND_BATCH;
use proto::{Class, Digest, Failure, ImageRef, RunId, Tag};
use registry::{Client, Layout, Tags};
use tokio_util::sync::CancellationToken;

use crate::coordinator::{Coordinator, Event};
use crate::error::CoordinatorError;
use crate::expand::{Expansion, Only, expand};

/// Repositories listed at once.
const CONCURRENCY: usize = 8;

impl Coordinator {
    /// Writes the tasks of a run, those of a repository as soon as it was listed. A repository that cannot be listed
    /// is a failed line of the report; the others go on.
    ///
    /// After `stop` nothing more is listed, and the run counts as not expanded. What `only` does not reach is not listed
    /// at all; what it names and nothing meets is a warning.
    ///
    /// # Errors
    /// The Store does not take the tasks.
    pub async fn expand(
        &self,
        run: RunId,
        job: &Job,
        only: &Only,
        stop: &CancellationToken,
    ) -> Result<(), CoordinatorError> {
        let reached = job.sources.iter().filter(|source| only.reaches(&source.location));
        let sources = reached.map(|source| self.expand_source(run, source, only));
        let all = stream::iter(sources).buffer_unordered(CONCURRENCY).try_concat();
        if let Some(met) = stop.run_until_cancelled(all).await {
            for warning in only.warnings(job, &met?) {
                self.store.add_warning(run, &warning).await?;
            }
            around(Effect::RunExpanded, self.store.set_expanded(run, Timestamp::now())).await?;
            self.run_finished.notify_one();
        }
        Ok(())
    }

    /// Says which wishes of `only` are met; where not all tags are known, it may be all that reach here.
    async fn expand_source(
        &self,
        run: RunId,
        source: &Source,
        only: &Only,
    ) -> Result<BTreeSet<String>, CoordinatorError> {
        let location = &source.location;
        let survey = Survey { client: &self.client, store: Some(&self.store), retry_after: self.pace.retry_after };
        let mut expansion = survey.expansion(source, only).await?;
        for batch in expansion.tasks.chunks(EXPAND_BATCH) {
            around(Effect::TasksAdd, self.store.add_tasks(run, batch, Timestamp::now())).await?;
            self.tasks_ready.notify_one();
        }
        for warning in &expansion.warnings {
            self.store.add_warning(run, warning).await?;
        }
        if let Some(failure) = expansion.failure {
            self.note_failed_source(run, location, failure).await?;
            return Ok(only.wishes_at(location).into_iter().collect());
        }
        // A repository is a wish of its own: it was listed, whatever it has.
        let name = location.to_string();
        expansion.met.extend(only.wishes_at(location).into_iter().filter(|wish| *wish == name));
        Ok(expansion.met)
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

/// Asks one source after the other what it has; what a run and a plan have in common.
pub struct Survey<'a> {
    /// Asks registries.
    pub client: &'a Client,
    /// Knows what was placed; none where nothing is on record.
    pub store: Option<&'a Store>,
    /// Delays before the second and the third try.
    pub retry_after: [Duration; 2],
}

impl Survey<'_> {
    /// What is wanted of a repository. One that cannot be listed gives a failure and no tasks.
    ///
    /// # Errors
    /// The Store does not answer.
    pub async fn expansion(&self, source: &Source, only: &Only) -> Result<Expansion, StoreError> {
        let listed = match self.tags(source).await {
            Ok(listed) => listed,
            Err(failure) => return Ok(Expansion { failure: Some(failure), ..Expansion::default() }),
        };
        let mut expansion = expand(source, &listed, only);
        expansion.warnings.extend(warning_of_invalid(&source.location, &listed));
        self.note_sidecars(&mut expansion.tasks, &listed.tags).await?;
        Ok(expansion)
    }

    /// The tags of a repository, with as many tries as a task has; none where the file names all that it wants.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn tags(&self, source: &Source) -> Result<Tags, Failure> {
        if !source.needs_listing() {
            return Ok(Tags::default());
        }
        let mut waits = self.retry_after.into_iter();
        loop {
            let error = match list(self.client, &source.location).await {
                Ok(listed) => return Ok(listed),
                Err(error) => error,
            };
            match waits.next() {
                Some(wait) if error.class() == Class::Retry => tokio::time::sleep(wait).await,
                _ => {
                    let message = daemon::ErrorChain(&error).to_string();
                    return Err(Failure::new(None, error.kind().at_source(), error.class(), &message, error.hint()));
                }
            }
        }
    }

    /// Notes with each task which signatures the source lists for what was placed: they may be newer than that.
    async fn note_sidecars(&self, tasks: &mut [NewTask], listed: &[Tag]) -> Result<(), StoreError> {
        let listed: HashSet<&Tag> = listed.iter().filter(|tag| tag.as_str().starts_with("sha256-")).collect();
        let Some(store) = self.store.filter(|_| !listed.is_empty()) else { return Ok(()) };
        for task in tasks {
            let locations: Vec<_> = task.destinations.iter().map(|to| to.location.clone()).collect();
            let placements = store.placements(&locations).await?;
            let digests: BTreeSet<&Digest> = placements.values().map(|placement| &placement.placed.digest).collect();
            let tags = digests.into_iter().flat_map(|digest| registry::cosign_tags(digest, &Referrers::All));
            task.sidecars.tags = tags.filter(|tag| listed.contains(tag)).collect();
        }
        Ok(())
    }
}

/// A warning of names in a listing that are no tags, if there are any. They are the registry's, and are not repeated.
pub fn warning_of_invalid(location: &RepositoryLocation, listed: &Tags) -> Option<String> {
    match listed.invalid {
        0 => None,
        1 => Some(format!("1 tag of {location} is not valid and is left out")),
        invalid => Some(format!("{invalid} tags of {location} are not valid and are left out")),
    }
}

/// All tags of a repository, page by page.
///
/// # Errors
/// They could not be listed to the end: a part of them proves nothing.
pub async fn list(client: &Client, source: &RepositoryLocation) -> Result<Tags, registry::Error> {
    match source {
        RepositoryLocation::Registry(repository) => client.tags(repository).await,
        RepositoryLocation::Layout { path, repository } => {
            let names = Layout::open_folder(path).await?.names().await?;
            let images = names.iter().filter_map(|name| name.parse::<ImageRef>().ok());
            let tags = images.filter(|image| image.repository == *repository).filter_map(|image| image.tag).collect();
            Ok(Tags { tags, ..Tags::default() })
        }
    }
}
