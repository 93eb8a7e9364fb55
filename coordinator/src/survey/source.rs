//! The tags of one source: listed, tried again, and what a listing may lack.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jobfile::{RepositoryLocation, Source};
use proto::{Class, Code, Failure, ImageRef};
use registry::{Client, Layout, Tags};

/// The tags of a repository, with as many tries as a task has; none where the file names all that it wants.
///
/// # Errors
/// They cannot be listed.
pub async fn tags(client: &Client, source: &Source, tries: &Tries) -> Result<Tags, Failure> {
    if !source.needs_listing() {
        return Ok(Tags::default());
    }
    let mut waits = tries.waits.into_iter();
    loop {
        let error = match list(client, &source.location).await {
            Ok(listed) => return Ok(listed),
            Err(error) => error,
        };
        let message = daemon::ErrorChain(&error).to_string();
        let failure = Failure::new(None, error.kind().at_source(), error.class(), &message, error.hint());
        match waits.next() {
            Some(wait) if failure.class == Class::Retry => {
                tries.tell(&source.location, &failure, wait);
                tokio::time::sleep(wait).await;
            }
            _ => return Err(failure),
        }
    }
}

/// How listings are tried again, and what was said of that.
#[derive(Debug)]
pub struct Tries {
    /// Before the second and the third try.
    waits: [Duration; 2],
    /// Causes that were told: hundreds of repositories of one registry fail for the same one.
    told: Mutex<HashSet<(String, Code)>>,
}

impl Tries {
    /// With these delays before the second and the third try.
    pub fn new(waits: [Duration; 2]) -> Self {
        Self { waits, told: Mutex::default() }
    }

    /// Says why something is waited for, once for each cause at each registry.
    fn tell(&self, location: &RepositoryLocation, failure: &Failure, wait: Duration) {
        let registry = match location {
            RepositoryLocation::Registry(repository) => repository.host().to_string(),
            RepositoryLocation::Layout { .. } => location.to_string(),
        };
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert((registry, failure.code)) {
            let Failure { message, .. } = failure;
            tracing::warn!("list {location}: {message}; it is tried again in {} s", wait.as_secs_f64());
        }
    }
}

/// A warning that a listing may lack tags, if it may.
pub fn warning_of_partial(location: &RepositoryLocation, listed: &Tags) -> Option<String> {
    let text = || format!("the registry does not list all of {location}: tags that it does not name are left out");
    listed.is_partial.then(text)
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
