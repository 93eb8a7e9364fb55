//! Files as they lie at one moment, on disk or in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use jobfile::{Entry, JobFile};

/// Files below a folder that has a name of its own.
pub(super) enum Tree {
    /// On disk.
    Disk {
        /// What it is called: names of places and destinations begin with it, and must stay when a symlink moves on.
        name: PathBuf,
        /// Where that led when it was looked at. All is read there, so that none of it is of another time.
        real: PathBuf,
    },
    /// In memory.
    Memory {
        /// What it is called.
        name: PathBuf,
        /// Its files, by paths without `.` and `..`.
        files: BTreeMap<PathBuf, Vec<u8>>,
    },
}

impl Tree {
    pub(super) fn name(&self) -> &Path {
        let (Self::Disk { name, .. } | Self::Memory { name, .. }) = self;
        name
    }

    /// What lies under a path, which begins with the name of the tree unless it is elsewhere.
    pub(super) fn read(&self, path: &Path) -> io::Result<Entry> {
        match (self, path.strip_prefix(self.name())) {
            (Self::Disk { real, .. }, Ok(rest)) => jobfile::on_disk(&real.join(rest)),
            (Self::Disk { .. }, Err(_)) => jobfile::on_disk(path),
            (Self::Memory { files, .. }, Ok(rest)) => in_memory(files, rest),
            // What comes from a registry reads nothing of this machine.
            (Self::Memory { .. }, Err(_)) => Err(ErrorKind::NotFound.into()),
        }
    }

    /// What the job file at `path`, which was read here, may not say: to read a file later, of a folder that there is not.
    pub(super) fn refuse(&self, path: &Path, file: &JobFile) -> Option<String> {
        let Self::Memory { name, .. } = self else { return None };
        let access = serde_json::to_string(&file.access).unwrap_or_default();
        let names_one = name.to_str().is_some_and(|name| access.contains(name));
        names_one.then(|| {
            let path = path.display();
            format!(
                "`{path}` names certificates or secrets by relative paths, which lead nowhere here; write absolute ones"
            )
        })
    }
}

fn in_memory(files: &BTreeMap<PathBuf, Vec<u8>>, path: &Path) -> io::Result<Entry> {
    let path = inside(path).ok_or(ErrorKind::NotFound)?;
    if let Some(bytes) = files.get(&path) {
        return Ok(Entry::File(bytes.clone()));
    }
    let below = files.keys().filter_map(|file| file.strip_prefix(&path).ok()?.iter().next());
    let names: BTreeSet<OsString> = below.map(ToOwned::to_owned).collect();
    if names.is_empty() { Err(ErrorKind::NotFound.into()) } else { Ok(Entry::Folder(names.into_iter().collect())) }
}

/// Without `.` and `..`; none if it leads out of the tree.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::ParentDir => inside.pop().then_some(())?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(inside)
}
