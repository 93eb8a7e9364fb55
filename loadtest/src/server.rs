//! A registry in a process of its own, so that what it takes is not counted as the command's.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::access_log::AccessLog;

/// A registry that runs until this is dropped.
pub(crate) struct Server {
    process: Process,
    /// What makes it far away, if that is a process of its own.
    _line: Option<Process>,
    counted: Counted,
    /// As in an image reference.
    pub(crate) host: String,
    /// The certificate to trust, if it speaks TLS.
    pub(crate) ca_file: Option<PathBuf>,
    /// Where it is without a line in front of it.
    direct: String,
}

/// How it tells what it was asked.
enum Counted {
    /// A `sandbox` does when it is told to.
    BySignal,
    /// A `docker-registry` writes it down.
    ByLog(AccessLog),
}

/// What a registry was asked, as `sandbox` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Counts {
    /// By method and kind: `GET manifests`.
    pub(crate) requests: BTreeMap<String, u64>,
    /// Of all, those that were answered by 429.
    pub(crate) refused: u64,
    /// Of the bodies of requests.
    pub(crate) bytes_in: u64,
    /// Of the bodies of answers.
    pub(crate) bytes_out: u64,
    /// Of blobs alone.
    #[serde(default)]
    pub(crate) blob_bytes_in: u64,
    /// Of blobs alone.
    #[serde(default)]
    pub(crate) blob_bytes_out: u64,
}

impl Counts {
    /// All requests.
    pub(crate) fn asked(&self) -> u64 {
        self.requests.values().sum()
    }
}

impl Server {
    /// Starts a `sandbox` and waits until it listens; with TLS if there is a folder for its certificate.
    pub(crate) fn start(program: &Path, tls: Option<&Path>, options: &[String]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(options);
        if let Some(folder) = tls {
            command.arg("--tls").arg(folder);
        }
        let mut process = Process::start(command)?;
        let host = process.host()?;
        let ca_file = tls.map(|folder| folder.join("ca.pem"));
        Ok(Self { process, _line: None, counted: Counted::BySignal, direct: host.clone(), host, ca_file })
    }

    /// Starts a `docker-registry` over TLS that keeps everything in `folder`, behind a line of `sandbox` if it is to
    /// be far away; `None` if it is not on this machine.
    pub(crate) fn start_real(folder: &Path, sandbox: &Path, round_trip_ms: usize) -> Result<Option<Self>> {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/serve.sh"));
        command.arg("docker-registry").arg(folder).args(["--tls", "--access-log"]);
        let mut process = Process::start(command)?;
        let said = process.line();
        let Some(direct) = said.as_ref().ok().and_then(|line| line.strip_prefix("address=")).map(str::to_owned) else {
            return match process.child.wait().context("wait for `deploy/serve.sh`")?.code() {
                Some(NOT_HERE) => Ok(None),
                _ => said.and(Ok(None)).with_context(|| format!("start docker-registry, see `{}`", folder.display())),
            };
        };
        let mut line = None;
        let mut host = direct.clone();
        if round_trip_ms > 0 {
            let mut command = Command::new(sandbox);
            command.args(["--delay-in-front-of", &direct, "--round-trip", &round_trip_ms.to_string()]);
            let mut process = Process::start(command)?;
            host = process.host()?;
            line = Some(process);
        }
        let counted = Counted::ByLog(AccessLog::of(folder));
        Ok(Some(Self { process, _line: line, counted, host, ca_file: Some(folder.join("ca.crt")), direct }))
    }

    /// Its URL, or the one that no line is in front of.
    pub(crate) fn url(&self, is_direct: bool) -> String {
        let scheme = if self.ca_file.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", if is_direct { &self.direct } else { &self.host })
    }

    /// What it was asked since this was last called.
    pub(crate) fn counts(&mut self) -> Result<Counts> {
        match &mut self.counted {
            Counted::ByLog(log) => log.counts(),
            Counted::BySignal => {
                let line = self.process.signal("USR1")?;
                serde_json::from_str(&line).with_context(|| format!("read the counts `{line}`"))
            }
        }
    }

    /// Moves 2 % of the tags of the bench, or moves them back, if it can do that by itself.
    pub(crate) fn move_tags(&mut self) -> Result<bool> {
        match self.counted {
            Counted::ByLog(_) => Ok(false),
            Counted::BySignal => self.process.signal("USR2").map(|_| true),
        }
    }
}

/// The exit code of `deploy/serve.sh` for a program that is not on this machine.
const NOT_HERE: i32 = 77;

/// A process that is killed when this is dropped.
struct Process {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Process {
    fn start(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let says = BufReader::new(child.stdout.take().context("a registry has no stdout")?);
        Ok(Self { child, says })
    }

    /// The host of the URL that it says first.
    fn host(&mut self) -> Result<String> {
        let url = self.line()?;
        Ok(url.split_once("://").with_context(|| format!("`{url}` is no URL"))?.1.to_owned())
    }

    /// Its answer to a signal.
    fn signal(&mut self, name: &str) -> Result<String> {
        let (signal, id) = (format!("kill -{name} \"$0\""), self.child.id().to_string());
        let status = Command::new("sh").args(["-c", &signal, &id]).status().context("run `sh`")?;
        ensure!(status.success(), "a registry has ended");
        self.line()
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.says.read_line(&mut line).context("listen to a registry")?;
        ensure!(read > 0, "a registry has ended");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _ = (self.child.kill(), self.child.wait());
    }
}
