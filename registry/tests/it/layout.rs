//! Layouts in folders: what is written is read back, by us and by others, whatever happens in between.

mod archive;
mod hostile;
mod writers;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use proto::manifest::media_type;
use proto::{Descriptor, Digest, Manifest};
use registry::{BlobSource, Error, Kind, Layout, Progress, PushError};
use serde_json::{Value, json};
use tempfile::TempDir;

const NAME: &str = "docker.io/library/alpine:3.22";

/// An image: a manifest with odd white space, its config and a layer of several chunks.
struct Image {
    manifest: Manifest,
    blobs: Vec<(Descriptor, Bytes)>,
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn blob(media_type: &str, content: Vec<u8>) -> (Descriptor, Bytes) {
    (Descriptor::new(media_type, Digest::of(&content), content.len() as u64), content.into())
}

fn reference(descriptor: &Descriptor) -> Value {
    json!({ "mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size })
}

fn parse(document: &Value) -> Manifest {
    Manifest::parse(format!(" {document:#}\n").into(), None).unwrap()
}

/// An image of `size` bytes that differs from those of other seeds.
fn image(seed: u8, size: usize) -> Image {
    let layer: Vec<u8> = (0..size).map(|i| (i % 251) as u8 ^ seed).collect();
    let diff_id = Digest::of(&layer);
    let config = json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [diff_id] },
    });
    let config = blob("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
    let layer = blob("application/vnd.oci.image.layer.v1.tar", layer);
    let manifest = parse(&json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": reference(&config.0), "layers": [reference(&layer.0)],
    }));
    Image { manifest, blobs: vec![config, layer] }
}

/// A referrer of `subject`, without content to speak of.
fn sbom(subject: &Manifest) -> Image {
    let empty = blob("application/vnd.oci.empty.v1+json", b"{}".to_vec());
    let manifest = parse(&json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": "application/spdx+json",
        "config": reference(&empty.0), "layers": [], "subject": reference(&subject.descriptor()),
        "annotations": { "made": "by hand" },
    }));
    Image { manifest, blobs: vec![empty] }
}

/// Writes a blob that is in memory.
async fn push(layout: &Layout, blob: &Descriptor, content: &Bytes) -> Result<(), PushError> {
    layout.push_blob(blob, content, &unwatched()).await
}

fn unwatched() -> Progress {
    Arc::new(|_| {})
}

async fn write(layout: &Layout, image: &Image, name: Option<&str>) {
    for (blob, content) in &image.blobs {
        push(layout, blob, content).await.unwrap();
    }
    layout.put_manifest(&image.manifest).await.unwrap();
    if name.is_some() || image.manifest.subject.is_none() {
        layout.set_name(name, &image.manifest.descriptor()).await.unwrap();
    }
}

async fn read(layout: &Layout, blob: &Descriptor) -> Result<Bytes, Error> {
    layout.open(blob).await?.bytes(u64::MAX).await
}

async fn assert_holds(layout: &Layout, image: &Image) {
    let manifest = layout.manifest(&image.manifest.digest).await.unwrap();
    assert_eq!(manifest.raw, image.manifest.raw);
    for (blob, content) in &image.blobs {
        assert_eq!(layout.blob_size(&blob.digest).await.unwrap(), Some(blob.size));
        assert_eq!(read(layout, blob).await.unwrap(), *content);
    }
}

async fn digest_of(layout: &Layout, name: Option<&str>) -> Option<Digest> {
    layout.resolve(name).await.unwrap().map(|found| found.digest)
}

