//! Each fault does what it says, to the requests it names, and as often as told.

use std::time::{Duration, SystemTime};

use reqwest::Method;
use sandbox::{Effect, Fault, RetryAfter, content};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::help::{Fixture, PATIENCE, codes, header};

/// Long enough that something which is stalled can be told from something which is not.
const MOMENT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_fault_acts_on_the_requests_it_names_and_as_often_as_told() {
    let f = Fixture::plain().await;
    let path = f.blob("a", 10);
    let fault = f.registry.fault(Fault::on("GET", "/blobs/", Effect::status(503)).after(1).times(2));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(f.get(&path).await.status().as_u16());
        assert_eq!(f.head(&path).await.status(), 200);
    }
    assert_eq!(statuses, [200, 503, 503, 200]);
    assert_eq!(fault.hits(), 2);
    let fault = f.registry.fault(Fault::on("", "", Effect::status(500)));
    assert_eq!(f.get(&path).await.status(), 500);
    fault.remove();
    assert_eq!(f.get(&path).await.status(), 200);
    f.registry.fault(Fault::on("", "", Effect::status(500)));
    f.registry.clear_faults();
    assert_eq!(f.get(&path).await.status(), 200);
}

#[tokio::test]
async fn a_429_says_when_to_come_again_in_each_form() {
    let f = Fixture::plain().await;
    let retry_after = async |said| {
        f.registry.fault(Fault::on("GET", "/v2/", Effect::too_many_requests(said)).times(1));
        let refused = f.get("/v2/").await;
        assert_eq!(refused.status(), 429);
        let said = header(&refused, "retry-after").to_owned();
        assert_eq!(codes(refused).await, ["TOOMANYREQUESTS"]);
        said
    };
    assert_eq!(retry_after(RetryAfter::Unsaid).await, "");
    assert_eq!(retry_after(RetryAfter::Seconds(7)).await, "7");
    let date = retry_after(RetryAfter::Date(Duration::from_secs(3_600))).await;
    assert!(httpdate::parse_http_date(&date).unwrap() > SystemTime::now() + Duration::from_secs(3_000));
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_closes_the_connection() {
    let f = Fixture::plain().await;
    f.registry.fault(Fault::on("PUT", "", Effect::too_many_requests(RetryAfter::Seconds(1)).before_body()));
    let mut connection = tokio::net::TcpStream::connect(f.registry.address()).await.unwrap();
    let head = "PUT /v2/a/manifests/1 HTTP/1.1\r\nhost: sandbox\r\ncontent-length: 1000000\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, connection.read_to_string(&mut answer)).await.expect("the end").unwrap();
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert_eq!(f.registry.log().bytes_in("PUT", ""), 0);
}

#[tokio::test]
async fn a_body_is_cut_and_can_be_resumed() {
    let f = Fixture::plain().await;
    let path = f.blob("a", 1_000_000);
    f.registry.fault(Fault::on("GET", "/blobs/", Effect::CutBody { after: 500_000 }).times(1));
    let mut cut = f.get(&path).await;
    assert_eq!(header(&cut, "content-length"), "1000000");
    let mut read = 0;
    let ended = loop {
        match cut.chunk().await {
            Ok(Some(bytes)) => read += bytes.len(),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(ended.is_err());
    assert_eq!(read, 500_000);
    let rest = f.ask(Method::GET, &path).header("range", "bytes=500000-").send().await.unwrap();
    assert_eq!(rest.bytes().await.unwrap().len(), 500_000);
    let seen = f.registry.requests();
    assert_eq!((seen[0].bytes_out, seen[0].complete), (500_000, false));
    assert_eq!((seen[1].bytes_out, seen[1].complete), (500_000, true));
    assert_eq!(seen[1].range.as_deref(), Some("bytes=500000-"));
}

#[tokio::test]
async fn one_bit_of_a_body_is_turned() {
    let f = Fixture::plain().await;
    let path = f.blob("a", 100_000);
    let right = f.get(&path).await.bytes().await.unwrap();
    f.registry.fault(Fault::on("GET", "/blobs/", Effect::CorruptBody { at: 70_000 }));
    let wrong = f.get(&path).await.bytes().await.unwrap();
    let differing: Vec<_> = (0..right.len()).filter(|&n| right[n] != wrong[n]).collect();
    assert_eq!((wrong.len(), differing), (100_000, vec![70_000]));
}

#[tokio::test]
async fn a_body_is_longer_or_shorter_than_the_content_with_or_without_saying_so() {
    let f = Fixture::plain().await;
    let path = f.blob("a", 1_000);
    let length = async || {
        let answer = f.get(&path).await;
        (header(&answer, "content-length").to_owned(), answer.bytes().await.unwrap().len())
    };
    let longer = f.registry.fault(Fault::on("GET", "/blobs/", Effect::LongerBody { by: 5 }));
    assert_eq!(length().await, ("1005".into(), 1_005));
    f.registry.fault(Fault::on("GET", "/blobs/", Effect::NoLength));
    assert_eq!(length().await, (String::new(), 1_005));
    longer.remove();
    f.registry.fault(Fault::on("GET", "/blobs/", Effect::ShorterBody { by: 5 }));
    assert_eq!(length().await, (String::new(), 995));
}

#[tokio::test]
async fn a_stalled_body_gives_its_start_and_then_nothing() {
    let f = Fixture::plain().await;
    let path = f.blob("a", 1_000);
    f.registry.fault(Fault::on("GET", "/blobs/", Effect::StallBody { after: 400 }));
    let mut stalled = f.get(&path).await;
    assert_eq!(timeout(PATIENCE, stalled.chunk()).await.unwrap().unwrap().unwrap().len(), 400);
    assert!(timeout(MOMENT, stalled.chunk()).await.is_err());
}

#[tokio::test]
async fn a_stalled_upload_is_read_no_further_than_told() {
    let f = Fixture::plain().await;
    f.registry.fault(Fault::on("POST", "/uploads/", Effect::StallUpload { after: 1 }));
    let path = format!("a/blobs/uploads/?digest={}", crate::help::digest(b""));
    let mut upload = tokio::spawn(f.ask(Method::POST, &path).body(vec![0; 50_000_000]).send());
    let read = || f.registry.log().bytes_in("POST", "/uploads/");
    let begun = async {
        while read() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, begun).await.unwrap();
    assert!(timeout(MOMENT, &mut upload).await.is_err());
    assert!(read() < 5_000_000, "{}", read());
    upload.abort();
}

#[tokio::test]
async fn slow_transfers_in_both_directions_arrive_whole() {
    let f = Fixture::plain().await;
    let path = f.blob("a", 200_000);
    f.registry.fault(Fault::on("GET", "/blobs/", Effect::Bandwidth(1_000_000)));
    f.registry.fault(Fault::on("POST", "/uploads/", Effect::SlowUpload(1_000_000)));
    f.registry.fault(Fault::on("", "", Effect::Latency(Duration::from_millis(5))));
    let start = std::time::Instant::now();
    let bytes = f.get(&path).await.bytes().await.unwrap();
    let digest = path.rsplit('/').next().unwrap();
    let upload = f.ask(Method::POST, &format!("b/blobs/uploads/?digest={digest}")).body(bytes);
    assert_eq!(upload.send().await.unwrap().status(), 201);
    // A limit from below holds on any machine: 400 kB at 1 MB/s, and twice the latency.
    assert!(start.elapsed() >= Duration::from_millis(410));
}

#[tokio::test]
async fn a_connection_is_closed_without_an_answer() {
    let f = Fixture::plain().await;
    f.registry.fault(Fault::on("GET", "/v2/", Effect::Close).times(1));
    assert!(f.ask(Method::GET, "/v2/").send().await.is_err());
    assert_eq!(f.get("/v2/").await.status(), 200);
    assert_eq!(f.registry.requests()[0].status, 0);
}

#[tokio::test]
async fn content_is_denied_or_said_to_be_missing_or_invalid() {
    let f = Fixture::plain().await;
    let path = f.blob("a", 10);
    let answer = async |effect| {
        f.registry.fault(Fault::on("", "", effect).times(1));
        let refused = f.get(&path).await;
        (refused.status().as_u16(), codes(refused).await.remove(0))
    };
    assert_eq!(answer(Effect::blob_unknown()).await, (404, "BLOB_UNKNOWN".into()));
    assert_eq!(answer(Effect::manifest_invalid()).await, (400, "MANIFEST_INVALID".into()));
    assert_eq!(answer(Effect::status(403)).await, (403, "DENIED".into()));
    assert_eq!(answer(Effect::status(404)).await, (404, "NAME_UNKNOWN".into()));
}

#[tokio::test]
async fn a_tag_moves_at_the_moment_it_is_asked_for() {
    let f = Fixture::plain().await;
    let (old, new) = (content::image(1).build(), content::image(2).build());
    f.registry.store().put_image("a", Some("1"), &old);
    let moved = new.clone();
    let action = Effect::act(move |store| store.put_image("a", Some("1"), &moved));
    f.registry.fault(Fault::on("GET", "/manifests/1", action).times(1));
    assert_eq!(header(&f.head("a/manifests/1").await, "docker-content-digest"), old.digest().as_str());
    assert_eq!(header(&f.get("a/manifests/1").await, "docker-content-digest"), new.digest().as_str());
}

#[tokio::test]
async fn a_header_names_another_digest_than_the_content_has() {
    let f = Fixture::plain().await;
    let (image, other) = (content::image(1).build(), content::image(2).build().digest());
    f.registry.store().put_image("a", Some("1"), &image);
    f.registry.fault(Fault::on("GET", "/manifests/1", Effect::OtherDigest(other.clone())));
    let answer = f.get("a/manifests/1").await;
    assert_eq!(header(&answer, "docker-content-digest"), other.as_str());
    assert_eq!(answer.bytes().await.unwrap(), image.raw);
}

#[tokio::test]
async fn a_test_can_wait_for_a_request_and_see_how_many_were_open_at_once() {
    let f = Fixture::plain().await;
    let path = f.blob("a", 1_000);
    f.registry.fault(Fault::on("GET", "/blobs/", Effect::StallBody { after: 1 }));
    let (first, second) = (f.get(&path).await, f.get(&path).await);
    timeout(PATIENCE, f.registry.log().wait_for("GET", "/blobs/", 2)).await.unwrap();
    assert_eq!(f.registry.log().peak_in_flight(), 2);
    drop((first, second));
}
