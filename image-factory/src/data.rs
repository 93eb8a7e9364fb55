//! The data folder: where it is, and the lock that keeps a second run out of it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::cli::args::DataArgs;

/// A data folder.
#[derive(Debug, Clone)]
pub(crate) struct DataFolder(PathBuf);

/// Keeps other runs out of a data folder until it is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub(crate) struct DataLock {
    _file: File,
}

impl DataFolder {
    /// The folder that `args` names, or the default one; it need not exist.
    pub(crate) fn find(args: &DataArgs) -> anyhow::Result<Self> {
        args.folder.clone().map_or_else(default_folder, Ok).map(Self)
    }

    /// The same; it is created.
    pub(crate) fn open(args: &DataArgs) -> anyhow::Result<Self> {
        let data = Self::find(args)?;
        std::fs::create_dir_all(&data.0).with_context(|| format!("create data folder `{}`", data.0.display()))?;
        Ok(data)
    }

    /// The database of runs and placements.
    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store.db")
    }

    /// What the factory shares between runs to save work, and may lose.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.0.join("ledger.db")
    }

    /// Where blobs lie while they go to several destinations; emptied when a factory opens.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.0.join("scratch")
    }

    /// Where reports are kept.
    pub(crate) fn reports(&self) -> PathBuf {
        self.0.join("reports")
    }

    /// Takes the folder for one run.
    ///
    /// # Errors
    /// Another run has it: the message names its process.
    pub(crate) async fn lock(&self) -> anyhow::Result<DataLock> {
        let path = self.lock_path();
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.with_context(|| format!("open lock `{}`", path.display()))?;
        match try_patiently(&file).await {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).ok();
                let holder = holder.trim();
                bail!(
                    "data folder `{}` is in use by another run (process {holder}): wait for it, stop it, or give this \
                     one a folder of its own with `--data`",
                    self.path().display()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("lock `{}`", path.display())),
        }
        let noted = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        noted.with_context(|| format!("write lock `{}`", path.display()))?;
        Ok(DataLock { _file: file })
    }

    /// Whether a run has the folder.
    pub(crate) fn is_held(&self) -> bool {
        let Ok(file) = File::open(self.lock_path()) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    fn lock_path(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// Who only looks whether the lock is held holds it himself for a moment: that must not stop a run.
async fn try_patiently(file: &File) -> Result<(), TryLockError> {
    for _ in 0..5 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => tokio::time::sleep(Duration::from_millis(20)).await,
            settled => return settled,
        }
    }
    file.try_lock()
}

fn default_folder() -> anyhow::Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    match state {
        Some(state) => Ok(state.join("image-factory")),
        None => bail!("neither XDG_STATE_HOME nor HOME is set: name a data folder with `--data`"),
    }
}
