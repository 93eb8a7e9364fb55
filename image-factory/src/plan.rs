//! What a run would do, before it is done: the document that `plan` prints and keeps, and that `run --plan` follows.
//!
//! - `costs`: what it asks of each registry, against budgets
//! - [`make`]: looks at sources and destinations
//! - [`change`]: what one version of a file does that another does not
//! - [`text`]: for people, as text and as Markdown

pub(crate) mod change;
mod costs;
pub(crate) mod make;
pub(crate) mod text;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use coordinator::expand::Pins;
use jiff::Timestamp;
use proto::{Digest, Failure, Location};
use serde::{Deserialize, Serialize};

use crate::exit::UsageError;
use crate::plan::change::Change;

/// Version of the document's form.
const VERSION: u32 = 1;

/// What the next run of a file would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Version of this form.
    pub(crate) version: u32,
    /// Absolute path of the job file.
    pub(crate) file: String,
    /// Digest of the job file, includes and all.
    pub(crate) file_digest: Digest,
    /// The only job to plan, or the name of that of a file without `jobs`, if one was given.
    #[serde(default)]
    pub(crate) job: Option<String>,
    /// When the registries were asked.
    pub(crate) made_at: Timestamp,
    /// What each job would do.
    pub(crate) jobs: Vec<JobPlan>,
    /// What that costs at each registry; layouts on disk cost nothing.
    pub(crate) costs: BTreeMap<String, Cost>,
    /// What the file does that its other version did not; none if it was not compared.
    #[serde(default)]
    pub(crate) change: Option<Change>,
}

/// What a job would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JobPlan {
    /// Its name.
    pub(crate) job: String,
    /// Each image, in the order of their names.
    pub(crate) images: Vec<ImagePlan>,
    /// Repositories of which nothing would be done.
    pub(crate) failed: Vec<FailedRepository>,
    /// What is worth a look and is no failure.
    pub(crate) warnings: Vec<String>,
}

/// What would be done with an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ImagePlan {
    /// The image.
    pub(crate) source: Location,
    /// What the source shows; none if it could not be told.
    pub(crate) digest: Option<Digest>,
    /// What would be done at each destination.
    pub(crate) destinations: Vec<DestinationPlan>,
}

/// What would be done at a destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DestinationPlan {
    /// The tag.
    pub(crate) destination: Location,
    /// The group that wants the image there.
    pub(crate) group: Option<String>,
    /// Who owns the group.
    pub(crate) owner: Option<String>,
    /// The rule that takes the tag.
    pub(crate) rule: String,
    /// What would be done.
    pub(crate) action: Action,
    /// What is on record as placed there.
    #[serde(default)]
    pub(crate) placed: Option<Digest>,
    /// What the tag shows now.
    pub(crate) shows: Option<Digest>,
    /// What it would show then; none where that is known only once it is made, or where nothing would change.
    pub(crate) becomes: Option<Digest>,
    /// Bytes of the image's blobs; none where reading its manifests would count as a pull. What the destination has of
    /// them already is not sent again, so this is an upper bound.
    pub(crate) bytes: Option<u64>,
    /// Why it would fail or wait.
    pub(crate) failure: Option<Failure>,
}

/// What would be done at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Nothing.
    Keep,
    /// The tag is not there, and would be.
    Create,
    /// The tag shows something else, and would be moved.
    Move,
    /// The tag shows this already, and nobody on record put it there: it would be checked, and what is missing sent.
    Confirm,
    /// It would fail.
    Fail,
    /// A registry asks for patience: it would wait.
    Wait,
}

/// A repository of which nothing would be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FailedRepository {
    /// The repository.
    pub(crate) repository: String,
    /// Why.
    pub(crate) failure: Failure,
}

/// What a run costs at a registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// About how many requests.
    pub(crate) requests: u64,
    /// Manifests that are read there, at least: what a registry that limits pulls counts.
    pub(crate) pulls: u64,
    /// How many of these it allows; none if it sets no limit.
    #[serde(default)]
    pub(crate) allowed: Option<Allowed>,
    /// Seconds that the requests take at the rate to which we keep there; none if there is no limit.
    #[serde(default)]
    pub(crate) seconds: Option<u64>,
    /// Bytes written there, at most; images whose size is unknown are not in it.
    pub(crate) bytes: u64,
    /// Images that would be written and whose size is unknown.
    pub(crate) unknown: u64,
}

