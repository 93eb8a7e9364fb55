//! Runs Docker credential helpers (`docker-credential-NAME get`), whose output is secret from its first byte.

use std::process::Stdio;

use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::credentials::Credentials;
use crate::error::{Error, Kind};
use crate::options::Options;

/// Asks the helper `name` for the credentials of `server`; none if it has none.
///
/// # Errors
/// `Unauthorized`: the helper could not be run, failed, took too long, or did not answer as it should. Its output is
/// never part of the error.
pub(super) async fn get(name: &str, server: &str, options: &Options) -> Result<Option<Credentials>, Error> {
    let failed = |why: &str| {
        Error::new(Kind::Unauthorized, format!("run the credential helper `docker-credential-{name}` for `{server}`"))
            .because(why)
            .hinting("run the helper by hand, or `docker login` again")
    };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return Err(failed("its name is not that of a program"));
    }
    let output = tokio::time::timeout(options.helper_timeout, run(name, server, options))
        .await
        .map_err(|_| failed("it did not end in time"))?
        .map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        // The one text of the protocol that is no error (docker-credential-helpers, `errCredentialsNotFoundMessage`).
        if String::from_utf8_lossy(&output.stdout).contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(&output.status.to_string()));
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Found {
        username: String,
        secret: String,
    }
    let found: Found = serde_json::from_slice(&output.stdout).map_err(|_| failed("its output is not readable"))?;
    Ok(Some(Credentials::from_parts(found.username, found.secret)))
}

async fn run(name: &str, server: &str, options: &Options) -> std::io::Result<std::process::Output> {
    let mut command = Command::new(format!("docker-credential-{name}"));
    if let Some(path) = options.env.get("PATH") {
        command.env("PATH", path);
    }
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that ends without reading is judged by its status.
        let _ = stdin.write_all(server.as_bytes()).await;
    }
    child.wait_with_output().await
}
