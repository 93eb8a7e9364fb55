//! Whom we compare, and how each is told what to mirror.

use std::fs::write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::bench::Bench;
use crate::server::Server;

/// A program that copies images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tool {
    #[value(skip)]
    Ours,
    Skopeo,
    Crane,
    Regsync,
}

/// What those do that can be told.
pub(crate) struct Manner {
    pub(crate) at_once: usize,
    /// Whether signatures and SBOMs are copied too.
    pub(crate) referrers: bool,
}

/// `crane` copies one repository; so many of it run at once.
const CRANES: &str = "8";

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "image-factory",
            Self::Skopeo => "skopeo",
            Self::Crane => "crane",
            Self::Regsync => "regsync",
        }
    }

    /// What it is told to do.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Ours => "run",
            Self::Skopeo => "skopeo sync --all",
            Self::Crane => "crane copy --all-tags, 8 at once",
            Self::Regsync => "regsync once",
        }
    }

    /// Where it is, if it is here.
    pub(crate) fn path(self, bench: &Bench) -> Result<Option<PathBuf>> {
        if self == Self::Ours {
            return bench.program(self.name()).map(Some);
        }
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&folders).chain(cache().map(|cache| cache.join("bin")));
        Ok(folders.map(|folder| folder.join(self.name())).find(|path| path.is_file()))
    }

    /// The command that mirrors all tags of `repositories`; files that it needs are written to `folder`, where ours
    /// remembers what it did.
    pub(crate) fn mirror(
        self,
        program: &Path,
        folder: &Path,
        both: [&Server; 2],
        repositories: &[impl AsRef<str>],
        manner: &Manner,
    ) -> Result<Command> {
        let [from, to] = both.map(|server| server.host.as_str());
        let file = folder.join(format!("{}.yaml", self.name()));
        let each =
            |line: &dyn Fn(&str) -> String| repositories.iter().map(|name| line(name.as_ref())).collect::<String>();
        let mut command = Command::new(program);
        let trusted = trusted(both)?;
        if let Some(pem) = &trusted {
            // Heeded by all programs that are written in Go.
            command.env("SSL_CERT_FILE", pem);
        }
        let is_tls = trusted.is_some();
        let text = match self {
            Self::Ours => {
                command.arg("run").arg(&file).arg("--data").arg(folder.join("data"));
                job(both, repositories)?
            }
            Self::Skopeo => {
                command.args(["--insecure-policy", "sync", "--all", "--src", "yaml", "--dest", "docker"]);
                command.arg(format!("--dest-tls-verify={is_tls}")).arg(&file).arg(to);
                let images = each(&|name| format!("    {name}: []\n"));
                format!("{from}:\n  tls-verify: {is_tls}\n  images:\n{images}")
            }
            Self::Crane => {
                let environment =
                    command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
                let environment: Vec<_> = environment.collect();
                command = Command::new("xargs");
                command.envs(environment).arg("--arg-file").arg(&file).args(["-P", CRANES, "-n", "2"]);
                command.arg(program).args(["copy", "--all-tags"]);
                each(&|name| format!("{from}/{name} {to}/{name}\n"))
            }
            Self::Regsync => {
                command.args(["once", "--config"]).arg(&file);
                let sync =
                    each(&|name| format!("  - {{ source: {from}/{name}, target: {to}/{name}, type: repository }}\n"));
                let Manner { at_once, referrers } = manner;
                let tls = if is_tls { "enabled" } else { "disabled" };
                let creds = [from, to]
                    .map(|host| format!("  - {{ registry: \"{host}\", tls: {tls}, reqConcurrent: {at_once} }}\n"));
                let defaults = format!("defaults: {{ parallel: {at_once}, referrers: {referrers} }}");
                format!("version: 1\ncreds:\n{}{defaults}\nsync:\n{sync}", creds.concat())
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
pub(crate) fn job(both: [&Server; 2], repositories: &[impl AsRef<str>]) -> Result<String> {
    let [from, to] = both.map(|server| server.host.as_str());
    let mut text = format!("version: 1\nto: {to}/{{path}}\nimages:\n");
    for repository in repositories {
        text += &format!("  \"{from}/{}\": \"*\"\n", repository.as_ref());
    }
    if let Some(pem) = trusted(both)? {
        text += &format!("network: {{ ca_file: \"{}\" }}\n", pem.display());
    }
    Ok(text)
}

/// A file of the certificates to trust, if the registries speak TLS.
fn trusted([source, destination]: [&Server; 2]) -> Result<Option<PathBuf>> {
    let (Some(source), Some(destination)) = (&source.ca_file, &destination.ca_file) else { return Ok(None) };
    let both = destination.with_file_name("both.pem");
    let pem = [source, destination].map(std::fs::read_to_string).into_iter().collect::<Result<String, _>>();
    write(&both, pem.context("read certificates")?).with_context(|| format!("write `{}`", both.display()))?;
    Ok(Some(both))
}

/// Where `deploy/tools.sh` puts what it builds.
fn cache() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let users = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    folder("IMAGE_FACTORY_CACHE").or_else(|| Some(users()?.join("image-factory")))
}
