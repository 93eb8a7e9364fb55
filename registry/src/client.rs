//! The client: finds the registry of a repository and hands it to the verbs, which are in modules of their own.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use proto::settings::Access;
use proto::{Digest, Host, Repository};
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use crate::capabilities::Capabilities;
use crate::error::Error;
use crate::options::Options;
use crate::proxy::Proxies;
use crate::transport::Registry;

/// Speaks to any number of registries. Clones share everything: connections, tokens, slots, what was learned.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    access: Access,
    options: Arc<Options>,
    /// By host and by the place of the settings that hold: two accounts at one host are two registries.
    registries: Mutex<HashMap<(Host, Option<usize>), Place>>,
    /// One writer at a time for the referrers of one subject.
    subjects: Mutex<HashMap<(Repository, Digest), Lock>>,
    /// What goes on for uploads that nobody waits for any more.
    uploads: TaskTracker,
}

/// Where one registry is set up, by the first who needs it.
pub(crate) type Place = Arc<OnceCell<Arc<Registry>>>;

type Lock = Arc<tokio::sync::Mutex<()>>;

impl Client {
    /// A client with these settings. Nothing is connected yet, and files are read when they are first needed.
    ///
    /// # Errors
    /// The proxy in the settings or in the environment is not a URL.
    pub fn new(access: &Access, options: Options) -> Result<Self, Error> {
        Proxies::new(&access.network, &options.env)?;
        Ok(Self(Arc::new(Shared {
            access: access.clone(),
            options: Arc::new(options),
            registries: Mutex::default(),
            subjects: Mutex::default(),
            uploads: TaskTracker::new(),
        })))
    }

    pub(crate) async fn registry(&self, repository: &Repository) -> Result<Arc<Registry>, Error> {
        let Shared { access, options, registries, uploads, .. } = &*self.0;
        let key = (repository.host().clone(), access.position(repository));
        let place = registries.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        let new = async || {
            let settings = access.settings(repository);
            let host = repository.host().clone();
            Registry::new(host, settings, &access.network, options.clone(), uploads.clone()).await.map(Arc::new)
        };
        place.get_or_try_init(new).await.cloned()
    }

    pub(crate) fn registries(&self) -> &Mutex<HashMap<(Host, Option<usize>), Place>> {
        &self.0.registries
    }

    pub(crate) fn uploads(&self) -> &TaskTracker {
        &self.0.uploads
    }

    /// What the registry of `repository` turned out to be able to do, without what its settings say not to try.
    ///
    /// # Errors
    /// Its settings name what cannot be read. Nothing is asked.
    pub async fn capabilities(&self, repository: &Repository) -> Result<Capabilities, Error> {
        Ok(self.registry(repository).await?.learned.get())
    }

    /// What was learned of the registry of `repository`, to be kept for [`Client::recall`]; none if nothing was.
    ///
    /// # Errors
    /// As [`capabilities`](Self::capabilities).
    pub async fn learned(&self, repository: &Repository) -> Result<Option<String>, Error> {
        Ok(self.registry(repository).await?.learned.text())
    }

    /// Takes over what [`Client::learned`] gave before, perhaps of another time: hints that save requests, each of
    /// which is found out if it is wrong.
    ///
    /// # Errors
    /// As [`capabilities`](Self::capabilities).
    pub async fn recall(&self, repository: &Repository, learned: &str) -> Result<(), Error> {
        self.registry(repository).await?.learned.recall(learned);
        Ok(())
    }

    /// Whether the registry of `repository` counts manifests that are read, so that a `HEAD` is to be preferred.
    ///
    /// # Errors
    /// Its settings name what cannot be read. Nothing is asked.
    pub async fn counts_pulls(&self, repository: &Repository) -> Result<bool, Error> {
        let learned = &self.registry(repository).await?.learned;
        if self.budget(repository).await?.pulls.is_some() {
            learned.note(|known| known.counts_pulls = true);
        }
        Ok(learned.get().counts_pulls || *repository.host() == Host::docker_hub())
    }

    /// Where else the same content is found, by the settings.
    pub fn alternatives(&self, repository: &Repository) -> Vec<Repository> {
        let alternatives = self.0.access.settings(repository).map(|settings| settings.alternatives.iter());
        alternatives.into_iter().flatten().filter_map(|alternative| alternative.of(repository)).collect()
    }

    /// The lock of whoever changes the referrers of `subject`. Given back by dropping it.
    pub(crate) fn subject(&self, repository: &Repository, subject: &Digest) -> Lock {
        let mut subjects = self.0.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        subjects.retain(|_, lock| Arc::strong_count(lock) > 1);
        subjects.entry((repository.clone(), subject.clone())).or_default().clone()
    }
}

impl fmt::Debug for Client {
    /// Without the settings: the URL of a proxy may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::{BlobSource, Progress};
    use proto::{Descriptor, Manifest, Reference};

    /// Compiles only if every verb can run in a task of its own.
    #[test]
    fn the_verbs_can_be_spawned() {
        fn spawnable<T: Send>(_: T) {}
        async fn all(
            c: Client,
            r: Repository,
            t: Reference,
            d: Descriptor,
            m: Manifest,
            s: &dyn BlobSource,
            p: Progress,
        ) {
            let _ = c.head_manifest(&r, &t).await;
            let _ = c.put_manifest(&r, &t, &m).await;
            let _ = c.referrers(&r, &d.digest).await;
            let _ = c.tags(&r).await;
            let _ = c.push_blob(&r, &d, None, s, &p).await;
            let _ = c.read_blob(&r, &d).await.map(|stream| stream.bytes(0));
        }
        fn check(c: Client, r: Repository, t: Reference, d: Descriptor, m: Manifest, s: &dyn BlobSource, p: Progress) {
            spawnable(all(c, r, t, d, m, s, p));
        }
        let _ = check;
    }
}
