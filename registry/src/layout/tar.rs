//! A tar of a layout, read in place: its headers once, its content by offset.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::error;
use super::files::Extent;
use crate::error::Error;

/// Most entries that a tar may have.
const ENTRIES_MAX: usize = 100_000;

/// Most bytes of headers (512 for an entry, more for long names) that are read: some room above [`ENTRIES_MAX`].
const HEADER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A tar and where in it each file lies.
pub(super) struct Tar {
    path: PathBuf,
    /// Offset and length of the regular files.
    entries: HashMap<String, (u64, u64)>,
}

impl Tar {
    /// Reads the headers. Blocks.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(error::io("open archive", path))?;
        let metadata = file.metadata().map_err(error::io("open archive", path))?;
        if !metadata.is_file() {
            return Err(error::unusable(path, "it is not a file; a folder is `oci:PATH`"));
        }
        let entries = list(file, metadata.len()).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => error::unusable(path, error.to_string()),
            // So the reader says that a header makes no sense, whatever is the matter.
            io::ErrorKind::Other => error::unusable(path, "it is not an uncompressed tar"),
            _ => error::io("read archive", path)(error),
        })?;
        Ok(Self { path: path.to_owned(), entries })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file called `relative`. Blocks.
    pub(super) fn open_entry(&self, relative: &str) -> Result<Option<Extent>, Error> {
        let Some((offset, size)) = self.entries.get(relative) else { return Ok(None) };
        let extent = File::open(&self.path).and_then(|file| Extent::within(file, *offset, *size));
        extent.map(Some).map_err(error::io("read archive", &self.path))
    }
}

/// Where the regular files of a tar of `length` bytes lie.
fn list(file: File, length: u64) -> io::Result<HashMap<String, (u64, u64)>> {
    let refuse = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut archive = tar::Archive::new(Headers { file, left: HEADER_BYTES_MAX });
    let mut entries = HashMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let Some(name) = plain_name(&entry.path()?).filter(|_| entry.header().entry_type().is_file()) else {
            continue;
        };
        let (offset, size) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(size).is_none_or(|end| end > length) {
            return Err(refuse(format!("it is cut short: `{name}` ends behind its end")));
        }
        if entries.len() == ENTRIES_MAX {
            return Err(refuse(format!("it has more than {ENTRIES_MAX} entries")));
        }
        // Readers disagree on which of two files counts.
        if entries.insert(name.clone(), (offset, size)).is_some() {
            return Err(refuse(format!("it has `{name}` twice")));
        }
    }
    Ok(entries)
}

/// `path` without `./`; none for a path that no file of a layout has.
fn plain_name(path: &Path) -> Option<String> {
    let mut name = String::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) if name.is_empty() => name.push_str(part.to_str()?),
            Component::Normal(part) => {
                name.push('/');
                name.push_str(part.to_str()?);
            }
            _ => return None,
        }
    }
    Some(name)
}

/// A file of which only a bounded number of bytes may be read, while any may be skipped: long names are read into
/// memory whole.
struct Headers {
    file: File,
    left: u64,
}

impl Read for Headers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("its headers exceed {HEADER_BYTES_MAX} bytes"))
        })?;
        Ok(read)
    }
}

impl Seek for Headers {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