/// How many pulls a registry allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Allowed {
    /// So many are left, without those to be kept free.
    pub(crate) left: u64,
    /// Of so many, if that is known.
    pub(crate) limit: Option<u64>,
    /// In this time.
    pub(crate) window_seconds: u64,
    /// How long until there are some again, if none are left.
    pub(crate) wait_seconds: Option<u64>,
}

impl Cost {
    /// Pulls that would be postponed.
    pub(crate) fn postponed(&self) -> u64 {
        self.allowed.map_or(0, |allowed| self.pulls.saturating_sub(allowed.left))
    }
}

impl Action {
    pub(crate) const ALL: [Self; 6] = [Self::Keep, Self::Create, Self::Move, Self::Confirm, Self::Fail, Self::Wait];

    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "up to date",
            Self::Create => "create",
            Self::Move => "move",
            Self::Confirm => "confirm",
            Self::Fail => "fail",
            Self::Wait => "wait",
        }
    }
}

impl JobPlan {
    /// What a run of this plan writes: images, each with the destinations that would change and the digest that its
    /// source showed.
    pub(crate) fn written(&self) -> impl Iterator<Item = (Location, Pins)> {
        self.images.iter().filter_map(|image| {
            let digest = image.digest.as_ref()?;
            let written = image.destinations.iter().filter(|to| to.is_written());
            let pins: Pins = written.map(|to| (to.destination.clone(), digest.clone())).collect();
            (!pins.is_empty()).then(|| (image.source.clone(), pins))
        })
    }
}

impl DestinationPlan {
    /// A warning if somebody else moved the tag, and the run replaces what it shows.
    pub(crate) fn warning(&self) -> Option<String> {
        let shows =
            self.shows.as_ref().filter(|shows| self.action == Action::Move && self.placed.as_ref() != Some(shows))?;
        let to = &self.destination;
        Some(format!("{to} shows {shows}, which is not what was placed there; it would be replaced"))
    }

    /// Whether a run of the plan writes there.
    fn is_written(&self) -> bool {
        matches!(self.action, Action::Create | Action::Move | Action::Confirm)
    }
}

impl Plan {
    /// A plan of a file in which nothing is done yet.
    pub(crate) fn of(file: String, file_digest: Digest, job: Option<String>, made_at: Timestamp) -> Self {
        Self {
            version: VERSION,
            file,
            file_digest,
            job,
            made_at,
            jobs: Vec::new(),
            costs: BTreeMap::new(),
            change: None,
        }
    }

    /// Reads a plan that was kept.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("read plan `{}`", path.display()));
        let text = text.map_err(|error| UsageError(format!("{error:#}")))?;
        let plan: Self = serde_json::from_slice(&text).map_err(|error| {
            UsageError(format!("`{}` is no plan: {error}; make one with `plan FILE --out`", path.display()))
        })?;
        if plan.version != VERSION {
            let message = format!(
                "`{}` is a plan of version {}, and this program reads {VERSION}: make a new one",
                path.display(),
                plan.version
            );
            return Err(UsageError(message).into());
        }
        Ok(plan)
    }

    /// What a run of this plan leaves out: destinations that would fail, or wait, and repositories, each with the reason.
    pub(crate) fn left_out(&self) -> Vec<(Action, String)> {
        let unable = self.destinations().filter(|(_, to)| matches!(to.action, Action::Fail | Action::Wait));
        let images = unable.map(|(image, to)| {
            let why = to.failure.as_ref().map(|failure| format!(": {failure}")).unwrap_or_default();
            (to.action, format!("{} → {}{why}", image.source, to.destination))
        });
        let repositories = self.jobs.iter().flat_map(|job| &job.failed);
        let repositories =
            repositories.map(|failed| (Action::Fail, format!("{}: {}", failed.repository, failed.failure)));
        images.chain(repositories).collect()
    }

    /// All destinations of all images.
    pub(crate) fn destinations(&self) -> impl Iterator<Item = (&ImagePlan, &DestinationPlan)> {
        let images = self.jobs.iter().flat_map(|job| &job.images);
        images.flat_map(|image| image.destinations.iter().map(move |destination| (image, destination)))
    }

    /// How many repositories would not be read, or not all of them.
    pub(crate) fn failed(&self) -> usize {
        self.jobs.iter().map(|job| job.failed.len()).sum()
    }

    /// How many destinations would see this done.
    pub(crate) fn count(&self, action: Action) -> usize {
        self.destinations().filter(|(_, destination)| destination.action == action).count()
    }
}
