//! Pushing blobs: streamed, mounted, in chunks; and what is said when one side fails.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use proto::{Class, Repository};
use registry::{Client, Kind, Options, Place, PushError, Pushed};
use sandbox::{Effect, Fault, Registry, RetryAfter};

use crate::setup::{blob, capabilities, client, client_with, counter, no_progress, options, repository};

async fn push(client: &Client, registry: &Registry, bytes: &Bytes) -> Result<Pushed, PushError> {
    let descriptor = proto::Descriptor::new("t", proto::Digest::of(bytes), bytes.len() as u64);
    client.push_blob(&repository(registry, "to"), &descriptor, None, bytes, &no_progress()).await
}

fn destination(result: Result<Pushed, PushError>) -> registry::Error {
    match result {
        Err(PushError::Destination(error)) => error,
        other => panic!("expected a fault of the destination, got {other:?}"),
    }
}

/// The blobs of a repository.
fn source_in(client: &Client, repository: &Repository) -> Place {
    Place::Repository { client: client.clone(), image: repository.to_string().parse().unwrap() }
}

#[tokio::test]
async fn a_blob_is_sent_in_one_put_and_its_bytes_are_counted() {
    let registry = Registry::builder().features(|features| features.absolute_locations = true).start().await.unwrap();
    let (bytes, descriptor) = blob(1, 1_000_000);
    let (progress, count) = counter();
    let pushed = client().push_blob(&repository(&registry, "to"), &descriptor, None, &bytes, &progress).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    assert!(registry.store().blob("to", &descriptor.digest).unwrap() == bytes);
    assert_eq!(count.load(Ordering::SeqCst), 1_000_000);
    assert_eq!(["POST", "PUT", "PATCH", "HEAD"].map(|method| registry.log().count(method, "/blobs/")), [1, 1, 0, 0]);
    assert_eq!(registry.open_uploads(), 0);
}

#[tokio::test]
async fn a_blob_of_no_bytes_is_sent() {
    let registry = Registry::builder().start().await.unwrap();
    assert_eq!(push(&client(), &registry, &Bytes::new()).await.unwrap(), Pushed::Uploaded);
    assert!(registry.store().has_blob("to", &proto::Digest::of(b"")));
}

#[tokio::test]
async fn a_blob_streams_from_one_repository_to_another_of_the_same_registry_with_one_slot() {
    let registry = Registry::builder().start().await.unwrap();
    let (bytes, descriptor) = blob(1, 3_000_000);
    registry.store().put_blob("from", bytes.clone());
    let client = client_with(&Default::default(), Options { concurrency: 1, ..options() });
    let source = source_in(&client, &repository(&registry, "from"));
    let to = ["to/1", "to/2", "to/3"].map(|path| repository(&registry, path));
    let progress = no_progress();
    let pushes = to.iter().map(|to| client.push_blob(to, &descriptor, None, &source, &progress));
    let all = futures_util::future::join_all(pushes);
    let results = tokio::time::timeout(Duration::from_secs(20), all).await.expect("they wait for each other");
    for result in results {
        assert_eq!(result.unwrap(), Pushed::Uploaded);
    }
    assert!(registry.store().blob("to/3", &descriptor.digest).unwrap() == bytes);
}

#[tokio::test]
async fn a_blob_that_is_near_is_mounted_and_not_read() {
    let registry = Registry::builder().start().await.unwrap();
    let (bytes, descriptor) = blob(1, 1000);
    registry.store().put_blob("from", bytes);
    let client = client();
    let from = repository(&registry, "from");
    let source = source_in(&client, &from);
    let to = repository(&registry, "to");
    let pushed = client.push_blob(&to, &descriptor, Some(&from), &source, &no_progress()).await.unwrap();
    assert_eq!(pushed, Pushed::Mounted);
    assert!(registry.store().has_blob("to", &descriptor.digest));
    assert_eq!([registry.log().count("GET", "/blobs/"), registry.log().count("PUT", "/blobs/")], [0, 0]);
    assert_eq!(capabilities(&client, &to).await.mounts, Some(true));
}

#[tokio::test]
async fn a_mount_answered_by_an_open_upload_uses_that_upload() {
    let registry = Registry::builder().features(|features| features.mount = false).start().await.unwrap();
    let (bytes, descriptor) = blob(1, 1000);
    registry.store().put_blob("from", bytes.clone());
    let from = repository(&registry, "from");
    let to = repository(&registry, "to");
    let pushed = client().push_blob(&to, &descriptor, Some(&from), &bytes, &no_progress()).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    assert_eq!((registry.log().count("POST", "/blobs/"), registry.open_uploads()), (1, 0));
}

