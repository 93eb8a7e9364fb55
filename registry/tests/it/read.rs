//! Reading blobs: checked as they pass, resumed after a cut, refused when wrong.

use proto::Class;
use registry::Kind;
use sandbox::{Effect, Fault, Registry};

use crate::script::{Script, answer};
use crate::setup::{blob, client, client_with, options, read, repository};

const SIZE: usize = 1_000_000;

#[tokio::test]
async fn a_blob_is_read_whole_and_its_size_asked_without_reading() {
    let registry = Registry::builder().start().await.unwrap();
    let (bytes, descriptor) = blob(1, SIZE);
    registry.store().put_blob("team/app", bytes.clone());
    let (client, repository) = (client(), repository(&registry, "team/app"));
    assert_eq!(client.blob_size(&repository, &descriptor.digest).await.unwrap(), Some(SIZE as u64));
    assert_eq!(registry.log().count("GET", "/blobs/"), 0);
    let (read, end) = read(&client, &repository, &descriptor).await;
    end.unwrap();
    assert!(read == bytes);
    let (_, missing) = blob(2, 10);
    assert_eq!(client.blob_size(&repository, &missing.digest).await.unwrap(), None);
    assert_eq!(client.read_blob(&repository, &missing).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_body_cut_at_half_is_resumed_and_no_byte_is_read_twice() {
    let registry = Registry::builder().start().await.unwrap();
    let (bytes, descriptor) = blob(1, SIZE);
    registry.store().put_blob("a", bytes.clone());
    registry.fault(Fault::on("GET", "/blobs/", Effect::CutBody { after: SIZE as u64 / 2 }).times(1));
    let (read, end) = read(&client(), &repository(&registry, "a"), &descriptor).await;
    end.unwrap();
    assert!(read == bytes);
    let requests: Vec<_> = registry.requests().into_iter().filter(|request| request.is("GET", "/blobs/")).collect();
    assert_eq!(requests.len(), 2);
    // What the cut connection still held may be lost; what was passed on is not asked for again.
    let range = requests[1].range.clone().unwrap();
    let from: u64 = range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap();
    assert!(from > 0 && from <= SIZE as u64 / 2, "{range}");
    assert_eq!(requests[1].bytes_out, SIZE as u64 - from);
}

#[tokio::test]
async fn a_registry_that_ignores_ranges_is_read_from_the_start_and_nothing_is_passed_twice() {
    let registry = Registry::builder().features(|features| features.range = false).start().await.unwrap();
    let (bytes, descriptor) = blob(1, SIZE);
    registry.store().put_blob("a", bytes.clone());
    registry.fault(Fault::on("GET", "/blobs/", Effect::CutBody { after: SIZE as u64 / 2 }).times(2));
    let (read, end) = read(&client(), &repository(&registry, "a"), &descriptor).await;
    end.unwrap();
    assert!(read == bytes);
    assert_eq!(registry.log().count("GET", "/blobs/"), 3);
}

#[tokio::test]
async fn a_blob_that_is_cut_every_time_ends_with_an_error_after_bounded_tries() {
    let registry = Registry::builder().start().await.unwrap();
    let (bytes, descriptor) = blob(1, SIZE);
    registry.store().put_blob("a", bytes);
    registry.fault(Fault::on("GET", "/blobs/", Effect::CutBody { after: 10 }));
    let client = client_with(&Default::default(), registry::Options { resumes: 4, ..options() });
    let (_, end) = read(&client, &repository(&registry, "a"), &descriptor).await;
    let error = end.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Unavailable, Class::Retry));
    assert_eq!(registry.log().count("GET", "/blobs/"), 5);
}

#[tokio::test]
async fn a_stalled_body_is_given_up_and_resumed() {
    let registry = Registry::builder().start().await.unwrap();
    let (bytes, descriptor) = blob(1, SIZE);
    registry.store().put_blob("a", bytes.clone());
    let stall = registry.fault(Fault::on("GET", "/blobs/", Effect::StallBody { after: 1000 }).times(1));
    let (read_bytes, end) = read(&client(), &repository(&registry, "a"), &descriptor).await;
    end.unwrap();
    assert!(read_bytes == bytes);
    assert_eq!(stall.hits(), 1);

    registry.fault(Fault::on("GET", "/blobs/", Effect::StallBody { after: 1000 }));
    let client = client_with(&Default::default(), registry::Options { resumes: 1, ..options() });
    let (_, end) = read(&client, &repository(&registry, "a"), &descriptor).await;
    assert_eq!(end.unwrap_err().kind(), Kind::Stalled);
}

#[tokio::test]
async fn a_corrupt_blob_never_passes_whole() {
    let registry = Registry::builder().start().await.unwrap();
    let (bytes, descriptor) = blob(1, SIZE);
    registry.store().put_blob("a", bytes);
    registry.fault(Fault::on("GET", "/blobs/", Effect::CorruptBody { at: 500_000 }));
    let (read, end) = read(&client(), &repository(&registry, "a"), &descriptor).await;
    let error = end.unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(read.len() < SIZE);
}

#[tokio::test]
async fn a_body_longer_or_shorter_than_the_descriptor_says_is_corrupt() {
    for effects in [
        vec![Effect::LongerBody { by: 1 }],
        vec![Effect::ShorterBody { by: 1 }],
        vec![Effect::LongerBody { by: 1 }, Effect::NoLength],
        vec![Effect::ShorterBody { by: 1 }, Effect::NoLength],
    ] {
        let registry = Registry::builder().features(|features| features.range = false).start().await.unwrap();
        let (bytes, descriptor) = blob(1, SIZE);
        registry.store().put_blob("a", bytes);
        let text = format!("{effects:?}");
        let without_length = effects.len() == 2;
        for effect in effects {
            registry.fault(Fault::on("GET", "/blobs/", effect));
        }
        let (read, end) = read(&client(), &repository(&registry, "a"), &descriptor).await;
        let error = end.unwrap_err();
        // Without a length, one byte less cannot be told from a cut.
        let expected = if text.contains("Shorter") && without_length { Kind::Unavailable } else { Kind::Corrupt };
        assert_eq!(error.kind(), expected, "{text}: {error}");
        assert!(read.len() < SIZE, "{text}");
    }
}

#[tokio::test]
async fn an_answer_with_another_range_than_asked_for_is_refused() {
    let (bytes, descriptor) = blob(1, 100);
    let text: String = bytes.iter().map(|byte| char::from(byte % 64 + 32)).collect();
    let descriptor = proto::Descriptor { digest: proto::Digest::of(text.as_bytes()), ..descriptor };
    let script = Script::start(move |head| match head {
        _ if !head.contains("/blobs/") => answer(200, "", ""),
        _ if head.contains("range:") => answer(206, "Content-Range: bytes 0-99/100\r\n", &text),
        _ => format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}", &text[..50]),
    })
    .await;
    let repository = format!("{}/a", script.host()).parse().unwrap();
    let (read, end) = read(&client(), &repository, &descriptor).await;
    assert_eq!(end.unwrap_err().kind(), Kind::Refused);
    assert!(read.len() < 100);
}

#[tokio::test]
async fn a_blob_of_no_bytes_is_read() {
    let registry = Registry::builder().start().await.unwrap();
    let (bytes, descriptor) = blob(1, 0);
    registry.store().put_blob("a", bytes);
    let (read, end) = read(&client(), &repository(&registry, "a"), &descriptor).await;
    end.unwrap();
    assert_eq!(read, b"");
}
