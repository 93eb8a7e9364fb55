//! Asks sources which tags they have, and lets `expand` make tasks of them, repository by repository.

use std::collections::{BTreeSet, HashSet};

use backends::store::NewTask;
use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use jobfile::{Job, RepositoryLocation, Source};
use proto::content::Referrers;
use proto::limits::EXPAND_BATCH;
use proto::{Class, Digest, Failure, ImageRef, RunId, Tag};
use registry::{Client, Layout};
use tokio_util::sync::CancellationToken;

use crate::coordinator::{Coordinator, Event};
use crate::error::CoordinatorError;
use crate::expand::expand;

/// Repositories listed at once.
const CONCURRENCY: usize = 8;

impl Coordinator {
    /// Writes the tasks of a run, those of a repository as soon as it was listed. A repository that cannot be listed
    /// is a failed line of the report; the others go on.
    ///
    /// After `stop` nothing more is listed, and the run counts as not expanded.
    ///
    /// # Errors
    /// The Store does not take the tasks.
    pub async fn expand(&self, run: RunId, job: &Job, stop: &CancellationToken) -> Result<(), CoordinatorError> {
        let sources = job.sources.iter().map(|source| self.expand_source(run, source));
        let all = stream::iter(sources).buffer_unordered(CONCURRENCY).try_collect::<()>();
        if let Some(result) = stop.run_until_cancelled(all).await {
            result?;
            self.store.set_expanded(run, Timestamp::now()).await?;
            self.run_finished.notify_one();
        }
        Ok(())
    }

    async fn expand_source(&self, run: RunId, source: &Source) -> Result<(), CoordinatorError> {
        let location = &source.location;
        let listed = if source.needs_listing() { self.list_patiently(location).await } else { Ok(Vec::new()) };
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let message = daemon::ErrorChain(&error).to_string();
                let failure = Failure::new(None, error.kind().at_source(), error.class(), &message, error.hint());
                return self.note_failed_source(run, location, failure).await;
            }
        };
        let mut expansion = expand(source, &listed);
        let listed: HashSet<&Tag> = listed.iter().collect();
        for batch in expansion.tasks.chunks_mut(EXPAND_BATCH) {
            self.note_cosign_tags(batch, &listed).await?;
            self.store.add_tasks(run, batch, Timestamp::now()).await?;
            self.tasks_ready.notify_one();
        }
        for warning in &expansion.warnings {
            self.store.add_warning(run, warning).await?;
        }
        match expansion.failure {
            Some(failure) => self.note_failed_source(run, location, failure).await,
            None => Ok(()),
        }
    }

    /// Notes with each task which signatures the source lists for what was placed: they may be newer than that.
    async fn note_cosign_tags(&self, tasks: &mut [NewTask], listed: &HashSet<&Tag>) -> Result<(), CoordinatorError> {
        if !listed.iter().any(|tag| tag.as_str().starts_with("sha256-")) {
            return Ok(());
        }
        for task in tasks {
            let locations: Vec<_> = task.destinations.iter().map(|to| to.location.clone()).collect();
            let placements = self.store.placements(&locations).await?;
            let digests: BTreeSet<&Digest> = placements.values().map(|placement| &placement.placed.digest).collect();
            let tags = digests.into_iter().flat_map(|digest| registry::cosign_tags(digest, &Referrers::All));
            task.cosign_tags = tags.filter(|tag| listed.contains(tag)).collect();
        }
        Ok(())
    }

    /// Lists with as many tries as a task has.
    async fn list_patiently(&self, source: &RepositoryLocation) -> Result<Vec<Tag>, registry::Error> {
        for wait in self.pace.retry_after {
            match list(&self.client, source).await {
                Err(error) if error.class() == Class::Retry => tokio::time::sleep(wait).await,
                settled => return settled,
            }
        }
        list(&self.client, source).await
    }

    /// A repository of which nothing, or not all, becomes tasks is a line of the report.
    async fn note_failed_source(
        &self,
        run: RunId,
        source: &RepositoryLocation,
        failure: Failure,
    ) -> Result<(), CoordinatorError> {
        self.store.add_failed_line(run, &source.to_string(), &failure, Timestamp::now()).await?;
        let event = Event { source: source.to_string(), outcome: proto::Outcome::Failed, failure: Some(failure) };
        // Nobody need be listening.
        let _ = self.events.send(event);
        Ok(())
    }
}

/// All tags of a repository, page by page.
///
/// # Errors
/// They could not be listed to the end: a part of them proves nothing.
pub async fn list(client: &Client, source: &RepositoryLocation) -> Result<Vec<Tag>, registry::Error> {
    match source {
        RepositoryLocation::Registry(repository) => client.tags(repository).await,
        RepositoryLocation::Layout { path, repository } => {
            let names = Layout::open_folder(path).await?.names().await?;
            let images = names.iter().filter_map(|name| name.parse::<ImageRef>().ok());
            Ok(images.filter(|image| image.repository == *repository).filter_map(|image| image.tag).collect())
        }
    }
}
