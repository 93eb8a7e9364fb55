//! The job file: what a person writes, read into values that cannot be wrong, or refused with all faults at once.
//!
//! Pure but for [`load`]: no network, no runtime. [`parse`] reads the text; [`Rules::select`] says which tags of a
//! listing are wanted; [`Line::targets`] says where they go.
//!
//! # Layout
//!
//! - `job`: what comes out
//! - `files`, `tree`, `walk`, `keys`: files, YAML as values that know their lines, values of known types, and the keys
//!   that there are
//! - `pack`: all that was read, to be read again
//! - `read`: the file as a whole, in the order of what builds on what
//! - `include`, `access` (`registries`, `network`), `destinations`, `template`: what is defined
//! - `layers`, `lines`: settings, and what they mean for one repository
//! - `groups`, `source`, `lists`, `jobs`: what is mirrored
//! - `schedule`, `cron`: when
//! - `collisions`: what cannot be mirrored together
//! - `rules`, `version`: the rules for tags, and `tag_sets`
//! - `quantities`: times, bandwidths, percentages
//! - `schema`: the keys, for editors
//! - `fault`: what is wrong

mod access;
mod collisions;
mod cron;
mod destinations;
mod fault;
mod files;
mod groups;
mod include;
mod job;
mod jobs;
mod keys;
mod layers;
mod lines;
mod lists;
mod pack;
mod quantities;
mod read;
mod rules;
mod schedule;
mod schema;
mod source;
mod template;
mod tree;
mod version;
mod walk;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::Digest;
use proto::settings::Access;

use crate::files::Files;
use crate::read::Content;
use crate::rules::TagSets;
use crate::walk::Walk;

pub use cron::Cron;
pub use fault::{Fault, Faults, Place, Position, RuleId, printable};
pub use files::{Entry, FileDigest, ReadEntry, on_disk};
pub use job::{Expect, Job, Line, Setting, Source};
pub use pack::Pack;
pub use rules::{Dropped, Rules, Selection, Taken, Why};
pub use schedule::{Missed, Overlap, Schedule, Window};
pub use schema::schema;
pub use template::RepositoryLocation;

/// Largest file that is read, in bytes: 6,000 tags take about 100 KiB.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most bytes of a job file with all files that it names.
pub const FILES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most files that a job file consists of.
pub const FILES_MAX: usize = 1_000;

/// A job file that was read and checked.
#[derive(Debug, Clone)]
pub struct JobFile {
    /// A run is known by it: the digest of the file's bytes or, of several files, of the lines `<hex>  <path>\n` in the
    /// order of the paths, as `sha256sum` prints them.
    pub digest: Digest,
    /// All files that were read, in the order of their paths: the job file, what it includes, and lists.
    pub files: Vec<FileDigest>,
    /// What runs together, in the order of the file: at least one.
    pub jobs: Vec<Job>,
    /// How to reach the registries.
    pub access: Access,
    /// What is odd, but may be meant.
    pub warnings: Faults,
    /// Repositories that the file says to skip, each with the place where it does.
    pub skipped: Vec<(RepositoryLocation, Place)>,
    /// All that was read for it.
    pub pack: Pack,
    /// For rules that stand in no file.
    pub(crate) sets: Arc<TagSets>,
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

/// Reads the file at `path`, and the files that it names.
///
/// # Errors
/// The file cannot be read, or there are faults.
pub fn load(path: &Path) -> Result<JobFile, LoadError> {
    let failed = |source| LoadError::Read { path: path.to_owned(), source };
    let content = files::read_whole(path).map_err(failed)?;
    // Placements are known by their destinations' text, which must not change with the folder that one stands in.
    let absolute = std::path::absolute(path).map_err(failed)?;
    Ok(parse_in(&content, path, folder_of(&absolute), &files::on_disk)?)
}

/// Reads the content of a file that stands alone: one that names others has faults. `file` is its name in faults, and
/// its folder is where relative paths begin.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(content: &[u8], file: &Path) -> Result<JobFile, Faults> {
    let alone = |_: &Path| Err(io::Error::other("only the job file itself is at hand"));
    parse_with(content, file, &alone)
}

/// The same, with the files that it names from `read`.
///
/// # Errors
/// All that is wrong with it, or with them.
pub fn parse_with(content: &[u8], file: &Path, read: &ReadEntry) -> Result<JobFile, Faults> {
    parse_in(content, file, folder_of(file), read)
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

fn parse_in(content: &[u8], file: &Path, folder: &Path, read: &ReadEntry) -> Result<JobFile, Faults> {
    let mut files = Files::new(file, content, folder, read);
    let file: Arc<Path> = file.into();
    let refuse = |rule, message: String, mend: &str| {
        let place = Place { file: file.clone(), position: Position::START };
        Err(Faults::new(vec![Fault { place, rule, message, mend: mend.to_owned() }]))
    };
    if content.len() > FILE_BYTES_MAX {
        return refuse(RuleId::Size, format!("the file has more than {FILE_BYTES_MAX} bytes"), "write several files");
    }
    let Ok(text) = std::str::from_utf8(content) else {
        return refuse(RuleId::Yaml, "the file is not UTF-8".to_owned(), "save it as UTF-8");
    };
    let mut walk = Walk { folder: folder.to_owned(), file: file.clone(), faults: Vec::new(), warnings: Vec::new() };
    let Content { jobs, access, sets, skipped } = match tree::read(text, &file, &mut walk.faults) {
        Ok(tree) => read::read(&mut walk, &mut files, &tree),
        Err(fault) => {
            walk.faults.push(fault);
            Default::default()
        }
    };
    if !walk.faults.is_empty() {
        return Err(Faults::new(walk.faults));
    }
    let (file, folder) = (file.to_path_buf(), folder.to_owned());
    let pack = Pack { file, folder, text: text.to_owned(), found: files.take_found() };
    let (digest, files) = files.digests();
    let warnings = Faults::new(walk.warnings);
    Ok(JobFile { digest, files, jobs, access, warnings, skipped, pack, sets: sets.into() })
}
