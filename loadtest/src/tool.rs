//! Whom we compare, and how each is told what to mirror.

use std::fs::write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::bench::Bench;
use crate::server::Server;

/// A program that copies images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Ours,
    Skopeo,
    Regsync,
}

impl Tool {
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::Skopeo, Self::Regsync];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "image-factory",
            Self::Skopeo => "skopeo",
            Self::Regsync => "regsync",
        }
    }

    /// Where it is, if it is here.
    pub(crate) fn path(self, bench: &Bench) -> Result<Option<PathBuf>> {
        if self == Self::Ours {
            return bench.program(self.name()).map(Some);
        }
        let folders = std::env::var_os("PATH").unwrap_or_default();
        Ok(std::env::split_paths(&folders).map(|folder| folder.join(self.name())).find(|path| path.is_file()))
    }

    /// The command that mirrors all tags of `repositories`; files that it needs are written to `folder`, where ours
    /// remembers what it did.
    pub(crate) fn mirror(
        self,
        program: &Path,
        folder: &Path,
        [source, destination]: [&Server; 2],
        repositories: &[&str],
    ) -> Result<Command> {
        let (from, to) = (&source.host, &destination.host);
        let file = folder.join(format!("{}.yaml", self.name()));
        let each = |line: &dyn Fn(&str) -> String| repositories.iter().map(|name| line(name)).collect::<String>();
        let mut command = Command::new(program);
        let text = match self {
            Self::Ours => {
                command.arg("run").arg(&file).arg("--data").arg(folder.join("data"));
                job(source, destination, repositories)?
            }
            Self::Skopeo => {
                command.args(["--insecure-policy", "sync", "--all", "--src", "yaml", "--dest", "docker"]);
                command.arg("--dest-tls-verify=false").arg(&file).arg(to);
                let images = each(&|name| format!("    {name}: []\n"));
                format!("{from}:\n  tls-verify: false\n  images:\n{images}")
            }
            Self::Regsync => {
                command.args(["once", "--config"]).arg(&file);
                let sync =
                    each(&|name| format!("  - {{ source: {from}/{name}, target: {to}/{name}, type: repository }}\n"));
                // As many at once as we take, and what we copy beside images too.
                format!(
                    "version: 1\ncreds:\n  - {{ registry: \"{from}\", tls: disabled }}\n  - {{ registry: \"{to}\", tls: disabled }}\n\
                     defaults: {{ parallel: 8, referrers: true }}\nsync:\n{sync}"
                )
            }
        };
        write(&file, text).with_context(|| format!("write `{}`", file.display()))?;
        Ok(command)
    }

    /// The command that copies one image between registries with all its platforms; ours takes settings from `job`.
    pub(crate) fn copy(self, program: &Path, job: &Path, image: &str, [source, destination]: [&Server; 2]) -> Command {
        let (from, to) = (&source.host, &destination.host);
        let mut command = Command::new(program);
        if self == Self::Ours {
            command.args(["copy", "--settings"]).arg(job);
            command.args([from, to].map(|host| format!("{host}/{image}")));
        } else {
            command.args(["--insecure-policy", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false"]);
            command.args([from, to].map(|host| format!("docker://{host}/{image}")));
        }
        command
    }
}

/// A job file of ours; trusts the registries if they speak TLS.
pub(crate) fn job(source: &Server, destination: &Server, repositories: &[&str]) -> Result<String> {
    let mut text = format!("version: 1\nto: {}/{{path}}\nimages:\n", destination.host);
    for repository in repositories {
        text += &format!("  \"{}/{repository}\": \"*\"\n", source.host);
    }
    if let (Some(source), Some(destination)) = (&source.ca_file, &destination.ca_file) {
        let both = destination.with_file_name("both.pem");
        let pem = [source, destination].map(std::fs::read_to_string).into_iter().collect::<Result<String, _>>();
        write(&both, pem.context("read certificates")?).with_context(|| format!("write `{}`", both.display()))?;
        text += &format!("network: {{ ca_file: \"{}\" }}\n", both.display());
    }
    Ok(text)
}
