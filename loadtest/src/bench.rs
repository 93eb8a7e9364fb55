//! What the scenarios share: the programs, a folder to work in, and the verdict.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sandbox::content::Bench as Shape;

use crate::sample::{Sample, timed};
use crate::server::Server;
use crate::table::Row;
use crate::tool::Tool;

/// Most memory that a command of ours may take, whatever it copies.
const MEMORY_MAX_MIB: f64 = 64.0;

/// How much there is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Of the one layer.
    pub(crate) layer_bytes: u64,
    /// Of the one repository.
    pub(crate) tags: usize,
    /// Of the catalogue.
    pub(crate) repositories: usize,
    /// Of each of these repositories, without `latest`.
    pub(crate) tags_each: usize,
    /// Of the repositories with shared layers of full size.
    pub(crate) mirror: Shape,
    /// Of the repositories in which nothing has changed.
    pub(crate) unchanged: Shape,
    /// To the registries of many repositories and back, in milliseconds: one after the other.
    pub(crate) round_trips_ms: &'static [usize],
    /// Of the repository that goes to a limited registry: at some requests for each, for two minutes.
    pub(crate) tags_limited: usize,
    /// Requests at once by which the replay limit is sought.
    pub(crate) at_once: &'static [usize],
    /// How often what does not take long is measured.
    pub(crate) times: usize,
    /// Whether times are long enough to be judged.
    pub(crate) is_judged: bool,
}

pub(crate) const FULL: Size = Size {
    layer_bytes: 4 << 30,
    tags: 2_000,
    repositories: 20,
    tags_each: 20,
    mirror: shape(40, 25, 1),
    unchanged: shape(500, 20, 64),
    round_trips_ms: &[0, 20],
    tags_limited: 300,
    at_once: &[5, 10, 20, 50],
    times: 3,
    is_judged: true,
};

pub(crate) const QUICK: Size = Size {
    layer_bytes: 8 << 20,
    tags: 6,
    repositories: 2,
    tags_each: 2,
    mirror: shape(2, 5, 64),
    unchanged: shape(3, 5, 64),
    round_trips_ms: &[1],
    tags_limited: 2,
    at_once: &[5],
    times: 1,
    is_judged: false,
};

const fn shape(repositories: u64, tags: u64, divisor: usize) -> Shape {
    Shape { repositories, tags, divisor, seed: 1 }
}

pub(crate) struct Bench {
    pub(crate) size: Size,
    /// Who is not compared.
    pub(crate) without: Vec<Tool>,
    /// Where the programs lie: beside this one, as cargo puts them.
    programs: PathBuf,
    folder: PathBuf,
    missed: Vec<String>,
}

impl Bench {
    pub(crate) fn new(size: Size, without: Vec<Tool>) -> Result<Self> {
        let own = std::env::current_exe().context("find this program")?;
        let programs = own.parent().context("this program lies nowhere")?.to_owned();
        // Beside the build, since the system's temporary folder may be memory. Always the same, so that one that was
        // interrupted leaves nothing behind for long.
        let folder = programs.join("bench");
        remove(&folder)?;
        std::fs::create_dir(&folder).with_context(|| format!("create `{}`", folder.display()))?;
        Ok(Self { size, without, programs, folder, missed: Vec::new() })
    }

    /// A path to work with.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A program of ours.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let program = self.programs.join(name);
        ensure!(program.is_file(), "`{}` is not there; `make bench` builds it", program.display());
        Ok(program)
    }

    /// Starts a registry with these options of `sandbox`.
    pub(crate) fn serve(&self, name: &str, tls: bool, options: &[String]) -> Result<Server> {
        Server::start(&self.program("sandbox")?, tls.then(|| self.path(name)).as_deref(), options)
    }

    /// Starts a `docker-registry` with nothing in it, over TLS; `None` if it is not here.
    pub(crate) fn serve_real(&self, name: &str, round_trip_ms: usize) -> Result<Option<Server>> {
        let folder = self.empty(name)?;
        Server::start_real(&folder, &self.program("sandbox")?, round_trip_ms)
    }

    /// An empty folder.
    pub(crate) fn empty(&self, name: &str) -> Result<PathBuf> {
        let folder = self.path(name);
        remove(&folder)?;
        std::fs::create_dir(&folder).with_context(|| format!("create `{}`", folder.display()))?;
        Ok(folder)
    }

    /// Who is compared and is here, with its program; says who is not.
    pub(crate) fn tools(&self, tools: &[Tool]) -> Result<Vec<(Tool, PathBuf)>> {
        let mut here = Vec::new();
        for tool in tools.iter().filter(|tool| !self.without.contains(tool)) {
            match tool.path(self)? {
                Some(program) => here.push((*tool, program)),
                None => println!("{:<44} {:>20}", tool.name(), "not here"),
            }
        }
        Ok(here)
    }

    /// Runs a command and adds to `row` what it took; whether it did not fail.
    pub(crate) fn measure(&mut self, row: &mut Row, command: &Command, servers: [&mut Server; 2]) -> Result<bool> {
        let [source, destination] = servers;
        // What came before is not this command's.
        source.counts()?;
        destination.counts()?;
        let usage = match timed(command, &self.path("time"))? {
            Ok(usage) => usage,
            Err(said) => {
                println!("failed: {command:?}\n{said}");
                if row.tool == Tool::Ours {
                    self.missed.push(format!("{}: it failed", row.what));
                }
                return Ok(false);
            }
        };
        row.samples.push(Sample { usage, source: source.counts()?, destination: destination.counts()? });
        Ok(true)
    }

    /// Prints a row, and judges its memory if it is ours.
    pub(crate) fn print(&mut self, row: &Row) {
        println!("{row}");
        let mib = row.samples.iter().map(|sample| sample.usage.peak_mib).fold(0.0, f64::max);
        self.judge(row.tool != Tool::Ours || mib <= MEMORY_MAX_MIB, || {
            format!("{}: {mib:.1} MiB of memory, more than {MEMORY_MAX_MIB}", row.what)
        });
    }

    /// Notes a budget that was missed.
    pub(crate) fn judge(&mut self, is_kept: bool, miss: impl FnOnce() -> String) {
        if !is_kept {
            self.missed.push(miss());
        }
    }

    /// Cleans up; the budgets that were missed.
    pub(crate) fn end(self) -> Result<Vec<String>> {
        remove(&self.folder)?;
        Ok(self.missed)
    }
}

/// Removes a folder, if it is there.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}
