//! No secret is ever written anywhere, whatever goes wrong.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sandbox::{Account, ActiveFault, Auth, Effect, Fault, Registry, RetryAfter, Tls, Tokens, content};

use super::Row;
use crate::support::RUN;

const SOURCE_PASSWORD: &str = "hush-of-the-source";
const DESTINATION_PASSWORD: &str = "hush-of-the-destination";
const WRONG_PASSWORD: &str = "hush-that-is-wrong";

/// A row over TLS with tokens at the source and passwords at the destination, and with a fault of each kind.
async fn troubled() -> (Row, Vec<ActiveFault>) {
    let registry = |auth| Registry::builder().auth(auth).tls(Tls::SignedByAuthority);
    let source = registry(Auth::Tokens(Tokens::new([Account::new("robot", SOURCE_PASSWORD)])));
    let source = source.features(|features| features.redirect_blobs = true).start().await.unwrap();
    let destination = registry(Auth::Basic(vec![Account::new("robot", DESTINATION_PASSWORD)])).start().await.unwrap();
    let mut row = Row::between(source, destination, content::image(1).build()).with_uploads();
    let (from, to) = (row.source.host(), row.destination.host());
    for (pattern, password, is_source) in [
        (from.clone(), SOURCE_PASSWORD, true),
        (to.clone(), DESTINATION_PASSWORD, false),
        (format!("{from}/stranger"), WRONG_PASSWORD, true),
        (format!("{to}/mirror/exile"), WRONG_PASSWORD, false),
    ] {
        let registry = if is_source { &row.source } else { &row.destination };
        let settings = format!("{}, {}", row.robot(password), row.trust(registry));
        row.setting(pattern, settings);
    }
    for name in ["stranger", "exile", "echo"] {
        row.source.store().put_image(name, Some("1.0"), &content::image(50).build());
        row.images.push(super::entry(&row.source, name, "1.0"));
    }
    let limited = Effect::too_many_requests(RetryAfter::Unsaid);
    let at_source = [
        Fault::on("HEAD", "/app/manifests/", Effect::status(500)).times(1),
        Fault::on("GET", "/app/manifests/", limited).times(1),
        Fault::on("GET", "/storage/app/", Effect::CutBody { after: 100 }).times(1),
        Fault::on("GET", "/storage/app/", Effect::CorruptBody { at: 0 }).after(1),
        Fault::on("GET", "/token", Effect::status(503)).times(1),
    ];
    let at_destination = [
        Fault::on("PUT", "/tool/blobs/", Effect::Close).times(1),
        Fault::on("POST", "/tool/blobs/", Effect::status(502)).times(1),
        Fault::on("PUT", "/echo/manifests/", Effect::status(403).echoing()),
    ];
    let mut faults = at_source.map(|fault| row.source.fault(fault)).to_vec();
    faults.extend(at_destination.map(|fault| row.destination.fault(fault)));
    (row, faults)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_password_token_or_header_is_in_output_log_report_or_store() {
    let (row, faults) = troubled().await;
    row.workshop.job(&row.job());
    let output = row.workshop.command(&RUN).env("IMAGE_FACTORY_LOG", "trace").output().await.unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(faults.iter().all(|fault| fault.hits() > 0), "{faults:?}");
    assert!(log.contains("DEBUG") && log.contains("TRACE"), "nothing was logged");
    let mut failed = crate::support::failures(&row.workshop.report().await);
    failed.sort();
    let from = row.source.host();
    let expected = [
        "app:1.0 → source_corrupt",
        "echo:1.0 → destination_forbidden",
        "exile:1.0 → destination_unauthorized",
        "stranger:1.0 → source_unauthorized",
    ];
    assert_eq!(failed, expected.map(|end| format!("{from}/{end}")));

    // What the destination repeats of what was sent to it is told, but for the secrets in it.
    let echo = "403 DENIED: refused to `Basic ***`: `robot:***`";
    assert!(row.workshop.report().await.to_string().contains(echo), "{log}");

    let mut secrets = row.source.tokens();
    assert!(!secrets.is_empty());
    for password in [SOURCE_PASSWORD, DESTINATION_PASSWORD, WRONG_PASSWORD] {
        secrets.push(password.to_owned());
        secrets.push(BASE64_STANDARD.encode(format!("robot:{password}")));
    }
    // The signature of the storage to which blobs are redirected.
    secrets.push("not-to-be-shown".to_owned());
    let files = files(&row.workshop.path().join("data"));
    for name in ["store.db", "report.json"] {
        assert!(files.iter().any(|file| file.ends_with(name)), "{files:?}");
    }
    let mut places = vec![("stdout".to_owned(), output.stdout), ("stderr".to_owned(), output.stderr)];
    places.extend(files.iter().map(|file| (file.display().to_string(), std::fs::read(file).unwrap())));
    for (place, bytes) in places {
        let text = String::from_utf8_lossy(&bytes);
        for secret in &secrets {
            assert!(!text.contains(secret), "`{secret}` is in {place}");
        }
    }
}

/// All files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
