//! Where the files of a layout lie: in a folder, or in a tar that is never unpacked.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use proto::Digest;

use super::error;
use super::tar::Tar;
use crate::error::{Error, Kind};

/// Largest `oci-layout` that is read: it holds one short member.
const MARK_BYTES_MAX: u64 = 4 * 1024;

/// Largest `index.json` that is read: about 50,000 names, and little enough not to fill a worker's memory.
pub(super) const INDEX_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What makes a folder a layout (image-spec, image-layout.md, "oci-layout file").
pub(super) const MARK: &str = "oci-layout";

/// The file that lists the manifests.
pub(super) const INDEX: &str = "index.json";

/// Path of a blob below the layout: built from a parsed digest, so it cannot lead elsewhere.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// The files of a layout.
pub(super) enum Files {
    /// A folder, by its canonical path.
    Folder(PathBuf),
    /// A tar, only to be read.
    Tar(Tar),
}

/// The bytes of one file of a layout.
pub(super) struct Extent {
    /// The file or the tar, at the first byte.
    pub(super) file: File,
    /// Length in bytes; in a tar, other files follow.
    pub(super) size: u64,
}

impl Files {
    /// The folder of a layout that is there. Blocks.
    pub(super) fn folder(path: &Path) -> Result<Self, Error> {
        let root = fs::canonicalize(path).map_err(error::io("open layout", path))?;
        let files = Self::Folder(root);
        files.check_mark()?;
        Ok(files)
    }

    /// The tar of a layout. Blocks.
    pub(super) fn tar(path: &Path) -> Result<Self, Error> {
        let files = Self::Tar(Tar::open(path)?);
        files.check_mark()?;
        Ok(files)
    }

    /// The folder, or the tar, to say it in errors.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Folder(root) => root,
            Self::Tar(tar) => tar.path(),
        }
    }

    /// Opens the file at `relative`, none if it is not there. Blocks.
    pub(super) fn open(&self, relative: &str) -> Result<Option<Extent>, Error> {
        let root = match self {
            Self::Tar(tar) => return tar.open_entry(relative),
            Self::Folder(root) => root,
        };
        let Some(path) = beneath(root, relative)? else { return Ok(None) };
        let open = || -> io::Result<Extent> {
            // Asked before opening: opening a pipe would wait for its other end.
            if !fs::metadata(&path)?.is_file() {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            let file = File::open(&path)?;
            let size = file.metadata()?.len();
            Ok(Extent { file, size })
        };
        match open() {
            Ok(extent) => Ok(Some(extent)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error::io("read", &path)(error)),
        }
    }

    /// Reads the whole file at `relative`, if it is there and has at most `max` bytes. Blocks.
    pub(super) fn read(&self, relative: &str, max: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(extent) = self.open(relative)? else { return Ok(None) };
        if extent.size > max {
            let why = format!("`{relative}` has {} bytes, of {max} allowed", extent.size);
            return Err(error::unusable(self.path(), why));
        }
        let mut bytes = Vec::new();
        let read = extent.file.take(extent.size).read_to_end(&mut bytes);
        read.map_err(error::io("read", &self.path().join(relative)))?;
        Ok(Some(bytes))
    }

    fn check_mark(&self) -> Result<(), Error> {
        #[derive(serde::Deserialize)]
        struct Mark {
            #[serde(rename = "imageLayoutVersion")]
            version: String,
        }
        let Some(bytes) = self.read(MARK, MARK_BYTES_MAX)? else {
            let error = error::unusable(self.path(), "it has no file `oci-layout`");
            return Err(match self {
                // A folder may become one, a tar is something else.
                Self::Folder(_) => error.with_kind(Kind::NotFound),
                Self::Tar(_) => error,
            });
        };
        match serde_json::from_slice::<Mark>(&bytes) {
            Ok(mark) if mark.version.starts_with("1.") => Ok(()),
            Ok(mark) => {
                let version: String = mark.version.chars().take(20).flat_map(char::escape_debug).collect();
                Err(error::unusable(self.path(), format!("it is of version `{version}`, expected `1.0.0`")))
            }
            Err(_) => Err(error::unusable(self.path(), "its `oci-layout` is not readable")),
        }
    }
}

/// The real path of `relative` below `root` (which is canonical), none if it is not there.
///
/// Symbolic links are followed within the folder only: a layout that somebody hands us must not make us read, or
/// write, other files of this machine.
pub(super) fn beneath(root: &Path, relative: &str) -> Result<Option<PathBuf>, Error> {
    let path = root.join(relative);
    match fs::canonicalize(&path) {
        Ok(real) if real.starts_with(root) => Ok(Some(real)),
        Ok(_) => Err(error::unusable(root, format!("`{relative}` is a link that leads out of it"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error::io("read", &path)(error)),
    }
}

impl Extent {
    /// The `size` bytes of `file` from `offset`.
    pub(super) fn within(mut file: File, offset: u64, size: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file, size })
    }
}
