//! What is to be done: a message from coordinator to worker.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::digest::Digest;
use crate::ids::{Attempt, RunId, TaskId};
use crate::image::{Location, Tag};

/// One attempt of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The run that it belongs to.
    pub run: RunId,
    /// The task.
    pub id: TaskId,
    /// Which attempt this is.
    pub attempt: Attempt,
    /// Whether the worker must take nothing beside it: earlier attempts took their workers with them.
    #[serde(default)]
    pub solo: bool,
    /// How long the attempt may take, on the worker's own clock.
    pub deadline: Duration,
    /// The [`Bundle`](crate::Bundle) of its run, in evidence; none where worker and coordinator are one process, which
    /// has read the job file.
    #[serde(default)]
    pub bundle: Option<Digest>,
    /// The work.
    pub kind: TaskKind,
}

impl Task {
    /// Name of the message: the same attempt has the same name, however often it is sent.
    pub fn message_id(&self) -> String {
        format!("{}/{}", self.id, self.attempt)
    }
}

/// The kinds of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Bring an image to its destinations.
    Mirror(Mirror),
}

/// Bring an image to its destinations, byte for byte, with its signatures and other referrers, or what of it they want.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// The image.
    pub source: Location,
    /// What its tag showed when the source was listed with digests, so that it need not be asked again. Only a hint of
    /// the first attempt: what is gone by now is asked for anew.
    #[serde(default)]
    pub listed: Option<Digest>,
    /// The tags under which the source keeps what refers to images.
    #[serde(default)]
    pub sidecars: Sidecars,
    /// Where it is to go: those that are not done yet.
    pub destinations: Vec<Destination>,
}

/// The tags `sha256-…` that a listing of the source names: cosign's, and those of referrers where there is no API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecars {
    /// Those that may concern the image. An image is not up to date without those that belong to its destination's
    /// content.
    pub tags: BTreeSet<Tag>,
    /// Whether the source has no others, so that these need not be asked for.
    pub is_complete: bool,
}

impl Sidecars {
    /// Whether the source may have this tag, so that it is worth asking for.
    pub fn may_have(&self, tag: &Tag) -> bool {
        !self.is_complete || self.tags.contains(tag)
    }
}

/// One destination of a task, and what is on record about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The tag to set.
    pub location: Location,
    /// What of the image goes there.
    #[serde(default)]
    pub content: Content,
    /// What lay under the tag when it was last verified: an image whose tag still shows this, made of what the source
    /// shows, is up to date.
    #[serde(default)]
    pub placed: Option<Placed>,
    /// What a listing of its repository said; none if it was not listed. Only a hint of the first attempt.
    #[serde(default)]
    pub listed: Option<Listed>,
    /// Whether all of what was placed is to be asked for, to its last blob.
    #[serde(default)]
    pub read_back: bool,
    /// How many manifests and blobs were placed, if that was counted.
    #[serde(default)]
    pub parts: Option<u32>,
}

impl Destination {
    /// All of the image, to a destination of which nothing is known.
    pub fn new(location: Location) -> Self {
        Self { location, content: Content::default(), placed: None, listed: None, read_back: false, parts: None }
    }
}

/// What a listing of a destination's repository said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Of the tag that is to be set.
    pub tag: ListedTag,
    /// Those of the task's sidecars that are there too.
    #[serde(default)]
    pub sidecars: BTreeSet<Tag>,
    /// Whether the repository was there at all: what is in none need not be looked for.
    pub has_tags: bool,
}

/// What a listing said of a tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListedTag {
    /// It is not there.
    Absent,
    /// It is there; what it shows was not said.
    Named,
    /// It shows this.
    Shows(Digest),
}

/// What was verified to lie under a destination's tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// What the tag showed: not always the digest of the source, since an index may be written anew.
    pub digest: Digest,
    /// Of what it was made.
    pub fingerprint: Fingerprint,
}

/// Hash of what determines a placement; equal fingerprints mean that nothing has to be done again.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(Digest);

impl Fingerprint {
    /// The fingerprint of what is made of an image when `content` of it is copied.
    pub fn of_copy(source: &Digest, content: &Content) -> Self {
        // The words of `Content` are part of every fingerprint on record: other words would make everything anew.
        Self(Digest::of(format!("copy/1\n{source}\n{content}").as_bytes()))
    }

    /// The text, to keep it.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl From<Digest> for Fingerprint {
    /// Reads back what [`Fingerprint::as_str`] gave.
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.0)
    }
}
