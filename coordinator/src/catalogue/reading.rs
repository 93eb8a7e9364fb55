//! The job files of a tree, each parsed if something of it is another than before.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::Arc;

use jobfile::{Entry, FILES_MAX, JobFile};

use super::tree::Tree;
use super::{CatalogueError, Found, Version};

/// Each job file by its name, or what is wrong with it.
pub(super) type Reading = BTreeMap<String, Result<Arc<JobFile>, String>>;

/// How often it is read again what was another than the time before.
const TRIES: usize = 5;

/// The job files at a path. What is new is read again, and taken once it is the same twice: files may be changed or
/// swapped while they are read.
pub(super) fn on_disk(path: &Path, last: &Reading) -> Result<Found, CatalogueError> {
    let mut before = last.clone();
    let mut failure = CatalogueError::Restless(path.to_owned());
    for _ in 0..TRIES {
        match look(path, &before) {
            Ok(found) if is_same(&found.reading, &before) => return Ok(found),
            Ok(found) => before = found.reading,
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn look(path: &Path, known: &Reading) -> Result<Found, CatalogueError> {
    let failed = |source| CatalogueError::Look { path: path.to_owned(), source };
    let only = if std::fs::metadata(path).map_err(failed)?.is_dir() { None } else { path.file_name() };
    let folder = only.and(path.parent()).unwrap_or(path).to_owned();
    let real = folder.canonicalize().map_err(failed)?;
    let tree = Tree::Disk { name: folder.clone(), real: real.clone() };
    Ok(Found { reading: all(&tree, only, known)?, folder, version: Version::Git(real) })
}

/// All job files at the top of a tree, or `only` one; what is as it is `known` is not parsed again.
pub(super) fn all(tree: &Tree, only: Option<&OsStr>, known: &Reading) -> Result<Reading, CatalogueError> {
    let failed = |source| CatalogueError::Look { path: tree.name().to_owned(), source };
    let names: Vec<OsString> = match only {
        Some(only) => vec![only.to_owned()],
        None => match tree.read(tree.name()).map_err(failed)? {
            Entry::Folder(names) => names.into_iter().filter(|name| is_job_file(name)).collect(),
            Entry::File(_) => Vec::new(),
        },
    };
    if names.len() > FILES_MAX {
        return Err(CatalogueError::TooMany(tree.name().to_owned()));
    }
    let files = names.iter().filter_map(|os_name| {
        let name = os_name.to_string_lossy().into_owned();
        let known = known.get(&name).and_then(|known| known.as_ref().ok());
        let read = file(tree, &tree.name().join(os_name), known)?;
        Some((name, read))
    });
    Ok(files.collect())
}

/// One job file; none if it is a folder.
fn file(tree: &Tree, path: &Path, known: Option<&Arc<JobFile>>) -> Option<Result<Arc<JobFile>, String>> {
    let read = |path: &Path| tree.read(path);
    if let Some(known) = known.filter(|known| known.pack.is_current(&read)) {
        return Some(Ok(known.clone()));
    }
    let content = match tree.read(path) {
        Ok(Entry::File(content)) => content,
        Ok(Entry::Folder(_)) => return None,
        Err(error) => return Some(Err(format!("read `{}`: {error}", path.display()))),
    };
    Some(match jobfile::parse_with(&content, path, &read) {
        Ok(file) => tree.refuse(path, &file).map_or_else(|| Ok(Arc::new(file)), Err),
        Err(faults) => Err(faults.to_string()),
    })
}

/// Names that begin with `.` are those of editors and tools.
fn is_job_file(name: &OsStr) -> bool {
    let extension = Path::new(name).extension();
    let is_yaml = extension.is_some_and(|extension| extension == "yaml" || extension == "yml");
    is_yaml && !name.to_string_lossy().starts_with('.')
}

/// Whether nothing is another: what is the same was not parsed again.
pub(super) fn is_same(one: &Reading, other: &Reading) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((name, file), (other_name, other))| {
            let is_same = match (file, other) {
                (Ok(file), Ok(other)) => Arc::ptr_eq(file, other),
                (Err(text), Err(other)) => text == other,
                _ => false,
            };
            name == other_name && is_same
        })
}
