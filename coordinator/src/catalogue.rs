//! The job files that a coordinator serves, and the jobs in them: looked at again and again where they come from.
//!
//! What is wrong stops nothing: a file with faults leaves in force what was read of it before, and an origin that cannot
//! be read all of it. A file that is gone takes its jobs with it. Jobs have one name across all files, and a destination
//! tag one job: of two files that are at odds, the one that is second in the order of their names is refused.

mod artifact;
mod choice;
mod origin;
mod reading;
mod tree;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use jobfile::{Job, JobFile};
use proto::{Digest, ImageRef};
use registry::Client;
use tokio::task::spawn_blocking;

use crate::git;
use choice::{Taken, choose, going_on, job_names, log_fault};
use reading::Reading;
use tree::Tree;

pub use origin::{Origin, OriginError};

/// The jobs of the files at one origin.
pub struct Catalogue {
    origin: Origin,
    client: Client,
    /// What was read last, right or wrong.
    last: Reading,
    files: BTreeMap<String, CatalogueFile>,
    jobs: BTreeMap<String, CatalogueJob>,
    trouble: Option<Trouble>,
    /// The commit of the work tree when it was last looked at.
    head: Option<String>,
    /// The artifact that was read last, and why it was refused, if it was.
    artifact: Option<(Digest, Option<String>)>,
}

/// A file of the catalogue.
#[derive(Debug, Clone)]
pub struct CatalogueFile {
    /// Its path, or its name after that of the artifact.
    pub path: String,
    /// What holds of it: what was last right, with its digest. None if nothing was since this process began.
    pub in_force: Option<Arc<JobFile>>,
    /// The version of that: the Git commit, with `-dirty` if the file was not as it is there, or the artifact's digest.
    pub revision: Option<String>,
    /// What is wrong with it as it is now.
    pub fault: Option<Trouble>,
}

/// Something that is wrong, and that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// When it was first seen.
    pub since: Timestamp,
    /// What it is, on one or several lines.
    pub text: String,
}

/// A job of the catalogue. It stays what it is when the catalogue goes on.
#[derive(Debug, Clone)]
pub struct CatalogueJob {
    /// The file that it stands in, with its pack.
    pub file: Arc<JobFile>,
    /// The path of that, see [`CatalogueFile::path`].
    pub path: String,
    /// The version of that, see [`CatalogueFile::revision`].
    pub revision: Option<String>,
    /// Its position there.
    index: usize,
}

/// The names of jobs of which something changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Those that were not there before.
    pub new: Vec<String>,
    /// Those whose files have another content.
    pub changed: Vec<String>,
    /// Those that are not there any more.
    pub gone: Vec<String>,
}

