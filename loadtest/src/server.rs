//! A registry in a process of its own, so that what it takes is not counted as the command's.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A `sandbox` that runs until this is dropped.
pub(crate) struct Server {
    process: Child,
    says: BufReader<ChildStdout>,
    /// As in an image reference.
    pub(crate) host: String,
    /// The certificate to trust, if it speaks TLS.
    pub(crate) ca_file: Option<PathBuf>,
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
}

impl Counts {
    /// All requests.
    pub(crate) fn asked(&self) -> u64 {
        self.requests.values().sum()
    }
}

impl Server {
    /// Starts it and waits until it listens; with TLS if there is a folder for its certificate.
    pub(crate) fn start(program: &Path, tls: Option<&Path>, options: &[String]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(options).stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(folder) = tls {
            command.arg("--tls").arg(folder);
        }
        let mut process = command.spawn().with_context(|| format!("start {command:?}"))?;
        let says = BufReader::new(process.stdout.take().context("a registry has no stdout")?);
        let ca_file = tls.map(|folder| folder.join("ca.pem"));
        let mut server = Self { process, says, host: String::new(), ca_file };
        let url = server.line()?;
        server.host = url.split_once("://").with_context(|| format!("`{url}` is no URL"))?.1.to_owned();
        Ok(server)
    }

    /// What it was asked since this was last called.
    pub(crate) fn counts(&mut self) -> Result<Counts> {
        let id = self.process.id().to_string();
        let status = Command::new("sh").args(["-c", "kill -USR1 \"$0\"", &id]).status().context("run `sh`")?;
        ensure!(status.success(), "a registry has ended");
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("read the counts `{line}`"))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.says.read_line(&mut line).context("listen to a registry")?;
        ensure!(read > 0, "a registry has ended");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _ = (self.process.kill(), self.process.wait());
    }
}
