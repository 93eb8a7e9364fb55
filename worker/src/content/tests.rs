//! The content store between reservations that come and go, on a real disk.

use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::{FutureExt, future, poll};
use proto::Digest;
use registry::{BlobSource, BlobStream, Kind, PushError};

use super::*;

const LONG: Duration = Duration::from_secs(20);

/// A blob of `size` bytes, each of which is `byte`.
fn blob(byte: u8, size: usize) -> (Descriptor, Content) {
    let bytes = bytes::Bytes::from(vec![byte; size]);
    let content = Content { bytes, opened: AtomicUsize::new(0) };
    (Descriptor::new("t", Digest::of(&content.bytes), size as u64), content)
}

/// A source of one blob that counts how often it is opened.
struct Content {
    bytes: bytes::Bytes,
    opened: AtomicUsize,
}

impl Content {
    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl BlobSource for Content {
    async fn open(&self, blob: &Descriptor) -> Result<BlobStream, registry::Error> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        // Whoever is second comes while the first reads.
        tokio::task::yield_now().await;
        self.bytes.open(blob).await
    }
}

async fn store(folder: &Path, cap: u64) -> ContentStore {
    ContentStore::open(folder, cap).await.unwrap()
}

async fn reserve(store: &ContentStore, blobs: &[&Descriptor]) -> Result<Reservation, NoRoom> {
    store.reserve(blobs, LONG).await
}

async fn read(reservation: &Reservation, blob: &Descriptor, source: &Content) -> Result<(), PushError> {
    let cell = reservation.cell(blob).unwrap();
    let scratch = reservation.store.scratch();
    cell.get_or_try_init(async || scratch.read(blob, source, &(Arc::new(|_| {}) as _)).await).await?;
    let held = cell.get().unwrap().open(blob).await.unwrap().bytes(1_000).await.unwrap();
    assert_eq!(held, source.bytes);
    Ok(())
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn room_is_given_for_all_or_nothing_in_the_order_of_arrival() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 100).await;
    let [(a, _), (b, _), (c, _), (d, _)] = [blob(1, 60), blob(2, 40), blob(3, 40), blob(4, 10)];
    let first = reserve(&store, &[&a]).await.unwrap();
    let (large, small) = ([&b, &c], [&d]);
    let (mut second, mut third) = (pin!(reserve(&store, &large)), pin!(reserve(&store, &small)));
    assert!(poll!(&mut second).is_pending(), "half of it is not taken");
    assert!(poll!(&mut third).is_pending(), "it would fit, but does not overtake");
    drop(first);
    let (second, third) = future::join(second, third).await;
    let held = (second.unwrap(), third.unwrap());
    assert_eq!(store.try_reserve(&[&a]).await.err(), Some(NoRoom::Now));
    drop(held);
    store.try_reserve(&[&a]).await.unwrap();
}

#[tokio::test]
async fn who_gave_up_waiting_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 100).await;
    let [(a, _), (b, _), (c, _)] = [blob(1, 60), blob(2, 80), blob(3, 30)];
    let first = reserve(&store, &[&a]).await.unwrap();
    let large = [&b];
    let mut waits = Box::pin(reserve(&store, &large));
    assert!(poll!(&mut waits).is_pending());
    drop(waits);
    assert_eq!(store.reserve(&[&b], Duration::ZERO).await.err(), Some(NoRoom::Now));
    let _third = reserve(&store, &[&c]).now_or_never().unwrap().unwrap();
    drop(first);
}

#[tokio::test]
async fn what_can_never_fit_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 100).await;
    let [(a, _), (b, _)] = [blob(1, 60), blob(2, 50)];
    assert_eq!(reserve(&store, &[&a, &b]).await.err(), Some(NoRoom::Ever(100)));
    let endless = Descriptor { size: u64::MAX, ..a.clone() };
    assert_eq!(reserve(&store, &[&endless, &b]).await.err(), Some(NoRoom::Ever(100)));
    reserve(&store, &[&a]).await.unwrap();
}

