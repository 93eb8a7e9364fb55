//! All that was read for a job file, as one value: whoever takes a run over reads exactly the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{Entry, ReadEntry};
use crate::{Faults, JobFile, parse_in};

/// The texts of a job file and of all files that it names, and what was found in the folders that it looks into.
///
/// As one JSON document it outlives the files; one with a path that is not UTF-8 cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// The job file, as faults name it.
    pub(crate) file: PathBuf,
    /// Its folder, where relative paths begin.
    pub(crate) folder: PathBuf,
    /// Its text.
    pub(crate) text: String,
    /// What lay under each other path that was looked at.
    pub(crate) found: BTreeMap<PathBuf, Found>,
}

/// What lay under a path, as far as reading the job file depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Found {
    /// A file that was read.
    Text(String),
    /// A file of which no more was asked than whether it is one.
    File,
    /// A folder with these names in it.
    Folder(BTreeSet<String>),
    /// Nothing: a file that comes there later may be one that is named.
    Nothing,
}

impl Found {
    /// What was seen; none if that could not be told, which leaves no job file either.
    pub(crate) fn of(seen: &io::Result<Entry>) -> Option<Self> {
        match seen {
            Ok(Entry::File(_)) => Some(Self::File),
            // One that is not UTF-8 is compared so too, and is not found under this name.
            Ok(Entry::Folder(names)) => {
                Some(Self::Folder(names.iter().map(|name| name.to_string_lossy().into_owned()).collect()))
            }
            Err(error) if is_nothing(error) => Some(Self::Nothing),
            Err(_) => None,
        }
    }

    fn entry(&self) -> io::Result<Entry> {
        match self {
            Self::Text(text) => Ok(Entry::File(text.clone().into_bytes())),
            Self::File => Ok(Entry::File(Vec::new())),
            Self::Folder(names) => Ok(Entry::Folder(names.iter().map(Into::into).collect())),
            Self::Nothing => Err(ErrorKind::NotFound.into()),
        }
    }

    fn is_still(&self, seen: &io::Result<Entry>) -> bool {
        match (self, seen) {
            (Self::Text(text), Ok(Entry::File(bytes))) => text.as_bytes() == bytes,
            (found, seen) => Self::of(seen).as_ref() == Some(found),
        }
    }
}

/// Whether there is nothing under a path, and never was more than a part of it.
pub(crate) fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

impl Pack {
    /// The job file that this was read for. Nothing is read again.
    ///
    /// # Errors
    /// This was read by a program with other rules, by which it has faults.
    pub fn parse(&self) -> Result<JobFile, Faults> {
        let read = |path: &Path| self.found.get(path).map_or_else(|| Err(ErrorKind::NotFound.into()), Found::entry);
        parse_in(self.text.as_bytes(), &self.file, &self.folder, &read)
    }

    /// Whether reading the job file again would give the same.
    pub fn is_current(&self, read: &ReadEntry) -> bool {
        let file = self.folder.join(self.file.file_name().unwrap_or_default());
        let is_same = matches!(read(&file), Ok(Entry::File(bytes)) if bytes == self.text.as_bytes());
        is_same && self.found.iter().all(|(path, found)| found.is_still(&read(path)))
    }
}
