//! The files that a job file consists of, and the digest of them all.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use proto::Digest;

use crate::fault::RuleId;
use crate::pack::Found;
use crate::{FILE_BYTES_MAX, FILES_BYTES_MAX, FILES_MAX};

/// One of the files that a job file consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDigest {
    /// Its path from the folder of the job file; absolute if it lies elsewhere.
    pub path: String,
    /// The digest of its bytes.
    pub digest: Digest,
}

/// What lies under a path.
#[derive(Debug)]
pub enum Entry {
    /// A file with this content; of one with more than [`FILE_BYTES_MAX`] bytes, one byte more is enough.
    File(Vec<u8>),
    /// A folder with these names in it.
    Folder(Vec<OsString>),
}

/// Gives what lies under a path.
pub type ReadEntry<'r> = dyn Fn(&Path) -> io::Result<Entry> + 'r;

/// What is wrong with a file.
pub(crate) type Problem = (RuleId, String);

/// Reads files, and remembers what was found and the digest of each.
pub(crate) struct Files<'r> {
    read: &'r ReadEntry<'r>,
    /// The folder of the job file.
    folder: PathBuf,
    /// The same, as it is named in faults.
    named: PathBuf,
    bytes: usize,
    count: usize,
    /// The job file.
    main: String,
    digests: BTreeMap<String, Digest>,
    found: BTreeMap<PathBuf, Found>,
}

impl<'r> Files<'r> {
    /// The job file itself, called `file`, and what can be read beside it.
    pub(crate) fn new(file: &Path, content: &[u8], folder: &Path, read: &'r ReadEntry<'r>) -> Self {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let digests = BTreeMap::from([(name.clone(), Digest::of(content))]);
        let named = file.parent().unwrap_or(Path::new("")).to_owned();
        let (folder, found) = (folder.to_owned(), BTreeMap::new());
        Self { read, folder, named, bytes: content.len(), count: 1, main: name, digests, found }
    }

    /// The name of the job file.
    pub(crate) fn main(&self) -> &str {
        &self.main
    }

    /// The name of a path for people and digests: from the folder of the job file, if it lies in it.
    pub(crate) fn name(&self, path: &Path) -> String {
        let path = normal(path);
        path.strip_prefix(normal(&self.folder)).unwrap_or(&path).to_string_lossy().into_owned()
    }

    /// What lies under `path`, without a word if it is no file.
    pub(crate) fn look(&mut self, path: &Path) -> io::Result<Entry> {
        let seen = (self.read)(path);
        if let Some(found) = Found::of(&seen) {
            self.found.entry(path.to_owned()).or_insert(found);
        }
        seen
    }

    /// The text of the file at `path`, and the file as it is named in faults.
    pub(crate) fn text(&mut self, path: &Path) -> Result<(Arc<Path>, String), Problem> {
        let name = self.name(path);
        // Once for all who name it: it may change in between.
        if let Some(Found::Text(text)) = self.found.get(path) {
            return Ok((self.named.join(name).into(), text.clone()));
        }
        let failed = |why: String| (RuleId::File, format!("`{name}` cannot be read: {why}"));
        if self.count == FILES_MAX {
            return Err((RuleId::Size, format!("there are more than {FILES_MAX} files")));
        }
        self.count += 1;
        let bytes = match (self.read)(path) {
            Ok(Entry::File(bytes)) => bytes,
            Ok(Entry::Folder(_)) => return Err(failed("it is a folder".to_owned())),
            Err(error) => return Err(failed(error.to_string())),
        };
        if bytes.len() > FILE_BYTES_MAX {
            return Err((RuleId::Size, format!("`{name}` has more than {FILE_BYTES_MAX} bytes")));
        }
        self.bytes += bytes.len();
        if self.bytes > FILES_BYTES_MAX {
            return Err((RuleId::Size, format!("the files have more than {FILES_BYTES_MAX} bytes")));
        }
        let digest = Digest::of(&bytes);
        let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8".to_owned()))?;
        let file: Arc<Path> = self.named.join(&name).into();
        self.digests.insert(name, digest);
        self.found.insert(path.to_owned(), Found::Text(text.clone()));
        Ok((file, text))
    }

    /// All that was found besides the job file.
    pub(crate) fn take_found(&mut self) -> BTreeMap<PathBuf, Found> {
        std::mem::take(&mut self.found)
    }

    /// The digest of all files, and of each.
    pub(crate) fn digests(self) -> (Digest, Vec<FileDigest>) {
        let files = self.digests.into_iter().map(|(path, digest)| FileDigest { path, digest });
        let files: Vec<FileDigest> = files.collect();
        if let [file] = &files[..] {
            return (file.digest.clone(), files);
        }
        let lines: String = files.iter().map(|file| format!("{}  {}\n", file.digest.hex(), file.path)).collect();
        (Digest::of(lines.as_bytes()), files)
    }
}

/// What lies under a path of this machine.
///
/// # Errors
/// It cannot be read, or is neither a file nor a folder.
pub fn on_disk(path: &Path) -> io::Result<Entry> {
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        let names = std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.file_name()));
        return Ok(Entry::Folder(names.collect::<io::Result<_>>()?));
    }
    // Reading a pipe may never end.
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    read_whole(path).map(Entry::File)
}

/// The content of a file, or one byte more than is allowed.
pub(crate) fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Without `.` and `..`, as far as names alone can tell.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(normal.components().next_back(), Some(Component::Normal(_))) => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}