#[tokio::test]
async fn what_nobody_needs_stays_until_its_room_is_needed_the_longest_unused_first() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 100).await;
    let blobs = [blob(1, 40), blob(2, 40), blob(3, 40)];
    let [(a, content_a), (b, content_b), (c, content_c)] = &blobs;
    for (blob, content) in [(a, content_a), (b, content_b), (a, content_a)] {
        read(&reserve(&store, &[blob]).await.unwrap(), blob, content).await.unwrap();
    }
    assert_eq!((content_a.opened(), content_b.opened(), files(folder.path())), (1, 1, 2));
    read(&reserve(&store, &[c]).await.unwrap(), c, content_c).await.unwrap();
    assert_eq!(files(folder.path()), 2);
    read(&reserve(&store, &[a]).await.unwrap(), a, content_a).await.unwrap();
    read(&reserve(&store, &[b]).await.unwrap(), b, content_b).await.unwrap();
    assert_eq!((content_a.opened(), content_b.opened(), content_c.opened()), (1, 2, 1));
    drop(store);
    assert_eq!(files(folder.path()), 0);
}

#[tokio::test]
async fn what_somebody_needs_is_not_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 100).await;
    let [(a, content), (b, _)] = [blob(1, 60), blob(2, 60)];
    let first = reserve(&store, &[&a]).await.unwrap();
    let second = reserve(&store, &[&a]).await.unwrap();
    read(&first, &a, &content).await.unwrap();
    drop(first);
    assert_eq!(store.try_reserve(&[&b]).await.err(), Some(NoRoom::Now));
    read(&second, &a, &content).await.unwrap();
    drop(second);
    store.try_reserve(&[&b]).await.unwrap();
    assert_eq!((content.opened(), files(folder.path())), (1, 0));
}

#[tokio::test]
async fn two_that_want_a_blob_at_once_read_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 100).await;
    let (a, content) = blob(1, 60);
    let (first, second) = (reserve(&store, &[&a]).await.unwrap(), reserve(&store, &[&a]).await.unwrap());
    future::try_join(read(&first, &a, &content), read(&second, &a, &content)).await.unwrap();
    assert_eq!(content.opened(), 1);
}

#[tokio::test]
async fn nothing_is_left_of_a_blob_that_is_wrong_or_not_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 100).await;
    let [(a, content), (_, wrong)] = [blob(1, 60), blob(2, 60)];
    let reservation = reserve(&store, &[&a]).await.unwrap();
    let Err(PushError::Source(error)) = read(&reservation, &a, &wrong).await else { panic!("it is wrong") };
    assert_eq!((error.kind(), files(folder.path())), (Kind::Corrupt, 0));
    let mut under_way = Box::pin(read(&reservation, &a, &content));
    assert!(poll!(&mut under_way).is_pending());
    drop(under_way);
    assert_eq!(files(folder.path()), 0);
    read(&reservation, &a, &content).await.unwrap();
    assert_eq!(files(folder.path()), 1);
}

#[tokio::test]
async fn a_manifest_that_lies_about_a_size_does_not_stand_in_the_way_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 100).await;
    let (a, content) = blob(1, 60);
    let lie = Descriptor { size: 20, ..a.clone() };
    let lied_to = reserve(&store, &[&lie]).await.unwrap();
    assert!(matches!(read(&lied_to, &lie, &content).await, Err(PushError::Source(_))));
    read(&reserve(&store, &[&a]).await.unwrap(), &a, &content).await.unwrap();
    assert_eq!(files(folder.path()), 1);
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (a, content) = blob(1, 60);
    let killed = store(folder.path(), 100).await;
    read(&reserve(&killed, &[&a]).await.unwrap(), &a, &content).await.unwrap();
    std::mem::forget(killed);
    std::fs::write(folder.path().join("a person's notes"), "").unwrap();
    let next = store(folder.path(), 100).await;
    assert_eq!(files(folder.path()), 1);
    read(&reserve(&next, &[&a]).await.unwrap(), &a, &content).await.unwrap();
    assert_eq!(content.opened(), 2, "what is there is not believed");
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_told_from_a_source_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("scratch"), 100).await;
    let (a, content) = blob(1, 60);
    std::fs::remove_dir(folder.path().join("scratch")).unwrap();
    let reservation = reserve(&store, &[&a]).await.unwrap();
    assert!(matches!(read(&reservation, &a, &content).await, Err(PushError::Destination(_))));
}
