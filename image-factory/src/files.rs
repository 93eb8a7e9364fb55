//! What a command wants to know of a job file: its content, its name, and who runs it.

use std::path::Path;

use anyhow::Context;
use coordinator::git::output_of;
use jobfile::{Job, JobFile, LoadError};
use proto::settings::Access;
use tokio::process::Command;

use crate::cli::args::SettingsArgs;
use crate::exit::UsageError;

/// Reads a job file; its faults are the user's to mend.
pub(crate) fn load(path: &Path) -> anyhow::Result<JobFile> {
    jobfile::load(path).map_err(|error| match error {
        LoadError::Faults(faults) => UsageError(format!("the job file cannot be used\n{faults}")).into(),
        read @ LoadError::Read { .. } => UsageError(daemon::ErrorChain(&read).to_string()).into(),
    })
}

/// The jobs of a file, or the one called `wanted`, each by its name. A file without `jobs` is one job, whose name is
/// `wanted`, else the file's own without its ending.
pub(crate) fn jobs<'f>(
    file: &'f JobFile,
    path: &Path,
    wanted: Option<&str>,
) -> Result<Vec<(String, &'f Job)>, UsageError> {
    let named = file.jobs.iter().map(|job| match &job.name {
        Some(name) => (name.clone(), job),
        None => (wanted.map_or_else(|| stem(path), str::to_owned), job),
    });
    let jobs: Vec<_> = named.filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name)).collect();
    if jobs.is_empty() {
        let names: Vec<_> = file.jobs.iter().filter_map(|job| job.name.as_deref()).collect();
        let wanted = wanted.unwrap_or_default();
        return Err(UsageError(format!("the file has no job `{wanted}`: its jobs are {}", names.join(", "))));
    }
    Ok(jobs)
}

/// The name of the one job that a file without `jobs` is.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "job".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// Where a job file lies, whatever it was called by.
pub(crate) fn absolute(path: &Path) -> anyhow::Result<String> {
    let found = path.canonicalize().with_context(|| format!("find `{}`", path.display()))?;
    Ok(found.display().to_string())
}

/// Who runs this, as the system names them.
pub(crate) async fn user() -> String {
    let name = |name| std::env::var(name).ok().filter(|name: &String| !name.is_empty());
    match name("USER").or_else(|| name("LOGNAME")) {
        Some(name) => name,
        // Services and containers have neither.
        None => output_of(Command::new("id").arg("-un")).await.unwrap_or_else(|| "unknown".to_owned()),
    }
}

/// The settings of registries that `--settings` names; without it, the defaults.
pub(crate) fn access(settings: &SettingsArgs) -> anyhow::Result<Access> {
    match &settings.file {
        Some(path) => Ok(load(path)?.access),
        None => Ok(Access::default()),
    }
}