#[tokio::test]
async fn a_mount_that_is_refused_becomes_an_upload() {
    for status in [400, 403, 404] {
        let registry = Registry::builder().start().await.unwrap();
        registry.fault(Fault::on("POST", "/uploads/", Effect::status(status)).times(1));
        let (bytes, descriptor) = blob(1, 1000);
        let from = repository(&registry, "from");
        let to = repository(&registry, "to");
        let pushed = client().push_blob(&to, &descriptor, Some(&from), &bytes, &no_progress()).await.unwrap();
        assert_eq!(pushed, Pushed::Uploaded, "{status}");
    }
}

#[tokio::test]
async fn docker_hub_refuses_a_from_of_another_registry_so_none_is_ever_named() {
    let [near, far] = [Registry::builder().start().await.unwrap(), Registry::builder().start().await.unwrap()];
    let (bytes, descriptor) = blob(1, 1000);
    let from = repository(&far, "from");
    client().push_blob(&repository(&near, "to"), &descriptor, Some(&from), &bytes, &no_progress()).await.unwrap();
    assert!(near.requests().iter().all(|request| !request.query.contains("mount") && !request.query.contains("from")));
}

#[tokio::test]
async fn a_registry_that_refuses_large_puts_gets_chunks_and_that_is_remembered() {
    let features = |features: &mut sandbox::Features| {
        features.put_body_max = Some(1000);
        features.chunk_min = Some(300_000);
    };
    let registry = Registry::builder().features(features).start().await.unwrap();
    let client = client_with(&Default::default(), Options { chunk_bytes: 1000, ..options() });
    let (bytes, descriptor) = blob(1, 1_000_000);
    assert_eq!(push(&client, &registry, &bytes).await.unwrap(), Pushed::Uploaded);
    assert!(registry.store().blob("to", &descriptor.digest).unwrap() == bytes);
    // The registry's least length wins over ours.
    assert_eq!(registry.log().count("PATCH", ""), 4);
    assert!(capabilities(&client, &repository(&registry, "to")).await.chunks_only);
    registry.log().clear();
    let (bytes, _) = blob(2, 500_000);
    push(&client, &registry, &bytes).await.unwrap();
    assert_eq!([registry.log().count("PUT", ""), registry.log().count("PATCH", "")], [1, 2]);
    assert_eq!(registry.open_uploads(), 0);
}

