//! What a command wants to know of a job file: its content, its name, its commit, and who runs it.

use std::path::Path;

use anyhow::Context;
use jobfile::{JobFile, LoadError};
use proto::settings::Access;

use crate::cli::SettingsArgs;
use crate::exit::UsageError;

/// Reads a job file; its faults are the user's to mend.
pub(crate) fn load(path: &Path) -> anyhow::Result<JobFile> {
    jobfile::load(path).map_err(|error| match error {
        LoadError::Faults(faults) => UsageError(format!("the job file cannot be used\n{faults}")).into(),
        read @ LoadError::Read { .. } => UsageError(daemon::ErrorChain(&read).to_string()).into(),
    })
}

/// The name of the job that a file without `jobs` is: the file's own, without its ending.
pub(crate) fn job_name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "job".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// Where a job file lies, whatever it was called by.
pub(crate) fn absolute(path: &Path) -> anyhow::Result<String> {
    let found = path.canonicalize().with_context(|| format!("find `{}`", path.display()))?;
    Ok(found.display().to_string())
}

/// The commit of the work tree that the file lies in; none if there is none, or no Git.
pub(crate) async fn git_commit(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut git = tokio::process::Command::new("git");
    git.arg("-C").arg(folder).args(["rev-parse", "HEAD"]).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = git.output().await.ok().filter(|output| output.status.success())?;
    let commit = String::from_utf8(output.stdout).ok()?;
    Some(commit.trim().to_owned()).filter(|commit| !commit.is_empty())
}

/// Who runs this, as the system names them.
pub(crate) fn user() -> String {
    let name = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// The settings of registries that `--settings` names; without it, the defaults.
pub(crate) fn access(settings: &SettingsArgs) -> anyhow::Result<Access> {
    match &settings.file {
        Some(path) => Ok(load(path)?.access),
        None => Ok(Access::default()),
    }
}
