//! The public conformance suite of the OCI distribution-spec against our registry.

use std::path::PathBuf;
use std::process::Stdio;

use sandbox::Registry;

use crate::help::say;

/// Where `deploy/tools.sh` puts the suite, unless told otherwise.
fn suite() -> PathBuf {
    if let Some(path) = std::env::var_os("CONFORMANCE_TEST") {
        return path.into();
    }
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let cache = std::env::var_os("IMAGE_FACTORY_CACHE").map(PathBuf::from);
    cache.unwrap_or_else(|| home().join(".cache/image-factory")).join("bin/conformance.test")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_conformance_suite_passes() {
    let suite = suite();
    if !suite.is_file() {
        say(&format!("SKIPPED the_public_conformance_suite_passes: no suite at {}", suite.display()));
        return;
    }
    let registry = Registry::builder().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = tokio::process::Command::new(&suite)
        .current_dir(folder.path())
        .envs([
            ("OCI_ROOT_URL", registry.url().as_str()),
            ("OCI_NAMESPACE", "conformance/one"),
            ("OCI_CROSSMOUNT_NAMESPACE", "conformance/two"),
            ("OCI_TEST_PULL", "1"),
            ("OCI_TEST_PUSH", "1"),
            ("OCI_TEST_CONTENT_DISCOVERY", "1"),
            ("OCI_TEST_CONTENT_MANAGEMENT", "1"),
            ("OCI_HIDE_SKIPPED_WORKFLOWS", "0"),
            ("OCI_DELETE_MANIFEST_BEFORE_BLOBS", "1"),
            ("OCI_REPORT_DIR", folder.path().to_str().unwrap()),
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let figures = figures(&text).unwrap_or_else(|| panic!("no figures in:\n{text}"));
    let Figures { run, specs, passed, failed, skipped } = figures;
    say(&format!("conformance: {run} of {specs} run, {passed} passed, {failed} failed, {skipped} skipped"));
    assert_eq!((run, passed, failed), (63, 63, 0), "{text}");
}

struct Figures {
    run: u32,
    specs: u32,
    passed: u32,
    failed: u32,
    skipped: u32,
}

/// Reads `Ran 63 of 68 Specs in …` and `… -- 63 Passed | 0 Failed | 0 Pending | 5 Skipped`.
fn figures(text: &str) -> Option<Figures> {
    let plain = without_colours(text);
    let number_before = |word: &str| -> Option<u32> {
        let before = &plain[..plain.rfind(word)?];
        before.split_whitespace().last()?.parse().ok()
    };
    let ran = plain.lines().find(|line| line.starts_with("Ran "))?;
    let run = ran.split_whitespace().nth(1)?.parse().ok()?;
    Some(Figures {
        run,
        specs: number_before(" Specs")?,
        passed: number_before(" Passed")?,
        failed: number_before(" Failed")?,
        skipped: number_before(" Skipped")?,
    })
}

/// Without the escape sequences of a terminal, which end at their `m`.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, rest)| rest))
}