#[tokio::test]
async fn an_error_before_the_body_was_read_is_tried_again() {
    for effect in [
        Effect::too_many_requests(RetryAfter::Seconds(0)).before_body(),
        Effect::too_many_requests(RetryAfter::Unsaid).before_body(),
        Effect::status(500).before_body(),
        Effect::Close,
    ] {
        let registry = Registry::builder().start().await.unwrap();
        let fault = registry.fault(Fault::on("PUT", "/uploads/", effect.clone()).times(1));
        let (bytes, descriptor) = blob(1, 8_000_000);
        assert_eq!(push(&client(), &registry, &bytes).await.unwrap(), Pushed::Uploaded, "{effect:?}");
        assert!(registry.store().blob("to", &descriptor.digest).unwrap() == bytes);
        assert_eq!((fault.hits(), registry.open_uploads()), (1, 0), "{effect:?}");
    }
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_found_and_not_sent_again() {
    let registry = Registry::builder().start().await.unwrap();
    let (bytes, descriptor) = blob(1, 100_000);
    let stored = bytes.clone();
    // As if the registry had stored the blob and the connection broke before its answer.
    registry.fault(Fault::on(
        "PUT",
        "/uploads/",
        Effect::act(move |store| {
            store.put_blob("to", stored.clone());
        }),
    ));
    registry.fault(Fault::on("PUT", "/uploads/", Effect::Close));
    assert_eq!(push(&client(), &registry, &bytes).await.unwrap(), Pushed::Uploaded);
    assert_eq!(registry.log().count("PUT", ""), 1);
    assert!(registry.store().has_blob("to", &descriptor.digest));
}

#[tokio::test]
async fn an_upload_that_stalls_is_the_destinations_fault_and_is_given_up() {
    let registry = Registry::builder().start().await.unwrap();
    registry.fault(Fault::on("PUT", "/uploads/", Effect::StallUpload { after: 1000 }));
    let options = Options { retries: 1, commit_timeout: Duration::from_millis(500), ..options() };
    let (bytes, _) = blob(1, 20_000_000);
    let error = destination(push(&client_with(&Default::default(), options), &registry, &bytes).await);
    assert_eq!((error.kind(), error.class()), (Kind::Stalled, Class::Retry));
    assert_eq!(registry.log().count("PUT", ""), 2);
}

#[tokio::test]
async fn a_slow_but_healthy_upload_is_not_cut() {
    let registry = Registry::builder().start().await.unwrap();
    // Three times as long as a stall may be, and more than the buffers of the socket hold.
    registry.fault(Fault::on("PUT", "/uploads/", Effect::SlowUpload(8_000_000)));
    let (bytes, _) = blob(1, 24_000_000);
    assert_eq!(push(&client(), &registry, &bytes).await.unwrap(), Pushed::Uploaded);
    assert_eq!(registry.log().count("PUT", ""), 1);
}

#[tokio::test]
async fn a_fault_of_the_source_is_told_from_one_of_the_destination_and_no_blob_appears() {
    for (effect, kind) in [
        (Effect::CorruptBody { at: 10 }, Kind::Corrupt),
        (Effect::CutBody { after: 1000 }, Kind::Unavailable),
        (Effect::StallBody { after: 1000 }, Kind::Stalled),
        (Effect::status(404), Kind::NotFound),
        (Effect::status(403), Kind::Forbidden),
    ] {
        let [from, to] = [Registry::builder().start().await.unwrap(), Registry::builder().start().await.unwrap()];
        let (bytes, descriptor) = blob(1, 1_000_000);
        from.store().put_blob("from", bytes);
        from.fault(Fault::on("GET", "/blobs/", effect.clone()));
        let client = client_with(&Default::default(), Options { resumes: 1, ..options() });
        let source = source_in(&client, &repository(&from, "from"));
        let to_repository = repository(&to, "to");
        let result = client.push_blob(&to_repository, &descriptor, None, &source, &no_progress()).await;
        match result {
            Err(PushError::Source(error)) => assert_eq!(error.kind(), kind, "{effect:?}"),
            other => panic!("{effect:?}: {other:?}"),
        }
        assert!(!to.store().has_blob("to", &descriptor.digest));
        client.settled().await;
        assert_eq!(to.open_uploads(), 0, "{effect:?}");
    }
}

#[tokio::test]
async fn a_source_that_is_slow_to_answer_is_not_the_destinations_stall() {
    let [from, to] = [Registry::builder().start().await.unwrap(), Registry::builder().start().await.unwrap()];
    let (bytes, descriptor) = blob(1, 1_000_000);
    from.store().put_blob("from", bytes);
    from.fault(Fault::on("GET", "/blobs/", Effect::CutBody { after: 500_000 }).times(1));
    from.fault(Fault::on("GET", "/blobs/", Effect::Latency(Duration::from_millis(1500))).after(1));
    let client = client_with(&Default::default(), Options { stall_timeout: Duration::from_millis(500), ..options() });
    let source = source_in(&client, &repository(&from, "from"));
    let to_repository = repository(&to, "to");
    client.push_blob(&to_repository, &descriptor, None, &source, &no_progress()).await.unwrap();
    assert_eq!(to.log().count("PUT", ""), 1);
}

#[tokio::test]
async fn a_blob_that_the_destination_refuses_is_its_refusal() {
    for (status, kind) in
        [(400, Kind::Refused), (403, Kind::Forbidden), (404, Kind::NotFound), (500, Kind::Unavailable)]
    {
        let registry = Registry::builder().start().await.unwrap();
        registry.fault(Fault::on("POST", "/uploads/", Effect::status(status)));
        let (bytes, _) = blob(1, 1000);
        let error = destination(push(&client(), &registry, &bytes).await);
        assert_eq!((error.kind(), error.status()), (kind, Some(status)));
    }
}

#[tokio::test]
async fn an_upload_that_nobody_waits_for_any_more_is_not_left_open() {
    for (takes_single, size) in [(true, 1_000), (false, 1_000), (false, 100_000)] {
        let registry = Registry::builder().features(|can| can.single_post = takes_single).start().await.unwrap();
        let client = client();
        let (bytes, descriptor) = blob(1, size);
        let to = repository(&registry, "to");
        client.check(&to.tagged("latest".parse().unwrap()), false).await.unwrap();
        registry.fault(Fault::on("POST", "/uploads/", Effect::Latency(Duration::from_millis(150))));
        registry.fault(Fault::on("PUT", "/uploads/", Effect::SlowUpload(3 * size as u64)));
        for moment in (25..600).step_by(50) {
            let progress = no_progress();
            let push = client.push_blob(&to, &descriptor, None, &bytes, &progress);
            tokio::time::timeout(Duration::from_millis(moment), push).await.ok();
            client.settled().await;
            assert_eq!(registry.open_uploads(), 0, "{size} bytes, dropped after {moment} ms");
        }
        assert!(takes_single || registry.log().count("DELETE", "/uploads/") > 2, "some were dropped in the middle");
    }
}
