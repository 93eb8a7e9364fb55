//! Writes an archive: a layout in a folder first, and then a tar of it, the same bytes for the same image.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::files::{INDEX, MARK};
use super::{Layout, blocking, error, write};
use crate::error::Error;

/// An archive being written; one image goes into it. Dropped before [`finish`](Self::finish), it leaves nothing.
pub struct Archive {
    /// The tar to be.
    target: PathBuf,
    layout: Layout,
    /// Where the layout lies until then: beside the target, so that it is on the same disk.
    folder: TempDir,
}

impl Archive {
    /// Begins an archive that is to lie at `target`; an older one there stays until [`finish`](Self::finish).
    ///
    /// # Errors
    /// `Io` or `NotFound`: the folder of `target` cannot be written. `Unsupported`: what lies there is no archive.
    pub async fn create(target: impl Into<PathBuf>) -> Result<Self, Error> {
        let target = target.into();
        if target.exists() {
            // Anything else is somebody's file, and would be gone.
            Layout::open_archive(&target).await?;
        }
        let parent = parent(&target).to_owned();
        let prefix = partial_prefix(&target);
        let folder = blocking(move || {
            write::sweep(&parent, &prefix.to_string_lossy());
            let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(&parent);
            folder.map_err(error::io("create a folder in", parent))
        })
        .await?;
        let layout = Layout::create(folder.path()).await?;
        Ok(Self { target, layout, folder })
    }

    /// The layout to be put into the archive.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Writes the tar and puts it in the target's place.
    ///
    /// # Errors
    /// `Io`: it cannot be written; then what lay there still does.
    pub async fn finish(&self) -> Result<(), Error> {
        let (root, target) = (self.folder.path().to_owned(), self.target.clone());
        blocking(move || {
            write::change_index(&root, |index| {
                index.sort();
                Ok(())
            })?;
            let folder = parent(&target);
            let file = write::temporary(folder, &partial_prefix(&target).to_string_lossy())?;
            let packed = pack(&root, file.as_file()).and_then(|()| file.as_file().sync_all());
            packed.map_err(error::io("write archive", &target))?;
            file.persist(&target).map_err(|refused| error::io("write archive", &target)(refused.error))?;
            write::sync_folder(folder)
        })
        .await
    }
}

/// How names begin that belong to the writing of `target`.
fn partial_prefix(target: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(target.file_name().unwrap_or_default());
    prefix.push(".partial-");
    prefix
}

fn parent(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Writes the tar of the layout in `root`: readers find first what they need first.
fn pack(root: &Path, target: &File) -> io::Result<()> {
    let mut tar = tar::Builder::new(BufWriter::new(target));
    let mut paths = vec![MARK.to_owned(), INDEX.to_owned()];
    paths.extend(blob_paths(root)?);
    for path in paths {
        let file = File::open(root.join(&path))?;
        let mut header = tar::Header::new_gnu();
        header.set_size(file.metadata()?.len());
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, &path, file)?;
    }
    tar.into_inner()?.flush()
}

/// The paths of all blobs, sorted.
fn blob_paths(root: &Path) -> io::Result<Vec<String>> {
    let mut paths = Vec::new();
    for algorithm in ["sha256", "sha512"] {
        let folder = format!("blobs/{algorithm}");
        if !root.join(&folder).is_dir() {
            continue;
        }
        for entry in fs::read_dir(root.join(&folder))? {
            paths.push(format!("{folder}/{}", entry?.file_name().to_string_lossy()));
        }
    }
    paths.sort();
    Ok(paths)
}
