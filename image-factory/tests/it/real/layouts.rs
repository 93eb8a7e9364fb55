//! Layouts: what goes through one comes out unchanged, and skopeo reads ours as we read its.

use std::path::Path;

use proto::Digest;
use sandbox::{Image, Registry, Store, content};

use super::outside::readable_by_others;
use super::server::Server;
use super::skopeo;
use crate::support::{Workshop, totals};

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_goes_through_a_layout_into_an_empty_registry_unchanged() {
    let Some(server) = Server::start("docker-registry").await else { return };
    if !skopeo::is_here().await {
        return;
    }
    let source = Registry::builder().start().await.unwrap();
    content::fill(source.store(), 1, 9);
    let from = source.host();
    let workshop = Workshop::new();
    workshop.job(&format!("version: 1\nto: oci:mirror\nimages:\n  {from}/library/app-00: \"*\"\n"));
    workshop.run().await.expect(0);
    assert_eq!(totals(&workshop.report().await), "9 pushed");
    workshop.run().await.expect(0);
    assert_eq!(totals(&workshop.report().await), "9 up_to_date");
    let mut read = 0;
    for ((repository, tag), digest) in source.store().tags() {
        // skopeo finds only what is of OCI's own types by its name in a layout.
        if !source.store().manifest(&repository, &digest).unwrap().media_type.contains("docker") {
            let name = format!("oci:{}:{from}/{repository}:{tag}", workshop.path().join("mirror").display());
            assert_eq!(Digest::of(&skopeo::run(&["inspect", "--raw", &name]).await), digest, "{name}");
            read += 1;
        }
    }
    assert_eq!(read, 9, "seven images of OCI's types and two signatures");

    let (store, settings) = (source.store().clone(), server.settings());
    drop(source);
    workshop.job(&format!(
        "version: 1\nto: {}/mirror/{{path}}\nimages:\n  oci:mirror:{from}/library/app-00: \"*\"\nregistries:\n{settings}",
        server.host
    ));
    workshop.program(&["run", "job.yaml"]).await.expect(0);
    assert_eq!(totals(&workshop.report().await), "9 pushed");
    readable_by_others(&store, &server).await;
}

/// An image for two platforms, with an SBOM, and a signature beside it, as `team/app:1.2`.
async fn signed() -> (Registry, Image) {
    let source = Registry::builder().start().await.unwrap();
    let image = content::multi_platform(1, &["linux/amd64", "linux/arm64"]);
    let image = image.clone().with_referrer(content::sbom(&image));
    source.store().put_image("team/app", Some("1.2"), &image);
    let signature = content::cosign_signature(&image);
    source.store().put_image("team/app", Some(&content::cosign_tag(&image.digest(), "sig")), &signature);
    (source, image)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_through_a_layout_or_an_archive_keeps_signature_and_sbom() {
    let (source, image) = signed().await;
    let origin = format!("{}/team/app:1.2", source.host());
    let workshop = Workshop::new();
    for place in ["oci:layout", "oci-archive:app.tar"] {
        let destination = Registry::builder().start().await.unwrap();
        workshop.program(&["copy", &origin, place]).await.expect(0);
        workshop.program(&["copy", place, &format!("{}/mirror/app:1.2", destination.host())]).await.expect(0);
        let arrived = destination.store();
        assert_eq!(arrived.manifests("mirror/app"), source.store().manifests("team/app"), "{place}");
        let signature = content::cosign_tag(&image.digest(), "sig");
        for tag in ["1.2", &signature] {
            assert_eq!(arrived.tag("mirror/app", tag), source.store().tag("team/app", tag), "{place} {tag}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_reads_what_we_wrote_and_we_copy_what_it_wrote() {
    if !skopeo::is_here().await {
        return;
    }
    let (source, image) = signed().await;
    let origin = format!("{}/team/app:1.2", source.host());
    let workshop = Workshop::new();
    let at = |name: &str| workshop.path().join(name).display().to_string();
    for (scheme, ours, theirs) in [("oci", "ours", "theirs"), ("oci-archive", "ours.tar", "theirs.tar")] {
        let written = format!("{scheme}:{}:{origin}", at(ours));
        workshop.program(&["copy", &origin, &format!("{scheme}:{ours}")]).await.expect(0);
        assert_eq!(skopeo::run(&["inspect", "--raw", &written]).await, image.raw, "{written}");

        let folder = format!("{scheme}-read");
        skopeo_copies(&written, &format!("dir:{}", at(&folder))).await;
        assert_holds(&workshop.path().join(&folder), &image);

        skopeo_copies(&written, &format!("{scheme}:{}:team/app:1.2", at(theirs))).await;
        let destination = Registry::builder().start().await.unwrap();
        let copied = format!("{}/mirror/app:1.2", destination.host());
        workshop.program(&["copy", &format!("{scheme}:{theirs}"), &copied]).await.expect(0);
        assert_has(destination.store(), "mirror/app", "1.2", &image);
    }
}

async fn skopeo_copies(from: &str, to: &str) {
    skopeo::run(&["--insecure-policy", "copy", "--quiet", "--all", "--preserve-digests", from, to]).await;
}

/// A folder that skopeo wrote holds the image's manifests and blobs, byte for byte.
fn assert_holds(folder: &Path, image: &Image) {
    assert_eq!(std::fs::read(folder.join("manifest.json")).unwrap(), image.raw);
    for child in &image.children {
        let name = format!("{}.manifest.json", child.digest().hex());
        assert_eq!(std::fs::read(folder.join(name)).unwrap(), child.raw);
        for (_, blob) in &child.blobs {
            assert_eq!(std::fs::read(folder.join(Digest::of(blob).hex())).unwrap(), *blob);
        }
    }
}

/// A registry shows the image under the tag, with its children and their blobs.
fn assert_has(store: &Store, repository: &str, tag: &str, image: &Image) {
    assert_eq!(store.tag(repository, tag), Some(image.digest()));
    for child in &image.children {
        assert_eq!(store.manifest(repository, &child.digest()).unwrap().raw, child.raw);
        for (_, blob) in &child.blobs {
            assert_eq!(store.blob(repository, &Digest::of(blob)).as_ref(), Some(blob));
        }
    }
}
