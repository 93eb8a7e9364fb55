//! The job file: what a person writes, read into values that cannot be wrong, or refused with all faults at once.
//!
//! Pure but for [`load`]: no network, no runtime. [`parse`] reads the text; [`Rules::select`] says which tags of a
//! listing are wanted; [`Line::targets`] says where they go.
//!
//! # Layout
//!
//! - `job`: what comes out
//! - `tree`: YAML as values that know their lines
//! - `walk`: values of known types out of the tree
//! - `access`: `registries` and `network`
//! - `template`: `to`
//! - `images`: `images`
//! - `rules`, `version`: the rules for tags, and `tag_sets`
//! - `fault`: what is wrong

mod access;
mod fault;
mod images;
mod job;
mod rules;
mod template;
mod tree;
mod version;
mod walk;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::Digest;
use proto::settings::Access;

use crate::access::Registries;
use crate::rules::TagSets;
use crate::walk::Walk;

pub use fault::{Fault, Faults, Place, Position, RuleId, printable};
pub use job::{Expect, Job, Line, Setting, Source};
pub use rules::{Dropped, Rules, Selection, Taken, Why};
pub use template::RepositoryLocation;

/// Largest file that is read, in bytes: 6,000 tags take about 100 KiB.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A job file that was read and checked.
#[derive(Debug, Clone)]
pub struct JobFile {
    /// The digest of the file's bytes: a run is known by it.
    pub digest: Digest,
    /// What runs together, in the order of the file: at least one.
    pub jobs: Vec<Job>,
    /// How to reach the registries.
    pub access: Access,
    /// What is odd, but may be meant.
    pub warnings: Faults,
}

/// Why there is no job file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is wrong.
    #[error(transparent)]
    Faults(#[from] Faults),
}

/// Reads the file at `path`.
///
/// # Errors
/// The file cannot be read, or has faults.
pub fn load(path: &Path) -> Result<JobFile, LoadError> {
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    // One byte more than allowed shows `parse` that there is too much.
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    // Placements are known by their destinations' text, which must not change with the folder that one stands in.
    let absolute = std::path::absolute(path).map_err(failed)?;
    Ok(parse_in(&bytes, path, folder_of(&absolute))?)
}

/// Reads the content of a file; `file` is its name in faults, and its folder is where relative paths begin.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(content: &[u8], file: &Path) -> Result<JobFile, Faults> {
    parse_in(content, file, folder_of(file))
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

fn parse_in(content: &[u8], file: &Path, folder: &Path) -> Result<JobFile, Faults> {
    let file: Arc<Path> = file.into();
    let refuse = |rule, message: String, mend: &str| {
        let place = Place { file: file.clone(), position: Position { line: 1, column: 1 } };
        Err(Faults::new(vec![Fault { place, rule, message, mend: mend.to_owned() }]))
    };
    if content.len() > FILE_BYTES_MAX {
        return refuse(RuleId::Size, format!("the file has more than {FILE_BYTES_MAX} bytes"), "write several files");
    }
    let Ok(text) = std::str::from_utf8(content) else {
        return refuse(RuleId::Yaml, "the file is not UTF-8".to_owned(), "save it as UTF-8");
    };
    let mut walk = Walk { folder, file: file.clone(), faults: Vec::new(), warnings: Vec::new() };
    let (sources, registries) = match tree::read(text, &file, &mut walk.faults) {
        Ok(tree) => top(&mut walk, &tree),
        Err(fault) => {
            walk.faults.push(fault);
            Default::default()
        }
    };
    if !walk.faults.is_empty() {
        return Err(Faults::new(walk.faults));
    }
    warn_of_unused(&mut walk, &sources, &registries);
    let warnings = Faults::new(walk.warnings);
    let jobs = vec![Job { name: None, sources }];
    Ok(JobFile { digest: Digest::of(content), jobs, access: registries.access, warnings })
}

/// The file's top level.
fn top(walk: &mut Walk, tree: &tree::Node) -> (Vec<Source>, Registries) {
    let known = ["version", "to", "images", "tag_sets", "registries", "network"];
    let Some(fields) = walk.fields(tree, "the file", &known) else { return Default::default() };
    let needed = [
        ("version", "write `version: 1`"),
        ("to", "write where images go, as in `to: registry.example.com/mirror/{path}`"),
        ("images", "write what to mirror, as in `images: { docker.io/library/alpine: \">=3.18\" }`"),
    ];
    for (key, mend) in needed.into_iter().filter(|(key, _)| fields.get(key).is_none()) {
        walk.fault(fields.position, RuleId::MissingKey, format!("the file has no `{key}`"), mend);
    }
    match fields.get("version") {
        Some(node) if matches!(&node.value, tree::Value::Typed(_, text) if text == "1") => {}
        Some(node) => walk.fault(node.position, RuleId::Version, "`version` is not 1", "write `version: 1`"),
        None => {}
    }
    let registries = Registries::read(walk, fields.get("registries"), fields.get("network"));
    let to = fields.get("to").map(|node| images::templates(walk, node)).unwrap_or_default();
    let sets = fields.get("tag_sets").map(|node| TagSets::read(walk, node)).unwrap_or_default();
    let images = fields.get("images").map(|node| images::read(walk, node, &to, &registries, &sets));
    sets.warn_of_unused(walk);
    (images.unwrap_or_default(), registries)
}

fn warn_of_unused(walk: &mut Walk, sources: &[Source], registries: &Registries) {
    let destinations = sources.iter().flat_map(|source| &source.lines).flat_map(|line| &line.destinations);
    let locations = sources.iter().map(|source| &source.location).chain(destinations);
    let repositories: Vec<_> = locations.map(RepositoryLocation::repository).collect();
    for (pattern, position) in registries.unused(&repositories) {
        let message = format!("no source and no destination uses the settings of `{pattern}`");
        walk.warn(position, RuleId::UnusedRegistry, message, "correct its name, or leave it out");
    }
}
