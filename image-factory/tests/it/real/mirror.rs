//! A job between real registries: afterwards the destination is the same as the source to clients of others.

use futures_util::{StreamExt, stream};
use proto::Digest;
use sandbox::{Layer, Store, content};

use super::outside::{readable_by_others, sboms};
use super::server::Server;
use super::skopeo;
use crate::support::{Workshop, totals};

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
    let servers = Server::start_beside(Server::start_with_password("docker-registry")).await;
    mirror(servers, Referrers::FallbackTag).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_registry_is_mirrored_into_distribution_v3() {
    let servers = Server::start_beside(Server::start("registry")).await;
    mirror(servers, Referrers::FallbackTag).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_registry_is_mirrored_into_olareg_which_lists_referrers_itself() {
    let servers = Server::start_beside(Server::start("olareg")).await;
    mirror(servers, Referrers::Api).await;
}

async fn mirror(servers: Option<(Server, Server)>, referrers: Referrers) {
    let Some((source, destination)) = servers else { return };
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
    let all = content.tags().keys().filter(|(_, tag)| !tag.starts_with("sha256-")).count();
    assert_eq!(totals(&workshop.report().await), format!("{all} pushed"));

    same_to_skopeo(&content, &source, &destination, referrers).await;
    readable_by_others(&content, &destination).await;

    workshop.program(&["run", "job.yaml"]).await.expect(0);
    assert_eq!(totals(&workshop.report().await), format!("{all} up_to_date"));
}

/// Fills a real registry through its API with all forms of images; what it then has.
async fn seed(workshop: &Workshop, server: &Server) -> Store {
    let made = sandbox::Registry::builder().start().await.unwrap();
    content::fill(made.store(), 1, 9);
    assert_eq!(sboms(made.store(), "library/app-00").len(), 2);
    // The same blobs in a second repository: they can be mounted.
    made.store().put_image("team/app", Some("latest"), &content::image(0).layer(&Layer::new(u64::MAX, 20_000)).build());
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
