//! A file that gets its name when it is whole.

use std::fs::Permissions;
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use daemon::crash::{self, Effect};

/// A file without its name; dropped, it leaves nothing behind.
pub(super) struct Draft {
    file: BufWriter<tempfile::NamedTempFile>,
    path: PathBuf,
}

impl Draft {
    /// Begins what is to be `folder/name`.
    pub(super) fn create(folder: &Path, name: &str) -> io::Result<Self> {
        // Readable for whom the umask allows; by default only its owner could read it.
        let file = tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
        Ok(Self { file: BufWriter::new(file), path: folder.join(name) })
    }

    /// Puts the file on disk and gives it its name, in place of what had it before.
    pub(super) fn finish(self) -> io::Result<()> {
        let file = self.file.into_inner().map_err(IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        crash::before(Effect::ReportRename);
        file.persist(&self.path)?;
        crash::after(Effect::ReportRename);
        Ok(())
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Makes a folder in which no file lies, and puts its name on disk: a writer that was killed may have left a part of a report.
pub(super) fn make_empty(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    sync(folder.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new(".")))?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Puts the names in a folder on disk, so that they outlast a loss of power.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}
