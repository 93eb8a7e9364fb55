//! `oci-client`, a client that no one here wrote: reads an image with all that is below it, and checks every digest.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use oci_client::client::{Certificate, CertificateEncoding, ClientConfig};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use proto::Digest;
use sandbox::Store;
use serde_json::Value;

use super::server::{PASSWORD, Server, USER};

/// Asked for in this order, as most clients do.
const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Pulls at once.
const AT_ONCE: usize = 4;

/// An outside reader of one registry.
struct Reader<'a> {
    server: &'a Server,
    client: Client,
    auth: RegistryAuth,
}

impl<'a> Reader<'a> {
    fn new(server: &'a Server) -> Self {
        // Another test may have been first; any one will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = Certificate { encoding: CertificateEncoding::Pem, data: std::fs::read(server.ca()).unwrap() };
        let client = Client::new(ClientConfig { extra_root_certificates: vec![ca], ..ClientConfig::default() });
        let auth = match server.login() {
            Some(_) => RegistryAuth::Basic(USER.to_owned(), PASSWORD.to_owned()),
            None => RegistryAuth::Anonymous,
        };
        Self { server, client, auth }
    }

    /// Pulls what `reference` shows, which must be `expected`: its manifest, those below it, and all their blobs.
    /// Returns the digests of the blobs.
    async fn pull(&self, repository: &str, reference: &str, expected: &Digest) -> BTreeSet<String> {
        let image = self.reference(repository, reference);
        let (raw, digest) = self.client.pull_manifest_raw(&image, &self.auth, &ACCEPTED).await.unwrap();
        assert_eq!((&Digest::of(&raw), digest.as_str()), (expected, expected.as_str()), "{image}");
        let manifest: Value = serde_json::from_slice(&raw).unwrap();
        let mut blobs = BTreeSet::new();
        for blob in list(&manifest["layers"]).chain(manifest.get("config")) {
            let (digest, mut content) = (text(&blob["digest"]), Vec::new());
            self.client.pull_blob(&image, digest, &mut content).await.unwrap();
            assert_eq!(content.len() as u64, blob["size"].as_u64().unwrap(), "{image} {digest}");
            blobs.insert(digest.to_owned());
        }
        for child in list(&manifest["manifests"]) {
            let digest: Digest = text(&child["digest"]).parse().unwrap();
            blobs.append(&mut Box::pin(self.pull(repository, digest.as_str(), &digest)).await);
        }
        blobs
    }

    /// Pulls what refers to `subject`, found by the API or by the fallback tag. Returns the digests.
    async fn pull_referrers(&self, repository: &str, subject: &Digest) -> BTreeSet<Digest> {
        let image = self.reference(repository, subject.as_str());
        let index = self.client.pull_referrers(&image, None).await.unwrap();
        let mut digests = BTreeSet::new();
        for entry in index.manifests {
            let digest: Digest = entry.digest.parse().unwrap();
            assert!(!self.pull(repository, digest.as_str(), &digest).await.is_empty());
            digests.insert(digest);
        }
        digests
    }

    fn reference(&self, repository: &str, reference: &str) -> Reference {
        let (host, repository) = (self.server.host.clone(), repository.to_owned());
        if reference.contains(':') {
            Reference::with_digest(host, repository, reference.to_owned())
        } else {
            Reference::with_tag(host, repository, reference.to_owned())
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Reads below `mirror/` every manifest, every blob and every referrer of `content`, with the right digests.
pub(crate) async fn readable_by_others(content: &Store, destination: &Server) {
    let reader = Reader::new(destination);
    let pulls = stream::iter(content.tags()).map(async |((repository, tag), digest)| {
        let copied = format!("mirror/{repository}");
        let blobs = reader.pull(&copied, &tag, &digest).await;
        // Only where there are some: olareg's empty list is `null`, which this client does not read.
        if let Some(expected) = sboms(content, &repository).remove(&digest) {
            assert_eq!(reader.pull_referrers(&copied, &digest).await, expected, "{repository}:{tag}");
        }
        blobs
    });
    let read: Vec<_> = pulls.buffer_unordered(AT_ONCE).collect().await;
    assert!(read.iter().all(|blobs| !blobs.is_empty()), "{read:?}");
}

/// What refers to each manifest of a repository: of four images one has an SBOM.
pub(crate) fn sboms(content: &Store, repository: &str) -> BTreeMap<Digest, BTreeSet<Digest>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for (digest, manifest) in content.manifests(repository) {
        let document: serde_json::Value = serde_json::from_slice(&manifest.raw).unwrap();
        if let Some(subject) = document["subject"]["digest"].as_str() {
            found.entry(subject.parse().unwrap()).or_default().insert(digest);
        }
    }
    found
}
