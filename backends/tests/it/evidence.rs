//! What is kept comes back as it was, or not at all.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use backends::Evidence;
use backends::conformance::server::{Kind, Server};
use backends::evidence::EvidenceError;
use proto::Digest;

#[tokio::test]
async fn a_document_comes_back_by_its_digest_however_often_it_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    for place in [folder.path().display().to_string(), format!("file://{}", folder.path().display())] {
        let evidence = Evidence::open(&place, []).unwrap();
        for document in [b"".to_vec(), b"a report".to_vec(), vec![7; 3_000_000]] {
            let digest = evidence.keep(document.clone()).await.unwrap();
            assert_eq!(digest, Digest::of(&document));
            assert_eq!(evidence.keep(document.clone()).await.unwrap(), digest);
            assert_eq!(evidence.read(&digest).await.unwrap(), document);
            assert_eq!(as_a_file(&evidence, &document).await, digest);
        }
    }
}

/// Keeps a document that lies in a file.
async fn as_a_file(evidence: &Evidence, document: &[u8]) -> Digest {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    std::fs::write(&path, document).unwrap();
    let digest = evidence.keep_file(&path).await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left there");
    assert_eq!(evidence.read(&digest).await.unwrap(), document);
    digest
}

#[tokio::test]
async fn a_document_comes_back_from_an_object_store() {
    let Some(mut server) = Server::start(Kind::S3) else { return };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let env = [("AWS_ENDPOINT", server.url()), ("AWS_ALLOW_HTTP", "true".to_owned())];
    let login = [("AWS_ACCESS_KEY_ID", "robot".to_owned()), ("AWS_SECRET_ACCESS_KEY", "secret".to_owned())];
    let env = env.into_iter().chain(login).map(|(name, value)| (name.to_owned(), value));
    let evidence = Evidence::open("s3://compliance/image-factory", env).unwrap();
    let missing = evidence.health().await.unwrap_err();
    assert!(chain(&missing).contains("NoSuchBucket"), "{}", chain(&missing));
    make_bucket(&server, "compliance");
    evidence.health().await.unwrap();
    let document = vec![7; 3_000_000];
    let digest = evidence.keep(document.clone()).await.unwrap();
    assert_eq!(evidence.read(&digest).await.unwrap(), document);
    evidence.delete(&digest).await.unwrap();
    assert!(matches!(evidence.read(&digest).await, Err(EvidenceError::Store { .. })));
    // Above the size from which it is sent in parts.
    let noise = (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect::<Vec<u8>>();
    as_a_file(&evidence, &noise).await;
    server.kill();
    let gone = evidence.health().await.unwrap_err();
    assert!(gone.to_string().contains("s3://compliance/image-factory"), "{gone}");
}

/// An error with its causes.
fn chain(error: &EvidenceError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text += &format!(": {source}");
        next = source.source();
    }
    text
}

fn make_bucket(server: &Server, name: &str) {
    let mut connection = TcpStream::connect(&server.address).unwrap();
    write!(
        connection,
        "PUT /{name} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        server.address
    )
    .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_document_that_was_changed_or_is_missing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let evidence = Evidence::in_folder(folder.path()).unwrap();
    let digest = evidence.keep(b"a report".to_vec()).await.unwrap();
    let other = evidence.keep(b"another report".to_vec()).await.unwrap();
    std::fs::copy(file(folder.path(), &other), file(folder.path(), &digest)).unwrap();
    assert!(matches!(evidence.read(&digest).await, Err(EvidenceError::Damaged { .. })));
    std::fs::write(file(folder.path(), &digest), b"half").unwrap();
    assert!(matches!(evidence.read(&digest).await, Err(EvidenceError::Damaged { .. })));
    evidence.delete(&digest).await.unwrap();
    evidence.delete(&digest).await.unwrap();
    assert!(matches!(evidence.read(&digest).await, Err(EvidenceError::Store { .. })));
    assert_eq!(evidence.read(&other).await.unwrap(), b"another report");
}

#[tokio::test]
async fn a_place_that_is_none_is_refused_by_name() {
    for place in ["ftp://server/evidence", "s3://"] {
        let Err(error) = Evidence::open(place, []) else { panic!("`{place}` is no place") };
        assert!(error.to_string().contains(place), "{error}");
    }
}

fn file(folder: &Path, digest: &Digest) -> std::path::PathBuf {
    let hex = digest.as_str().trim_start_matches("sha256:");
    folder.join("sha256").join(&hex[..2]).join(format!("{}.gz", &hex[2..]))
}
