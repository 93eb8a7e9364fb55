//! The destination takes a blob slowly, not at all, or has no room for it.

use std::path::Path;
use std::process::{Command, Stdio};

use sandbox::{Effect, Fault};
use tempfile::TempDir;

use super::{Row, TAG, tool};
use crate::support::{skip, totals};

/// More than sockets hold, so that who sends it sees whether it moves.
const LAYER: usize = 24_000_000;

const UPLOADS: &str = "/v2/mirror/app/blobs/uploads/";

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_stalls_is_begun_again() {
    let row = Row::with_layer(LAYER).await.with_uploads();
    let stall = row.destination.fault(Fault::on("PUT", UPLOADS, Effect::StallUpload { after: 100_000 }).times(1));
    row.arrives().await;
    assert_eq!(stall.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_always_stall_fail() {
    let mut row = Row::with_layer(LAYER).await.with_uploads();
    // There are many of them: each request is repeated, and so is the attempt.
    row.stall_timeout = "--stall-timeout=200ms";
    row.destination.fault(Fault::on("PUT", UPLOADS, Effect::StallUpload { after: 100_000 }));
    row.fails("destination_stalled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_that_moves_is_not_cut() {
    let row = Row::with_layer(LAYER).await.with_uploads();
    // Three seconds, three times the stall timeout.
    row.destination.fault(Fault::on("PUT", UPLOADS, Effect::SlowUpload(LAYER as u64 / 3)));
    row.arrives().await;
    let large = row.destination.requests().into_iter().filter(|request| request.bytes_in > LAYER as u64 / 2).count();
    assert_eq!((large, row.source.log().count("GET", &row.layer_path())), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_connection_breaks_is_begun_again() {
    let row = Row::with_layer(LAYER).await.with_uploads();
    let broken = row.destination.fault(Fault::on("PUT", UPLOADS, Effect::Close).times(1));
    row.arrives().await;
    assert_eq!(broken.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_fails_for_the_layout_and_the_registry_beside_it_gets_everything() {
    let Some(disk) = Disk::small() else {
        let test = "a_full_disk_fails_for_the_layout_and_the_registry_beside_it_gets_everything";
        return skip(test, "mount of a tmpfs was refused");
    };
    let mut row = Row::with_layer(3_000_000).await;
    row.to.push(format!("oci:{}", disk.0.path().join("layout").display()));
    row.images.pop();
    row.run(1).await;
    let report = row.workshop.report().await;
    assert_eq!(totals(&report), "1 failed");
    let ends: Vec<_> = (0..2).map(|n| &report["images"][0]["destinations"][n]["failure"]["code"]).collect();
    assert_eq!(ends.iter().filter_map(|code| code.as_str()).collect::<Vec<_>>(), ["destination_io"], "{report:#}");
    row.assert_whole("app", &row.app);

    // What was left of the room is still of use.
    row.images = vec![super::entry(&row.source, "tool", TAG)];
    row.run(0).await;
    row.assert_whole("tool", &tool());
}

/// A file system of 1 MiB, as long as this lives.
struct Disk(TempDir);

impl Disk {
    fn small() -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(folder.path()).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(folder))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let path: &Path = self.0.path();
        let _ = Command::new("umount").arg("--lazy").arg(path).status();
    }
}
