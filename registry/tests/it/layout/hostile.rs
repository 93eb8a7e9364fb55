//! Layouts made to do harm: nothing outside of them is read or written, and no size is believed.

use std::os::unix::fs::symlink;

use super::*;

/// A file that a layout must not make us read, and the blob that it would be.
fn secret(folder: &Path) -> (std::path::PathBuf, Descriptor) {
    let path = folder.join("secret");
    fs::write(&path, "token").unwrap();
    (path, blob("layer", b"token".to_vec()).0)
}

fn blob_file(layout: &Path, digest: &Digest) -> std::path::PathBuf {
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    layout.join("blobs/sha256").join(digest.hex())
}

#[tokio::test]
async fn links_that_lead_out_of_the_folder_are_not_followed() {
    let folder = folder();
    let (secret, blob) = secret(folder.path());
    let root = folder.path().join("layout");
    let layout = Layout::create(&root).await.unwrap();
    symlink(&secret, blob_file(&root, &blob.digest)).unwrap();
    let error = layout.open(&blob).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(layout.blob_size(&blob.digest).await.is_err());

    fs::remove_file(root.join("index.json")).unwrap();
    symlink(&secret, root.join("index.json")).unwrap();
    assert_eq!(layout.resolve(None).await.unwrap_err().kind(), Kind::Unsupported);
    assert!(layout.set_name(Some(NAME), &blob).await.is_err());
    assert_eq!(fs::read_to_string(&secret).unwrap(), "token");
}

#[tokio::test]
async fn links_within_the_folder_are_followed() {
    let folder = folder();
    let layout = Layout::create(folder.path()).await.unwrap();
    let (blob, content) = blob("layer", b"content".to_vec());
    fs::write(folder.path().join("shared"), &content).unwrap();
    symlink("../../shared", blob_file(folder.path(), &blob.digest)).unwrap();
    assert_eq!(read(&layout, &blob).await.unwrap(), content);
}

#[tokio::test]
async fn nothing_is_written_through_a_link_that_leads_out() {
    let folder = folder();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let root = folder.path().join("layout");
    let layout = Layout::create(&root).await.unwrap();
    symlink(&outside, root.join("blobs")).unwrap();
    let (blob, content) = blob("layer", b"content".to_vec());
    let Err(PushError::Destination(error)) = push(&layout, &blob, &content).await else { panic!("it was written") };
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(entries(&outside), [""; 0]);
    assert_eq!(entries(&root), ["blobs", "index.json", "oci-layout"]);
}

#[tokio::test]
async fn a_pipe_in_place_of_a_blob_does_not_make_us_wait() {
    let folder = folder();
    let layout = Layout::create(folder.path()).await.unwrap();
    let (blob, _) = blob("layer", b"content".to_vec());
    assert!(Command::new("mkfifo").arg(blob_file(folder.path(), &blob.digest)).status().unwrap().success());
    assert_eq!(layout.open(&blob).await.err().unwrap().kind(), Kind::Io);
}

#[tokio::test]
async fn a_corrupt_blob_is_noticed_before_its_last_byte_is_handed_out() {
    let folder = folder();
    let layout = Layout::create(folder.path()).await.unwrap();
    let image = image(1, 700_000);
    write(&layout, &image, Some(NAME)).await;
    let layer = &image.blobs[1].0;
    damage(&layout, layer, |content| content[0] ^= 1);
    let mut stream = layout.open(layer).await.unwrap();
    let mut passed = 0;
    let error = loop {
        match stream.next().await.map(Option::unwrap) {
            Ok(chunk) => passed += chunk.len() as u64,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(passed < layer.size);

    damage(&layout, layer, |content| content.truncate(1000));
    assert_eq!(layout.blob_size(&layer.digest).await.unwrap(), Some(1000));
    assert_eq!(layout.open(layer).await.err().unwrap().kind(), Kind::Corrupt);
    damage(&layout, &image.manifest.descriptor(), |content| content.push(b' '));
    assert_eq!(layout.manifest(&image.manifest.digest).await.unwrap_err().kind(), Kind::Corrupt);
}

#[tokio::test]
async fn a_manifest_that_is_damaged_does_not_stop_the_images_beside_it() {
    let folder = folder();
    let layout = Layout::create(folder.path()).await.unwrap();
    let (good, bad) = (image(1, 10), image(2, 10));
    write(&layout, &good, Some(NAME)).await;
    write(&layout, &bad, Some("quay.io/bad:1")).await;
    write(&layout, &sbom(&good.manifest), None).await;
    damage(&layout, &bad.manifest.descriptor(), Vec::clear);
    assert_eq!(layout.referrers(&good.manifest.digest).await.unwrap().len(), 1);
}

#[tokio::test]
async fn folders_that_are_no_layouts_are_refused_with_the_reason() {
    let folder = folder();
    let root = folder.path();
    assert_eq!(Layout::open_folder(root.join("none")).await.err().unwrap().kind(), Kind::NotFound);
    let error = Layout::open_folder(root).await.err().unwrap();
    assert!(error.kind() == Kind::NotFound && error.to_string().contains("no file `oci-layout`"), "{error}");
    let refused = async |why: &str| {
        let error = Layout::open_folder(root).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains(why), "{error}");
    };
    fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    refused("version `2.0.0`").await;
    fs::write(root.join("oci-layout"), " ".repeat(5000)).unwrap();
    refused("5000 bytes").await;
    fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let layout = Layout::open_folder(root).await.unwrap();
    assert!(layout.names().await.unwrap_err().to_string().contains("no file `index.json`"));
    File::create(root.join("index.json")).unwrap().set_len(1 << 40).unwrap();
    assert!(layout.names().await.unwrap_err().to_string().contains("allowed"));
    fs::write(root.join("index.json"), "[").unwrap();
    assert!(layout.names().await.unwrap_err().to_string().contains("not readable"));
}
