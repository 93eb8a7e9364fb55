//! A job between real registries: afterwards the destination is the same as the source to clients of others.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use proto::Digest;
use sandbox::{Store, content};

use super::outside::Reader;
use super::server::Server;
use super::skopeo;
use crate::support::{Workshop, totals};

/// Repositories of the source, and tags of each besides those of signatures.
const REPOSITORIES: u64 = 2;
const TAGS: u64 = 9;

/// Clients of others at work at once.
const AT_ONCE: usize = 4;

/// How a registry keeps the lists of what refers to an image.
#[derive(Clone, Copy, PartialEq)]
enum Referrers {
    Api,
    FallbackTag,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_registry_is_mirrored_into_another_that_wants_a_password() {
    let servers = tokio::join!(Server::start("docker-registry"), Server::start_with_password("docker-registry"));
    mirror(servers, Referrers::FallbackTag).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_registry_is_mirrored_into_distribution_v3() {
    let servers = tokio::join!(Server::start("docker-registry"), Server::start("registry"));
    mirror(servers, Referrers::FallbackTag).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_registry_is_mirrored_into_olareg_which_lists_referrers_itself() {
    let servers = tokio::join!(Server::start("docker-registry"), Server::start("olareg"));
    mirror(servers, Referrers::Api).await;
}

async fn mirror(servers: (Option<Server>, Option<Server>), referrers: Referrers) {
    let (Some(source), Some(destination)) = servers else { return };
    if !skopeo::is_here().await {
        return;
    }
    let workshop = Workshop::new();
    let content = seed(&workshop, &source).await;
    let from = source.host.as_str();
    workshop.job(&format!(
        "version: 1\nto: {}/mirror/{{path}}\nimages:\n{}registries:\n{}{}",
        destination.host,
        lines(&content, from),
        source.settings(),
        destination.settings(),
    ));
    workshop.program(&["run", "job.yaml"]).await.expect(0);
    let all = REPOSITORIES * TAGS;
    assert_eq!(totals(&workshop.report().await), format!("{all} pushed"));

    same_to_skopeo(&content, &source, &destination, referrers).await;
    readable_by_others(&content, &destination).await;

    workshop.program(&["run", "job.yaml"]).await.expect(0);
    assert_eq!(totals(&workshop.report().await), format!("{all} up_to_date"));
}

/// Fills a real registry through its API with all forms of images; what it then has.
async fn seed(workshop: &Workshop, server: &Server) -> Store {
    let made = sandbox::Registry::builder().start().await.unwrap();
    content::fill(made.store(), REPOSITORIES, TAGS);
    assert!(made.store().repositories().iter().all(|repository| !sboms(made.store(), repository).is_empty()));
    let images = lines(made.store(), &made.host());
    let settings = server.settings();
    workshop.write(
        "seed.yaml",
        &format!("version: 1\nto: {}/{{path}}\nimages:\n{images}registries:\n{settings}", server.host),
    );
    workshop.program(&["run", "seed.yaml"]).await.expect(0);
    made.store().clone()
}

/// All repositories, as lines of a job file.
fn lines(content: &Store, host: &str) -> String {
    content.repositories().iter().map(|repository| format!("  {host}/{repository}: \"*\"\n")).collect()
}

/// Both sides list the same tags, and show the same bytes under each.
async fn same_to_skopeo(content: &Store, source: &Server, destination: &Server, referrers: Referrers) {
    for repository in content.repositories() {
        let mut expected = skopeo::tags(source, &repository).await;
        if referrers == Referrers::Api {
            expected.retain(|tag| !is_fallback(tag));
        }
        assert_eq!(skopeo::tags(destination, &format!("mirror/{repository}")).await, expected);
    }
    let tags = stream::iter(content.tags()).map(async |((repository, tag), digest)| {
        let name = format!("{repository}:{tag}");
        let copied = format!("mirror/{name}");
        let (theirs, ours) = tokio::join!(skopeo::raw(source, &name), skopeo::raw(destination, &copied));
        assert_eq!((Digest::of(&theirs), &theirs), (digest, &ours), "{name}");
    });
    tags.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Whether it is a list of referrers, and no signature: `sha256-<hex>` and nothing more.
fn is_fallback(tag: &str) -> bool {
    tag.starts_with("sha256-") && !tag.contains('.')
}

/// Another client reads every manifest, every blob, and what refers to the images, with the right digests.
async fn readable_by_others(content: &Store, destination: &Server) {
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
fn sboms(content: &Store, repository: &str) -> BTreeMap<Digest, BTreeSet<Digest>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for (digest, manifest) in content.manifests(repository) {
        let document: serde_json::Value = serde_json::from_slice(&manifest.raw).unwrap();
        if let Some(subject) = document["subject"]["digest"].as_str() {
            found.entry(subject.parse().unwrap()).or_default().insert(digest);
        }
    }
    found
}
