//! Asks sources which tags they have, and lets `expand` make tasks of them, repository by repository.

use futures_util::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use jobfile::{Images, JobFile, RepositoryLocation};
use proto::limits::EXPAND_BATCH;
use proto::{Class, Failure, ImageRef, RunId, Tag};
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
    pub async fn expand(&self, run: RunId, file: &JobFile, stop: &CancellationToken) -> Result<(), CoordinatorError> {
        for warning in file.warnings.lines() {
            self.store.add_warning(run, &warning).await?;
        }
        let lines = file.images.iter().map(|images| self.expand_line(run, images));
        let all = stream::iter(lines).buffer_unordered(CONCURRENCY).try_collect::<()>();
        if let Some(result) = stop.run_until_cancelled(all).await {
            result?;
            self.store.set_expanded(run, Timestamp::now()).await?;
            self.run_finished.notify_one();
        }
        Ok(())
    }

    async fn expand_line(&self, run: RunId, images: &Images) -> Result<(), CoordinatorError> {
        let listed =
            if images.rules.need_listing() { self.list_patiently(&images.source).await } else { Ok(Vec::new()) };
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => return self.note_unlisted(run, &images.source, &error).await,
        };
        let expansion = expand(images, &listed);
        for batch in expansion.tasks.chunks(EXPAND_BATCH) {
            self.store.add_tasks(run, batch, Timestamp::now()).await?;
            self.tasks_ready.notify_one();
        }
        for warning in &expansion.warnings {
            self.store.add_warning(run, warning).await?;
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

    async fn note_unlisted(
        &self,
        run: RunId,
        source: &RepositoryLocation,
        error: &registry::Error,
    ) -> Result<(), CoordinatorError> {
        let failure = Failure {
            stage: None,
            code: error.kind().at_source(),
            class: error.class(),
            message: daemon::ErrorChain(error).to_string(),
            hint: error.hint().map(str::to_owned),
        };
        self.store.add_failed_line(run, &source.to_string(), &failure, Timestamp::now()).await?;
        let event =
            Event::Ended { source: source.to_string(), outcome: proto::Outcome::Failed, failure: Some(failure) };
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
