//! What is made from a seed can be read by tools that no one here wrote.

use std::process::Stdio;

use proto::Manifest;
use sandbox::{Registry, Store, content};

use crate::help::say;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn skopeo_unpacks_and_copies_what_is_made_from_a_seed() {
    let runs = |arguments: Vec<String>| {
        tokio::process::Command::new("skopeo").args(arguments).stdin(Stdio::null()).kill_on_drop(true).output()
    };
    if runs(vec!["--version".into()]).await.is_err() {
        say("SKIPPED skopeo_unpacks_and_copies_what_is_made_from_a_seed: no skopeo");
        return;
    }
    let (source, destination) =
        (Registry::builder().start().await.unwrap(), Registry::builder().start().await.unwrap());
    let images = [
        ("oci", content::image(1).build()),
        ("docker", content::image(2).docker().build()),
        ("odd", content::image(3).oddly_formatted().build()),
        ("index", content::multi_platform(4, &["linux/amd64", "linux/arm/v7"])),
        ("list", content::docker_list(&[content::image(5).docker().build()])),
        ("signature", content::cosign_signature(&content::image(1).build())),
    ];
    for (tag, image) in &images {
        source.store().put_image("a", Some(tag), image);
        let (from, to) =
            (format!("docker://{}/a:{tag}", source.host()), format!("docker://{}/b:{tag}", destination.host()));
        let insecure = ["--src-tls-verify=false".into(), "--dest-tls-verify=false".into()];
        let arguments = ["copy".into(), "--all".into(), "--preserve-digests".into()].into_iter().chain(insecure);
        let copied = runs(arguments.chain([from, to]).collect()).await.unwrap();
        assert!(copied.status.success(), "{tag}: {}", String::from_utf8_lossy(&copied.stderr));
        assert_eq!(destination.store().tag("b", tag), Some(image.digest()), "{tag}");
        // Into Docker's archive every layer is unpacked and checked against its diff_id.
        let folder = tempfile::tempdir().unwrap();
        let archive = format!("docker-archive:{}:x/y:1", folder.path().join("image.tar").display());
        let from = format!("docker://{}/b:{tag}", destination.host());
        let platform = ["--override-os=linux".to_owned(), "--override-arch=amd64".to_owned()];
        if *tag != "signature" {
            let arguments = platform.into_iter().chain(["copy".into(), "--src-tls-verify=false".into(), from, archive]);
            let unpacked = runs(arguments.collect()).await.unwrap();
            assert!(unpacked.status.success(), "{tag}: {}", String::from_utf8_lossy(&unpacked.stderr));
        }
    }
}

#[test]
fn a_filled_store_is_the_same_every_time_and_whole() {
    let (store, again) = (Store::new(), Store::new());
    content::fill(&store, 3, 20);
    content::fill(&again, 3, 20);
    assert_eq!(store.tags(), again.tags());
    let plain = store.tags().into_keys().filter(|(_, tag)| !tag.starts_with("sha256-")).count();
    assert_eq!((store.repositories().len(), plain), (3, 60));
    let mut referrers = 0;
    for repository in store.repositories() {
        for stored in store.manifests(&repository).into_values() {
            let manifest = Manifest::parse(stored.raw, Some(&stored.media_type)).unwrap();
            assert!(manifest.blobs().all(|blob| store.has_blob(&repository, &blob.digest)));
            assert!(manifest.children().iter().all(|child| store.manifest(&repository, &child.digest).is_some()));
            referrers += usize::from(manifest.subject.is_some());
        }
    }
    assert_eq!(referrers, 15);
}

#[test]
fn images_of_one_seed_are_equal_and_of_different_seeds_share_nothing() {
    let digests = |seed| content::image(seed).build().blob_digests();
    assert_eq!(digests(1), digests(1));
    assert!(digests(1).iter().all(|digest| !digests(2).contains(digest)));
}
