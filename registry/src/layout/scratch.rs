//! Blobs each in a file of its own, which vanishes when it is not needed any more.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use proto::Descriptor;
use tempfile::TempPath;

use super::{blocking, error, read, write};
use crate::blobs::{BlobSource, BlobStream, Progress, PushError};
use crate::error::Error;

/// How the names of the files begin. A name says nothing of the content: what is not held is not believed.
const BLOB: &str = ".blob-";

/// A folder for blobs, of one process alone.
#[derive(Debug)]
pub struct Scratch(PathBuf);

/// A blob in a file, which is removed when this is dropped.
#[derive(Debug)]
pub struct ScratchBlob(TempPath);

impl Scratch {
    /// The folder at `path`: made if it is not there, and emptied of the blobs that a killed process left in it.
    ///
    /// # Errors
    /// `Io`: it cannot be written.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        blocking(move || {
            fs::create_dir_all(&path).map_err(error::io("create folder", &path))?;
            let root = fs::canonicalize(&path).map_err(error::io("open folder", &path))?;
            clean(&root).map_err(error::io("clean folder", &root))?;
            Ok(Self(root))
        })
        .await
    }

    /// Reads a blob from `source` into a file. Nothing is left of one that fails, or is not waited for.
    ///
    /// # Errors
    /// Says which side failed; `Io` at the destination: it cannot be written (a full disk).
    pub async fn read(
        &self,
        blob: &Descriptor,
        source: &dyn BlobSource,
        progress: &Progress,
    ) -> Result<ScratchBlob, PushError> {
        let (_, path) = write::stream(&self.0, BLOB, blob, source, progress).await?;
        Ok(ScratchBlob(path))
    }
}

#[async_trait]
impl BlobSource for ScratchBlob {
    /// # Errors
    /// `NotFound`: somebody removed it. `Corrupt`: it has another size.
    async fn open(&self, blob: &Descriptor) -> Result<BlobStream, Error> {
        let (path, wanted) = (self.0.to_path_buf(), blob.clone());
        blocking(move || {
            let file = File::open(&path).map_err(error::io("read", &path))?;
            let size = file.metadata().map_err(error::io("read", &path))?.len();
            read::stream(file, size, &path, &wanted)
        })
        .await
    }
}

fn clean(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(BLOB) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
