//! Real registries, one process each, by `deploy/serve.sh`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::skip;

/// Who gets in where a password is wanted, as `deploy/serve.sh` has it.
pub(crate) const USER: &str = "robot";
pub(crate) const PASSWORD: &str = "secret";

/// A server is up in less than a second, but a test machine may be busy.
const START: Duration = Duration::from_secs(60);

/// The exit code of `deploy/serve.sh` for a program that is not on this machine.
const NOT_HERE: i32 = 77;

/// A running registry that speaks TLS, under a certificate of its own authority; it ends when it is dropped.
pub(crate) struct Server {
    /// Where it listens, as in `127.0.0.1:40123`.
    pub(crate) host: String,
    wants_password: bool,
    folder: TempDir,
    /// Killed on drop, by its pid.
    _process: Child,
}

impl Server {
    /// Starts a `docker-registry`, `registry` (distribution v3) or `olareg`; if it is not on this machine, says that
    /// the test is skipped.
    pub(crate) async fn start(kind: &str) -> Option<Self> {
        Self::start_with(kind, false).await
    }

    /// Starts one that lets only [`USER`] in.
    pub(crate) async fn start_with_password(kind: &str) -> Option<Self> {
        Self::start_with(kind, true).await
    }

    /// Starts a `docker-registry` and then the other one, so that a test without both says once that it is skipped.
    pub(crate) async fn start_beside(other: impl Future<Output = Option<Self>>) -> Option<(Self, Self)> {
        Some((Self::start("docker-registry").await?, other.await?))
    }

    async fn start_with(kind: &str, wants_password: bool) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/serve.sh"));
        command.arg(kind).arg(folder.path()).arg("--tls").args(wants_password.then_some("--password"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        tokio::time::timeout(START, stdout.read_line(&mut line)).await.unwrap().unwrap();
        let Some(host) = line.trim_end().strip_prefix("address=") else {
            let mut why = String::new();
            process.stderr.take().unwrap().read_to_string(&mut why).await.unwrap();
            let status = process.wait().await.unwrap();
            let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert_eq!(status.code(), Some(NOT_HERE), "`{kind}` did not start: {why}{log}");
            skip(why.trim());
            return None;
        };
        Some(Self { host: host.to_owned(), wants_password, folder, _process: process })
    }

    /// Its folder, which skopeo takes as `--cert-dir`.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The certificate of its authority.
    pub(crate) fn ca(&self) -> String {
        self.folder.path().join("ca.crt").display().to_string()
    }

    /// Its line under `registries` of a job file.
    pub(crate) fn settings(&self) -> String {
        let password = self.folder.path().join("password");
        let auth = format!(", auth: {{ username: {USER}, password: {{ file: {} }} }}", password.display());
        let auth = if self.wants_password { &auth } else { "" };
        format!("  {}: {{ tls: {{ ca_file: {} }}{auth} }}\n", self.host, self.ca())
    }

    /// `user:password`, if it wants them.
    pub(crate) fn login(&self) -> Option<String> {
        self.wants_password.then(|| format!("{USER}:{PASSWORD}"))
    }
}
