//! What is written to a layout folder: under a temporary name first, and by rename, so that nothing half done ever
//! has its final name.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use proto::{Descriptor, Digest};
use tempfile::{NamedTempFile, TempPath};
use tokio::io::AsyncWriteExt;

use super::blocking;
use super::error;
use super::files::{Files, INDEX, INDEX_BYTES_MAX, MARK, beneath};
use super::index::Index;
use crate::blobs::{BlobSource, Progress, PushError};
use crate::error::Error;

/// How the names of files begin that are being written.
const PARTIAL: &str = ".partial-";

/// From this age on, what is being written was left behind by a writer that was killed.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Makes the folder a layout if it is none, and removes what killed writers left in it. Blocks.
pub(super) fn create(path: &Path) -> Result<Files, Error> {
    fs::create_dir_all(path).map_err(error::io("create layout", path))?;
    let root = fs::canonicalize(path).map_err(error::io("open layout", path))?;
    sweep(&root, PARTIAL);
    if beneath(&root, MARK)?.is_none() {
        let mut mark = partial(&root)?;
        mark.write_all(br#"{"imageLayoutVersion":"1.0.0"}"#).map_err(error::io("write", mark.path()))?;
        // Never replaced: others hold their lock on the very file that is there.
        match mark.persist_noclobber(root.join(MARK)) {
            Err(refused) if refused.error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error::io("write", root.join(MARK))(refused.error));
            }
            _ => {}
        }
    }
    let files = Files::folder(&root)?;
    change_index(&root, |_| Ok(()))?;
    Ok(files)
}

/// Removes from `folder` what begins with `prefix` and is older than a day. That it fails is no reason to write
/// nothing.
pub(super) fn sweep(folder: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        let Ok(metadata) = entry.metadata() else { continue };
        let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_some_and(|age| age > LEFTOVER_AGE) {
            let path = entry.path();
            let _ = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}

/// A new file below `folder` that vanishes unless it is given its final name.
fn partial(folder: &Path) -> Result<NamedTempFile, Error> {
    temporary(folder, PARTIAL)
}

/// A new file in `folder` whose name begins with `prefix`, readable for whom the umask allows.
pub(super) fn temporary(folder: &Path, prefix: &str) -> Result<NamedTempFile, Error> {
    tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(error::io("create a file in", folder))
}

/// Writes a blob as it streams in; returns once it lies under its digest, on disk. That it is the right one, the
/// stream has checked before it gave its last bytes.
pub(super) async fn blob(
    root: &Path,
    blob: &Descriptor,
    source: &dyn BlobSource,
    progress: &Progress,
) -> Result<(), PushError> {
    let (file, partial) = stream(root, PARTIAL, blob, source, progress).await?;
    let refused = |source| PushError::Destination(error::io("write a blob to", root)(source));
    file.sync_all().await.map_err(refused)?;
    let (root, digest) = (root.to_owned(), blob.digest.clone());
    blocking(move || place(&root, &digest, partial)).await.map_err(PushError::Destination)
}

/// Writes a blob to a new file in `folder` whose name begins with `prefix`, and which vanishes unless it is given
/// another.
pub(super) async fn stream(
    folder: &Path,
    prefix: &'static str,
    blob: &Descriptor,
    source: &dyn BlobSource,
    progress: &Progress,
) -> Result<(tokio::fs::File, TempPath), PushError> {
    let mut content = source.open(blob).await.map_err(PushError::Source)?;
    let parent = folder.to_owned();
    let parts = blocking(move || Ok(temporary(&parent, prefix)?.into_parts())).await;
    let (file, path) = parts.map_err(PushError::Destination)?;
    let mut file = tokio::fs::File::from_std(file);
    let refused = |source| PushError::Destination(error::io("write a blob to", folder)(source));
    while let Some(chunk) = content.next().await.map_err(PushError::Source)? {
        file.write_all(&chunk).await.map_err(refused)?;
        progress(chunk.len() as u64);
    }
    // Writing goes on in the background, and syncing does not tell that it failed.
    file.flush().await.map_err(refused)?;
    Ok((file, path))
}

/// Writes a small blob, such as a manifest. Blocks.
pub(super) fn bytes(root: &Path, digest: &Digest, content: &Bytes) -> Result<(), Error> {
    let mut file = partial(root)?;
    let written = file.write_all(content).and_then(|()| file.as_file().sync_all());
    written.map_err(error::io("write a blob to", root))?;
    place(root, digest, file.into_temp_path())
}

/// Gives a complete blob its name.
fn place(root: &Path, digest: &Digest, partial: TempPath) -> Result<(), Error> {
    let folder = subfolder(root, "blobs").and_then(|blobs| subfolder(&blobs, digest.algorithm()))?;
    let path = folder.join(digest.hex());
    partial.persist(&path).map_err(|refused| error::io("write blob", path)(refused.error))
}

/// The folder `name` in `parent`, made if it is not there; a link that leads out of `parent` is refused.
fn subfolder(parent: &Path, name: &str) -> Result<PathBuf, Error> {
    let path = parent.join(name);
    match fs::create_dir(&path) {
        Err(refused) if refused.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error::io("create folder", path)(refused));
        }
        _ => {}
    }
    beneath(parent, name)?.ok_or_else(|| error::unusable(parent, format!("`{name}` vanished")))
}

/// Changes `index.json` while no other process does; readers see it before or after. Blocks, also on the others.
pub(super) fn change_index(root: &Path, change: impl FnOnce(&mut Index) -> Result<(), Error>) -> Result<(), Error> {
    let files = Files::Folder(root.to_owned());
    let mark = root.join(MARK);
    let lock = OpenOptions::new().read(true).write(true).open(&mark).map_err(error::io("lock", &mark))?;
    lock.lock().map_err(error::io("lock", &mark))?;
    let before = files.read(INDEX, INDEX_BYTES_MAX)?;
    let mut index = match &before {
        Some(bytes) => Index::parse(bytes).map_err(|source| error::unreadable(root, INDEX, source))?,
        None => Index::empty(),
    };
    change(&mut index)?;
    let after = index.to_bytes();
    if before.as_ref() == Some(&after) {
        return Ok(());
    }
    if after.len() as u64 > INDEX_BYTES_MAX {
        return Err(error::unusable(root, format!("`{INDEX}` would exceed {INDEX_BYTES_MAX} bytes")));
    }
    let mut file = partial(root)?;
    let written = file.write_all(&after).and_then(|()| file.as_file().sync_all());
    written.map_err(error::io("write", root.join(INDEX)))?;
    // The name appears last, after a power cut too: first the blobs' names, then the index's.
    for folder in ["blobs/sha256", "blobs/sha512"] {
        if let Some(folder) = beneath(root, folder)? {
            sync_folder(&folder)?;
        }
    }
    file.persist(root.join(INDEX)).map_err(|refused| error::io("write", root.join(INDEX))(refused.error))?;
    sync_folder(root)
}

/// Makes names in `folder` outlast a power cut, where the file system knows how.
pub(super) fn sync_folder(folder: &Path) -> Result<(), Error> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(refused) if !matches!(refused.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Err(error::io("sync", folder)(refused))
        }
        _ => Ok(()),
    }
}
