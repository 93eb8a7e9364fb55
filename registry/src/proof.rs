//! Whether a registry refuses manifests that name what it lacks: asked once, with one that names nothing there is.

use proto::manifest::media_type;
use proto::{Digest, Manifest, Reference, Repository};
use reqwest::Method;
use serde_json::json;

use crate::client::Client;
use crate::error::{Error, Kind};
use crate::transport::{Purpose, Registry};
use crate::wire::Request;

impl Client {
    /// Whether the registry of `repository` is proven to refuse manifests that name what it lacks, and to say what that
    /// is. Then a manifest that it takes is whole, and nobody need ask for its parts.
    ///
    /// The first call puts a manifest by digest that names a blob which cannot be there. A registry that takes it is
    /// asked to delete it again.
    ///
    /// # Errors
    /// The registry cannot be reached at all. That it refuses for another reason is no proof, and no error.
    pub async fn verifies(&self, repository: &Repository) -> Result<bool, Error> {
        let registry = self.registry(repository).await?;
        if let Some(known) = registry.learned.get().verifies {
            return Ok(known);
        }
        let _one_asks = registry.proof.lock().await;
        if let Some(known) = registry.learned.get().verifies {
            return Ok(known);
        }
        let verifies = self.try_to_put_what_is_not_there(&registry, repository).await?;
        if let Some(verifies) = verifies {
            registry.learned.note(|known| known.verifies = Some(verifies));
        }
        Ok(verifies == Some(true))
    }

    /// None where the answer says nothing about it.
    async fn try_to_put_what_is_not_there(
        &self,
        registry: &Registry,
        repository: &Repository,
    ) -> Result<Option<bool>, Error> {
        let (manifest, absent) = impossible()?;
        let names_all = |error: &Error| absent.iter().all(|digest| error.missing().contains(digest));
        let name = Reference::Digest(manifest.digest.clone());
        match self.put_only(repository, &name, &manifest).await {
            Ok(_) => {
                tracing::debug!(%repository, "manifests are taken that name what is not there");
                let path = format!("/v2/{}/manifests/{name}", repository.path());
                let delete = Request::new(Method::DELETE, registry.url(&path).await?);
                // Left behind, it has no name, and nothing leads to it.
                let _ = registry.call_once(&delete, &Purpose::push(repository)).await;
                Ok(Some(false))
            }
            Err(error) if names_all(&error) => Ok(Some(true)),
            Err(error) if error.kind() == Kind::Refused => Ok(Some(false)),
            Err(error) if error.kind() == Kind::Unavailable && error.status().is_none() => Err(error),
            Err(_) => Ok(None),
        }
    }
}

/// An image whose two blobs have digests that no content was made for, and these digests: one that names only the first
/// that it lacks does not help.
fn impossible() -> Result<(Manifest, [Digest; 2]), Error> {
    let failed = || Error::new(Kind::Internal, "make a manifest that cannot be whole");
    let absent = [(); 2].map(|()| Digest::of(&fastrand::u128(..).to_le_bytes()));
    let blob = |media_type, digest: &Digest| json!({ "mediaType": media_type, "digest": digest.as_str(), "size": 16 });
    let document = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": blob("application/vnd.oci.image.config.v1+json", &absent[0]),
        "layers": [blob("application/vnd.oci.image.layer.v1.tar+gzip", &absent[1])],
    });
    let manifest = Manifest::parse(document.to_string().into(), None).map_err(|error| failed().caused_by(error))?;
    Ok((manifest, absent))
}
