//! skopeo, a client that no one here wrote: it reads and writes registries and layouts.

use std::process::Stdio;

use tokio::process::Command;

use super::server::Server;
use super::skip;

/// Whether skopeo is here; if not, says that the test is skipped.
pub(crate) async fn is_here() -> bool {
    let version = Command::new("skopeo").arg("--version").stdout(Stdio::null()).status().await;
    if version.is_err() {
        skip("no skopeo on this machine");
    }
    version.is_ok()
}

/// Runs skopeo, which must succeed; what it prints.
pub(crate) async fn run(args: &[&str]) -> Vec<u8> {
    let mut command = Command::new("skopeo");
    let output = command.args(args).stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "skopeo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The bytes of the manifest that a registry shows under `name` (`repository:tag` or `repository@digest`).
pub(crate) async fn raw(server: &Server, name: &str) -> Vec<u8> {
    ask(server, &["inspect", "--raw"], name).await
}

/// The tags of a repository, sorted.
pub(crate) async fn tags(server: &Server, repository: &str) -> Vec<String> {
    let answer: serde_json::Value = serde_json::from_slice(&ask(server, &["list-tags"], repository).await).unwrap();
    let mut tags: Vec<String> = serde_json::from_value(answer["Tags"].clone()).unwrap();
    tags.sort();
    tags
}

async fn ask(server: &Server, command: &[&str], name: &str) -> Vec<u8> {
    let folder = server.folder().display().to_string();
    let name = format!("docker://{}/{name}", server.host);
    let login = server.login();
    let login = login.iter().flat_map(|login| ["--creds", login.as_str()]);
    let args: Vec<&str> = command.iter().copied().chain(["--cert-dir", &folder]).chain(login).chain([&*name]).collect();
    run(&args).await
}