/// Why an origin gave no files.
#[derive(Debug, thiserror::Error)]
enum CatalogueError {
    #[error("look into `{path}`")]
    Look {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{0}` has more than {max} job files", max = jobfile::FILES_MAX)]
    TooMany(PathBuf),
    #[error("the files in `{0}` change while they are read")]
    Restless(PathBuf),
    #[error("there is no such artifact")]
    NoArtifact,
    #[error("the artifact is not one of job files: {0}")]
    Refused(String),
    #[error("read the artifact")]
    Registry(#[from] registry::Error),
    #[error("read the files")]
    CutOff(#[from] tokio::task::JoinError),
}

/// What was found at an origin.
struct Found {
    reading: Reading,
    /// What the folder is called in which the files lie.
    folder: PathBuf,
    version: Version,
}

/// What tells of which version files are.
enum Version {
    /// The work tree that this folder may lie in, to which symlinks led.
    Git(PathBuf),
    Artifact(Digest),
}

impl CatalogueJob {
    /// The job itself.
    pub fn job(&self) -> &Job {
        // Only this module makes them, for jobs that there are.
        &self.file.jobs[self.index]
    }
}

impl Changes {
    /// Whether all is as it was.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Catalogue {
    /// A catalogue of what lies at `origin`; empty until it is looked at. `client` reads artifacts.
    pub fn new(origin: Origin, client: Client) -> Self {
        Self {
            origin,
            client,
            last: Reading::new(),
            files: BTreeMap::new(),
            jobs: BTreeMap::new(),
            trouble: None,
            head: None,
            artifact: None,
        }
    }

    /// The jobs in force, by their names.
    pub fn jobs(&self) -> &BTreeMap<String, CatalogueJob> {
        &self.jobs
    }

    /// All files, in the order of their names.
    pub fn files(&self) -> impl Iterator<Item = &CatalogueFile> {
        self.files.values()
    }

    /// Why nothing could be read, if nothing could when it was last looked: then all stays in force as it was.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Looks what changed, and takes over what is right. What is new, wrong, mended or gone is logged once.
    pub async fn look(&mut self, now: Timestamp) -> Changes {
        let found = match self.read().await {
            Ok(found) => found,
            Err(error) => {
                let text = daemon::ErrorChain(&error).to_string();
                if self.trouble.as_ref().is_none_or(|trouble| trouble.text != text) {
                    tracing::warn!("job files of `{}` cannot be read, all stays as it was: {text}", self.origin);
                }
                self.trouble = Some(going_on(self.trouble.take(), text, now));
                return Changes::default();
            }
        };
        if self.trouble.take().is_some() {
            tracing::info!("job files of `{}` can be read again", self.origin);
        }
        match found {
            Some(found) => self.take(found, now).await,
            None => Changes::default(),
        }
    }

    /// Everything at the origin; none if it is known to be as it was.
    async fn read(&mut self) -> Result<Option<Found>, CatalogueError> {
        let (last, client) = (self.last.clone(), self.client.clone());
        match self.origin.clone() {
            Origin::Path(path) => spawn_blocking(move || reading::on_disk(&path, &last)).await?.map(Some),
            Origin::Artifact(image) => {
                let digest = artifact::digest(&client, &image).await?;
                match &self.artifact {
                    Some((known, Some(refusal))) if *known == digest => Err(CatalogueError::Refused(refusal.clone())),
                    Some((known, None)) if *known == digest => Ok(None),
                    _ => self.read_artifact(image, digest, last).await.map(Some),
                }
            }
        }
    }

    /// Reads an artifact once: what is refused is not read again until its name means another.
    async fn read_artifact(&mut self, image: ImageRef, digest: Digest, last: Reading) -> Result<Found, CatalogueError> {
        let folder = PathBuf::from(self.origin.to_string());
        let read = async {
            let files = artifact::files(&self.client, &image.repository, &digest).await?;
            let tree = Tree::Memory { name: folder.clone(), files };
            spawn_blocking(move || reading::all(&tree, None, &last)).await?
        };
        let reading = read.await.and_then(|reading| match reading.is_empty() {
            true => Err(CatalogueError::Refused("it has no `*.yaml` or `*.yml` outside of folders".to_owned())),
            false => Ok(reading),
        });
        match &reading {
            Ok(_) => self.artifact = Some((digest.clone(), None)),
            Err(CatalogueError::Refused(why)) => self.artifact = Some((digest.clone(), Some(why.clone()))),
            Err(_) => {}
        }
        Ok(Found { reading: reading?, folder, version: Version::Artifact(digest) })
    }

    /// Takes over what was found.
    async fn take(&mut self, found: Found, now: Timestamp) -> Changes {
        if !reading::is_same(&found.reading, &self.last) {
            self.last = found.reading;
            self.settle(&found.folder, now);
        }
        self.date(&found.version).await;
        let jobs = self.listed();
        let changes = Changes::between(&self.jobs, &jobs);
        self.jobs = jobs;
        changes.log();
        changes
    }

    /// Decides what is in force of each file.
    fn settle(&mut self, folder: &Path, now: Timestamp) {
        let mut before = std::mem::take(&mut self.files);
        let mut taken = Taken::new();
        for (name, read) in &self.last {
            let old = before.remove(name);
            let (in_force, fault) = choose(name, read, old.as_ref(), &taken);
            taken.extend(in_force.iter().map(|file| (name.as_str(), file.clone())));
            let is_old = old.as_ref().is_some_and(|old| is_one(old.in_force.as_ref(), in_force.as_ref()));
            let (old_fault, revision) = old.map(|old| (old.fault, old.revision)).unwrap_or_default();
            let fault = fault.map(|text| going_on(old_fault.clone(), text, now));
            let path = folder.join(name).display().to_string();
            let file = CatalogueFile { path, in_force, revision: revision.filter(|_| is_old), fault };
            log_fault(old_fault.as_ref(), &file);
            self.files.insert(name.clone(), file);
        }
        for file in before.into_values() {
            tracing::warn!("job file `{}` is gone, and its jobs with it", file.path);
        }
    }

    /// Notes of which version the files are that are in force.
    async fn date(&mut self, version: &Version) {
        let head = match version {
            Version::Git(folder) => git::head(folder).await,
            Version::Artifact(digest) => Some(digest.to_string()),
        };
        let has_moved = self.head != head;
        self.head.clone_from(&head);
        for (name, file) in &mut self.files {
            // What is in force of a file that is wrong now is of the version of which it was.
            let read = self.last.get(name).and_then(|read| read.as_ref().ok());
            let Some(in_force) = file.in_force.as_ref().filter(|in_force| is_one(Some(in_force), read)) else {
                continue;
            };
            let is_clean = file.revision.as_ref().is_some_and(|known| !known.ends_with("-dirty"));
            file.revision = match version {
                Version::Git(_) if is_clean && !has_moved => continue,
                Version::Git(folder) if head.is_some() => git::commit_of(&folder.join(name), &in_force.files).await,
                Version::Git(_) | Version::Artifact(_) => head.clone(),
            };
        }
    }

    /// The jobs of all files that are in force.
    fn listed(&self) -> BTreeMap<String, CatalogueJob> {
        let files = self.files.iter().filter_map(|(name, state)| Some((name, state, state.in_force.as_ref()?)));
        let jobs = files.flat_map(|(name, state, file)| {
            job_names(name, file).into_iter().enumerate().map(move |(index, job)| {
                let (path, revision) = (state.path.clone(), state.revision.clone());
                (job, CatalogueJob { file: file.clone(), path, revision, index })
            })
        });
        jobs.collect()
    }
}

/// Whether both are what was read at the same time.
fn is_one(one: Option<&Arc<JobFile>>, other: Option<&Arc<JobFile>>) -> bool {
    one.zip(other).is_some_and(|(one, other)| Arc::ptr_eq(one, other))
}
