//! Looks at a registry for a person who wonders why it does not work: step by step, each with its own outcome.

use proto::ImageRef;

use crate::capabilities::Capabilities;
use crate::client::Client;
use crate::error::Error;
use crate::manifests::ManifestHead;
use crate::tls::TlsFacts;

/// What a look at a registry found. Names no secret.
#[derive(Debug)]
pub struct Check {
    /// Where it was reached, as in `https://registry-1.docker.io/v2/`.
    pub url: String,
    /// What the TLS handshake showed; none over plain HTTP.
    pub tls: Option<TlsFacts>,
    /// How it wants requests to be authorized: `none`, `Basic`, or ``Bearer from `HOST` ``.
    pub auth: String,
    /// Where the credentials for it come from; none if there are none.
    pub credentials: Result<Option<String>, Error>,
    /// Whether the image may be read, and what it is; `Ok(None)` if it may, but is not there.
    pub pull: Result<Option<ManifestHead>, Error>,
    /// Whether the repository may be written: an upload was opened, and cancelled. None if that was not asked.
    pub push: Option<Result<(), Error>>,
    /// What it turned out to be able to do.
    pub capabilities: Capabilities,
}

impl Client {
    /// Looks at the registry of `image`: reachable, TLS, credentials, the right to pull and, if asked, to push. Writes
    /// nothing that stays.
    ///
    /// # Errors
    /// It was not reached at all (settings, name, network, TLS); what failed after that is in the [`Check`].
    pub async fn check(&self, image: &ImageRef, push: bool) -> Result<Check, Error> {
        let repository = &image.repository;
        let registry = self.registry(repository).await?;
        let base = registry.base().await?;
        let credentials =
            registry.auth.credentials(repository.path()).await.map(|found| found.map(|found| found.origin));
        let pull = self.head_manifest(repository, &image.reference()).await;
        if let Ok(Some(head)) = &pull {
            // Only to learn whether it can; what it answers is of no interest, and an error neither.
            let _ = self.referrers(repository, &head.digest).await;
        }
        let push = if push { Some(self.try_upload(repository).await) } else { None };
        Ok(Check {
            url: base.to_string(),
            tls: registry.tls_seen.facts().filter(|_| base.scheme() == "https"),
            auth: registry.auth.scheme_name(),
            credentials,
            pull,
            push,
            capabilities: registry.learned.get(),
        })
    }
}
