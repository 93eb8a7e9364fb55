//! What is in force of a file: what it says now, or what it said before, or nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jobfile::JobFile;

use super::{CatalogueFile, CatalogueJob, Changes, Trouble};

type Jobs = BTreeMap<String, CatalogueJob>;

/// Files that are in force, each with its name.
pub(super) type Taken<'n> = Vec<(&'n str, Arc<JobFile>)>;

/// What is in force of the file `name`, beside those that are `taken`, and why it is not what was `read`.
pub(super) fn choose(
    name: &str,
    read: &Result<Arc<JobFile>, String>,
    before: Option<&CatalogueFile>,
    taken: &Taken,
) -> (Option<Arc<JobFile>>, Option<String>) {
    let fault = match read {
        Ok(file) => match clash(name, file, taken) {
            None => return (Some(file.clone()), None),
            Some(clash) => clash,
        },
        Err(faults) => faults.clone(),
    };
    let before = before.and_then(|before| before.in_force.clone());
    (before.filter(|before| clash(name, before, taken).is_none()), Some(fault))
}

/// Why a file cannot be in force beside others.
fn clash(name: &str, file: &JobFile, taken: &Taken) -> Option<String> {
    let jobs = job_names(name, file);
    for (other_name, other) in taken {
        if let Some(job) = job_names(other_name, other).iter().find(|job| jobs.contains(job)) {
            return Some(format!("`{name}` has the job `{job}`, and so has `{other_name}`; give it another name"));
        }
    }
    let others: Vec<&JobFile> = taken.iter().map(|(_, file)| &**file).collect();
    let collisions = file.collisions(&others);
    (!collisions.is_empty()).then(|| collisions.to_string())
}

/// The names of a file's jobs, in their order; a file without `jobs` is one that is called as the file.
pub(super) fn job_names(name: &str, file: &JobFile) -> Vec<String> {
    let stem = || Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    file.jobs.iter().map(|job| job.name.clone().unwrap_or_else(stem)).collect()
}

/// The same trouble for longer, or a new one.
pub(super) fn going_on(before: Option<Trouble>, text: String, now: Timestamp) -> Trouble {
    Trouble { since: before.map_or(now, |before| before.since), text }
}

/// Logs what is wrong with a file, if that is new, and that nothing is any more.
pub(super) fn log_fault(before: Option<&Trouble>, file: &CatalogueFile) {
    let CatalogueFile { path, in_force, fault, .. } = file;
    match (before, fault) {
        (Some(_), None) => tracing::info!("job file `{path}` can be used again"),
        (before, Some(Trouble { text, .. })) if before.is_none_or(|before| before.text != *text) => match in_force {
            Some(file) => tracing::warn!("job file `{path}` cannot be used, `{}` stays in force: {text}", file.digest),
            None => tracing::warn!("job file `{path}` cannot be used, nothing of it is in force: {text}"),
        },
        _ => {}
    }
}

impl Changes {
    /// From one set of jobs to another.
    pub(super) fn between(before: &Jobs, now: &Jobs) -> Self {
        let is_other = |name: &str, job: &CatalogueJob| {
            before.get(name).is_some_and(|before| before.file.digest != job.file.digest || before.path != job.path)
        };
        let names = |jobs: &Jobs, is_meant: &dyn Fn(&str, &CatalogueJob) -> bool| {
            jobs.iter().filter(|(name, job)| is_meant(name, job)).map(|(name, _)| name.clone()).collect()
        };
        Self {
            new: names(now, &|name, _| !before.contains_key(name)),
            changed: names(now, &is_other),
            gone: names(before, &|name, _| !now.contains_key(name)),
        }
    }

    pub(super) fn log(&self) {
        for (jobs, what) in [(&self.new, "new"), (&self.changed, "changed"), (&self.gone, "not served any more")] {
            if !jobs.is_empty() {
                tracing::info!("jobs are {what}: {}", jobs.join(", "));
            }
        }
    }
}