/// Everything that lies in `folder` itself.
fn entries(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[expect(clippy::explicit_write, reason = "`eprintln!` is captured, and the runner counts these lines")]
fn skip(test: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED {test}: {why}").unwrap();
}

#[tokio::test]
async fn a_name_with_a_digest_is_that_digest_whatever_the_tag_shows_by_now() {
    let folder = folder();
    let layout = Layout::create(folder.path()).await.unwrap();
    let (before, after) = (image(1, 10), image(2, 10));
    write(&layout, &before, Some(NAME)).await;
    write(&layout, &after, Some(NAME)).await;
    let pinned = format!("{NAME}@{}", before.manifest.digest);
    assert_eq!(digest_of(&layout, Some(&pinned)).await, Some(before.manifest.digest));
    assert_eq!(digest_of(&layout, Some(NAME)).await, Some(after.manifest.digest));
    assert_eq!(digest_of(&layout, Some(&format!("{NAME}@{}", Digest::of(b"nothing")))).await, None);
}

#[tokio::test]
async fn an_image_comes_back_byte_for_byte() {
    let folder = folder();
    let layout = Layout::create(folder.path().join("new/layout")).await.unwrap();
    let mut image = image(1, 700_000);
    image.blobs.push(blob("empty", Vec::new()));
    write(&layout, &image, Some(NAME)).await;
    assert_holds(&layout, &image).await;
    let again = Layout::open_folder(layout.path()).await.unwrap();
    assert_holds(&again, &image).await;
    assert_eq!(digest_of(&again, Some(NAME)).await, Some(image.manifest.digest));
    assert_eq!(entries(layout.path()), ["blobs", "index.json", "oci-layout"]);
}

#[tokio::test]
async fn images_are_found_by_reference_bare_tag_digest_and_as_the_only_one() {
    let folder = folder();
    let layout = Layout::create(folder.path()).await.unwrap();
    assert_eq!(digest_of(&layout, None).await, None);
    let image = image(1, 10);
    write(&layout, &image, Some(NAME)).await;
    write(&layout, &sbom(&image.manifest), None).await;
    let signature = format!("docker.io/library/alpine:sha256-{}.sig", image.manifest.digest.hex());
    write(&layout, &self::image(2, 10), Some(&signature)).await;
    let digest = image.manifest.digest.clone();
    for name in [None, Some(NAME), Some("3.22"), Some(digest.as_str())] {
        assert_eq!(digest_of(&layout, name).await.as_ref(), Some(&digest), "{name:?}");
    }
    assert_eq!(digest_of(&layout, Some("docker.io/library/alpine:3.2")).await, None);
    assert_eq!(layout.names().await.unwrap(), [NAME]);
}

#[tokio::test]
async fn an_ambiguous_name_is_an_error_that_names_some() {
    let folder = folder();
    let layout = Layout::create(folder.path()).await.unwrap();
    for seed in 0..6 {
        write(&layout, &image(seed, 10), Some(&format!("quay.io/app{seed}:1"))).await;
    }
    for name in [None, Some("1")] {
        let error = layout.resolve(name).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("6 images") && text.contains("quay.io/app3:1, …"), "{text}");
        assert!(error.hint().unwrap().contains("oci:PATH:NAME"));
    }
    let error = layout.set_name(None, &image(7, 10).manifest.descriptor()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
}

#[tokio::test]
async fn an_image_without_a_name_is_the_only_one_and_no_second_joins_it() {
    let folder = folder();
    let layout = Layout::create(folder.path()).await.unwrap();
    let image = image(1, 10);
    write(&layout, &image, None).await;
    write(&layout, &sbom(&image.manifest), None).await;
    write(&layout, &image, None).await;
    assert_eq!(digest_of(&layout, None).await.as_ref(), Some(&image.manifest.digest));
    let error = layout.set_name(None, &self::image(2, 10).manifest.descriptor()).await.unwrap_err();
    assert!(error.to_string().contains("needs a name"), "{error}");
}

#[tokio::test]
async fn a_referrer_is_found_by_its_subject_whoever_wrote_it() {
    let folder = folder();
    let layout = Layout::create(folder.path()).await.unwrap();
    let image = image(1, 10);
    let sbom = sbom(&image.manifest);
    write(&layout, &image, Some(NAME)).await;
    write(&layout, &sbom, None).await;
    let found = layout.referrers(&image.manifest.digest).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest, sbom.manifest.digest);
    assert_eq!(found[0].artifact_type.as_deref(), Some("application/spdx+json"));
    assert_eq!(found[0].annotations["made"], "by hand");
    assert_eq!(layout.referrers(&sbom.manifest.digest).await.unwrap(), []);

    // Other tools list referrers in an index under a tag made of the subject's digest.
    let list = parse(&json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
        "manifests": [reference(&sbom.manifest.descriptor())],
    }));
    let tag = format!("sha256-{}", sbom.manifest.digest.hex());
    write(&layout, &Image { manifest: list, blobs: Vec::new() }, Some(&tag)).await;
    assert_eq!(layout.referrers(&sbom.manifest.digest).await.unwrap().len(), 1);
}

#[tokio::test]
async fn content_that_is_not_what_was_announced_is_never_kept() {
    let folder = folder();
    let layout = Layout::create(folder.path()).await.unwrap();
    let (blob, content) = blob("layer", vec![7; 5000]);
    let mut flipped = content.to_vec();
    flipped[4999] ^= 1;
    for wrong in [content.slice(..4999), [&content[..], b"x"].concat().into(), flipped.into()] {
        let refused = push(&layout, &blob, &wrong).await.unwrap_err();
        assert!(matches!(&refused, PushError::Source(error) if error.kind() == Kind::Corrupt), "{refused:?}");
    }
    assert_eq!(layout.blob_size(&blob.digest).await.unwrap(), None);
    assert_eq!(entries(folder.path()), ["index.json", "oci-layout"]);
}

#[tokio::test]
async fn a_layer_goes_from_layout_to_layout_in_pieces_and_its_bytes_are_counted() {
    let folder = folder();
    let source = Layout::create(folder.path().join("a")).await.unwrap();
    let target = Layout::create(folder.path().join("b")).await.unwrap();
    let image = image(1, 700_000);
    write(&source, &image, Some(NAME)).await;
    let (pieces, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let progress: Progress = Arc::new({
        let (pieces, bytes) = (pieces.clone(), bytes.clone());
        move |count| {
            pieces.fetch_add(1, Ordering::Relaxed);
            bytes.fetch_add(count, Ordering::Relaxed);
        }
    });
    let (layer, content) = &image.blobs[1];
    target.push_blob(layer, &source, &progress).await.unwrap();
    assert_eq!(read(&target, layer).await.unwrap(), content);
    assert_eq!(bytes.load(Ordering::Relaxed), 700_000);
    assert!(pieces.load(Ordering::Relaxed) > 3);

    damage(&source, layer, |content| content[0] ^= 1);
    let refused = target.push_blob(layer, &source, &unwatched()).await.unwrap_err();
    assert!(matches!(&refused, PushError::Source(error) if error.kind() == Kind::Corrupt), "{refused:?}");
    assert_eq!(read(&target, layer).await.unwrap(), content);
    assert_eq!(entries(target.path()), ["blobs", "index.json", "oci-layout"]);
}

/// Changes a blob on disk.
fn damage(layout: &Layout, blob: &Descriptor, change: impl FnOnce(&mut Vec<u8>)) {
    let path = layout.path().join("blobs/sha256").join(blob.digest.hex());
    let mut content = fs::read(&path).unwrap();
    change(&mut content);
    fs::write(path, content).unwrap();
}
