//! The report as a document: what `report.json` holds.
//!
//! Names stay once released; fields may be added.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the document's form.
pub const VERSION: u32 = 1;

/// The account of a finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Image Factory report")]
pub struct Report {
    /// Version of this form.
    pub version: u32,
    /// The run.
    pub run: RunSection,
    /// One entry for each image, in the order of their names.
    pub images: Vec<ImageSection>,
    /// Why images failed, or were postponed: most frequent first, else worst first.
    pub causes: Vec<CauseSection>,
    /// Whose images ended how: who has most that failed first. No name stands for groups without an owner; whose a
    /// repository is that could not be surveyed is not known.
    #[serde(default)]
    pub owners: Vec<ShareSection>,
    /// How images ended at each registry, or layout, that they went to: where most failed first.
    #[serde(default)]
    pub registries: Vec<ShareSection>,
    /// Repositories that could not be surveyed: their images are missing above.
    pub unlisted: Vec<UnlistedSection>,
    /// What is worth a look and is no failure.
    pub warnings: Vec<String>,
    /// How many images ended how.
    pub totals: Totals,
    /// What the run took and saved.
    pub spent: SpentSection,
}

/// The run that a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RunSection {
    /// Name of the run.
    pub id: String,
    /// Name of its job.
    pub job: String,
    /// Digest of the job file.
    pub file_digest: String,
    /// Git commit of the job file, if it lies in a work tree.
    pub commit: Option<String>,
    /// What it was limited to; none if it was all of the job.
    pub only: Option<String>,
    /// Who started it.
    pub started_by: String,
    /// When, RFC 3339.
    pub started_at: String,
    /// When its last task ended, RFC 3339.
    pub ended_at: String,
    /// How it ended.
    pub end: RunEnd,
    /// Version of the program that wrote this.
    pub program: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    /// Every task came to its end.
    Finished,
    /// Stopped, or killed, before that.
    Interrupted,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ImageSection {
    /// Where it came from.
    pub source: String,
    /// What the source showed.
    pub source_digest: Option<String>,
    /// The worst of its destinations' outcomes.
    pub outcome: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When the first attempt began, RFC 3339.
    pub started_at: Option<String>,
    /// When it was done, RFC 3339.
    pub ended_at: String,
    /// Milliseconds in each stage, over all attempts.
    pub stages: Vec<StageSection>,
    /// Bytes of blobs sent.
    pub bytes_written: u64,
    /// Bytes of blobs that needed no sending.
    pub bytes_saved: u64,
    /// Each destination.
    pub destinations: Vec<DestinationSection>,
}

/// Time in a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageSection {
    /// Name of the stage.
    pub stage: String,
    /// Milliseconds.
    pub ms: u64,
}

/// An image at one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DestinationSection {
    /// The destination's tag.
    pub destination: String,
    /// The group of the job file that wants the image there.
    #[serde(default)]
    pub group: Option<String>,
    /// Who owns the group.
    #[serde(default)]
    pub owner: Option<String>,
    /// What the repository holds: `image`, `chart` or `artifact`.
    #[serde(default)]
    pub kind: String,
    /// The rule that takes the tag, as written.
    #[serde(default)]
    pub rule: String,
    /// Where the rule's line stands, as `file:line:column`.
    #[serde(default)]
    pub place: String,
    /// Which platforms go there: `all`, or those that do and what becomes of the index.
    #[serde(default)]
    pub platforms: String,
    /// What goes there of that which refers to the image: `all`, `none`, or some kinds.
    #[serde(default)]
    pub referrers: String,
    /// How it ended there.
    pub outcome: String,
    /// What the tag shows, verified.
    pub digest: Option<String>,
    /// Why it failed, or was postponed.
    pub failure: Option<FailureSection>,
    /// From when on it may be tried again, if it was postponed; as RFC 3339.
    #[serde(default)]
    pub again_at: Option<String>,
}

/// One cause why images failed, were postponed, or were tried in vain before they were cancelled: a code at one registry,
/// as far as the same helps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CauseSection {
    /// What became of them.
    pub outcome: String,
    /// Name of the cause, as in a failure.
    pub code: String,
    /// What the code means, in a sentence.
    pub meaning: String,
    /// What the first of them calls for, as in a failure.
    pub class: String,
    /// The registry where it happened; none if a layout, or this program, is to blame.
    pub host: Option<String>,
    /// How many images it hit.
    pub images: u64,
    /// At how many of their destinations.
    pub destinations: u64,
    /// The first of these images.
    pub first: Vec<String>,
    /// What the first of them came back with.
    pub message: String,
    /// What a person can do.
    pub hint: Option<String>,
    /// From when on the first of those may be tried again that were postponed; as RFC 3339.
    #[serde(default)]
    pub again_at: Option<String>,
}

/// How many images of an owner, or at a registry, ended how. An image with destinations of several counts for each of
/// them, as the worst of its destinations there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShareSection {
    /// The owner as in the job file, or the registry.
    pub name: Option<String>,
    /// All of them.
    pub images: u64,
    /// Nothing had to be done.
    pub up_to_date: u64,
    /// Created or moved.
    pub pushed: u64,
    /// Not allowed in time by a registry.
    pub postponed: u64,
    /// Stopped before they were done.
    pub cancelled: u64,
    /// Failed.
    pub failed: u64,
}

/// A repository that could not be surveyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnlistedSection {
    /// The repository.
    pub repository: String,
    /// Why.
    pub failure: FailureSection,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailureSection {
    /// The stage in which it happened.
    pub stage: Option<String>,
    /// Name of the cause, which stays the same in all versions.
    pub code: String,
    /// What it calls for: `retry` may pass by itself, `reject` ends the same until a person changes something, `defer`
    /// has its time, `bug` is our own fault.
    pub class: String,
    /// What was tried and what came back.
    pub message: String,
    /// What a person can do.
    pub hint: Option<String>,
}

/// How many images ended how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// All of them.
    pub images: u64,
    /// Nothing had to be done.
    pub up_to_date: u64,
    /// Created or moved.
    pub pushed: u64,
    /// Not allowed in time by a registry.
    pub postponed: u64,
    /// Stopped before they were done.
    pub cancelled: u64,
    /// Failed.
    pub failed: u64,
    /// Repositories that could not be surveyed.
    pub unlisted: u64,
}

/// What a run took and saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SpentSection {
    /// Wall time in milliseconds.
    pub ms: u64,
    /// Bytes of blobs read from sources.
    pub bytes_read: u64,
    /// Bytes of blobs sent to destinations.
    pub bytes_written: u64,
    /// Bytes that lay at the destination already.
    pub bytes_skipped: u64,
    /// Bytes that a registry took from another of its repositories.
    pub bytes_mounted: u64,
    /// Blobs sent.
    pub blobs_written: u64,
    /// Blobs that lay there already.
    pub blobs_skipped: u64,
    /// Blobs mounted.
    pub blobs_mounted: u64,
    /// Manifests put.
    pub manifests_written: u64,
}

impl Totals {
    /// Counts one image.
    pub fn count(&mut self, outcome: proto::Outcome) {
        use proto::Outcome;
        self.images += 1;
        *match outcome {
            Outcome::UpToDate => &mut self.up_to_date,
            Outcome::Pushed => &mut self.pushed,
            Outcome::Postponed => &mut self.postponed,
            Outcome::Cancelled => &mut self.cancelled,
            Outcome::Failed => &mut self.failed,
        } += 1;
    }
}
