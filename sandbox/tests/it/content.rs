//! What is made from a seed can be read by tools that no one here wrote.

use std::collections::BTreeSet;
use std::process::Stdio;

use proto::Manifest;
use sandbox::content::Bench;
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

#[test]
fn the_source_of_the_bench_has_as_many_manifests_and_blobs_as_it_is_said_to_have() {
    let bench = Bench { divisor: 1024, ..Bench::new(40, 25) };
    let store = Store::new();
    bench.fill(&store);
    let manifests: usize = store.repositories().iter().map(|name| store.manifests(name).len()).sum();
    // 800 images, 200 indexes, and their 400 images.
    assert_eq!((store.tags().len(), manifests), (1_000, 1_400));
    let images: Vec<_> = bench.images(0).map(|at| at.image).collect();
    let blobs: BTreeSet<_> = images.iter().flat_map(content::Image::blob_digests).collect();
    // Three of all, two of each repository, and of each image its own layer and its configuration.
    assert_eq!(blobs.len(), 3 + 2 * 40 + 1_200 + 1_200);
    assert!(bench.images(0).flat_map(|at| at.blobs()).all(|(digest, bytes)| digest.matches(&bytes)));
    // A configuration and six layers.
    assert!(bench.images(0).all(|at| at.blobs().len() == 7 * at.image.children.len().max(1)));
}

#[test]
fn of_fifty_tags_of_the_bench_one_moves_to_an_image_with_a_layer_and_a_configuration_of_its_own() {
    let bench = Bench { divisor: 1024, ..Bench::new(40, 25) };
    let (store, again) = (Store::new(), Store::new());
    bench.fill(&store);
    bench.fill(&again);
    assert_eq!(store.tags(), again.tags());
    let before: BTreeSet<_> = bench.images(0).flat_map(|at| at.image.blob_digests()).collect();
    for generation in 1..3 {
        assert_eq!(bench.move_on(&again, generation), 20);
        let moved = store.tags().into_iter().filter(|(name, digest)| again.tags().get(name) != Some(digest)).count();
        assert_eq!(moved, 20, "of generation {generation}");
    }
    let indexes = bench.moved(1).filter(|at| !at.image.children.is_empty()).count();
    let after: BTreeSet<_> = bench.moved(1).flat_map(|at| at.image.blob_digests()).collect();
    let later: BTreeSet<_> = bench.moved(2).flat_map(|at| at.image.blob_digests()).collect();
    assert_eq!((indexes, after.difference(&before).count()), (4, 48));
    assert_eq!(later.difference(&after.union(&before).cloned().collect()).count(), 48);
}

#[test]
fn the_shape_of_the_bench_is_read_as_it_is_written() {
    for text in ["40x25", "500x20/64"] {
        assert_eq!(text.parse::<Bench>().unwrap().to_string(), text);
    }
    for text in ["40", "x", "0x1", "1x0", "1x1/0", "axb"] {
        assert!(text.parse::<Bench>().unwrap_err().contains("such as `40x25`"), "{text}");
    }
}
