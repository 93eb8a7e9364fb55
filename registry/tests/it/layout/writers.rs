//! Several writers at once, killed writers, and a disk that is full.

use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use super::*;

#[tokio::test]
async fn writers_in_threads_keep_each_others_names() {
    let folder = folder();
    let image = image(1, 10);
    write(&Layout::create(folder.path()).await.unwrap(), &image, None).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (path, manifest) = (folder.path().to_owned(), image.manifest.descriptor());
        writers.spawn(async move {
            let layout = Layout::create(path).await.unwrap();
            for name in 0..10 {
                layout.set_name(Some(&format!("quay.io/a{writer}:{name}")), &manifest).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    assert_eq!(Layout::open_folder(folder.path()).await.unwrap().names().await.unwrap().len(), 40);
}

#[tokio::test]
async fn a_writer_waits_for_another_process_and_keeps_its_names() {
    let folder = folder();
    let layout = Layout::create(folder.path()).await.unwrap();
    let (ours, theirs) = (image(1, 10), image(2, 10));
    write(&layout, &theirs, Some("quay.io/theirs:1")).await;
    fs::rename(folder.path().join("index.json"), folder.path().join("theirs")).unwrap();
    layout.put_manifest(&ours.manifest).await.unwrap();

    let script = "echo held; read go; cp theirs index.json";
    let mut other = Command::new("flock")
        .args(["oci-layout", "sh", "-c", script])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = [0; 5];
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut held).unwrap();
    let descriptor = ours.manifest.descriptor();
    let waiting = tokio::spawn({
        let layout = layout.clone();
        async move { layout.set_name(Some("quay.io/ours:1"), &descriptor).await }
    });
    wait_until_locked_out(&folder.path().join("oci-layout")).await;
    other.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert!(other.wait().unwrap().success());
    waiting.await.unwrap().unwrap();
    assert_eq!(layout.names().await.unwrap(), ["quay.io/ours:1", "quay.io/theirs:1"]);
}

/// Waits until somebody waits for the lock of `path`: the kernel lists them with an arrow.
async fn wait_until_locked_out(path: &Path) {
    let inode = format!(":{} ", fs::metadata(path).unwrap().ino());
    let is_waited_for = || {
        let locks = fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains("->") && line.contains(&inode))
    };
    for _ in 0..1000 {
        if is_waited_for() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody waits for the lock");
}

#[tokio::test]
async fn what_a_killed_writer_left_is_swept_when_it_is_old() {
    let folder = folder();
    for (name, age) in [(".partial-old", 25), (".partial-young", 1), ("old-but-not-ours", 25)] {
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age * 3600)).unwrap();
    }
    Layout::create(folder.path()).await.unwrap();
    assert_eq!(entries(folder.path()), [".partial-young", "index.json", "oci-layout", "old-but-not-ours"]);
}

#[tokio::test]
async fn a_full_disk_is_a_clean_error_and_leaves_no_half_blob() {
    let Some(disk) = Disk::small() else {
        return skip("a_full_disk_is_a_clean_error_and_leaves_no_half_blob", "mount of a tmpfs was refused");
    };
    let layout = Layout::create(disk.path().join("layout")).await.unwrap();
    let fits = image(1, 300_000);
    write(&layout, &fits, Some(NAME)).await;
    let (blob, content) = blob("layer", vec![7; 2_000_000]);
    let Err(PushError::Destination(error)) = push(&layout, &blob, &content).await else { panic!("the blob fits") };
    assert_eq!(error.kind(), Kind::Io);
    assert!(error.hint().unwrap().contains("free space"), "{error:?}");
    assert_eq!(layout.blob_size(&blob.digest).await.unwrap(), None);
    assert_eq!(entries(layout.path()), ["blobs", "index.json", "oci-layout"]);
    assert_holds(&layout, &fits).await;
    write(&layout, &image(2, 300_000), Some("quay.io/other:1")).await;
}

/// A file system of 1 MiB, as long as this lives.
struct Disk(TempDir);

impl Disk {
    fn small() -> Option<Self> {
        let folder = folder();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}
