//! What a job file says, as values: jobs, the repositories that they mirror, and what of each goes where.

use std::time::Duration;

use proto::{Content, Kind, Location, Tag};

use crate::fault::Place;
use crate::rules::{Rules, Taken};
use crate::schedule::{Schedule, Window};
use crate::template::RepositoryLocation;

/// What runs together.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name; none if the file has no `jobs`, and all of it is one job.
    pub name: Option<String>,
    /// What to mirror, in the order of the files; no two are of the same repository.
    pub sources: Vec<Source>,
    /// How many percent of a run's requests may be spent on reading back what was placed before: 0 to 100.
    pub verify_at_most: u8,
    /// When it runs by itself.
    pub schedule: Option<Schedule>,
    /// How long a run may last.
    pub max_duration: Option<Duration>,
    /// How many of its tasks may be worked on at once: at least 1.
    pub max_concurrency: Option<u32>,
    /// Until when a run may begin with tasks.
    pub window: Option<Window>,
}

/// A repository to mirror.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where its images come from.
    pub location: RepositoryLocation,
    /// What is wanted of it: one line for each group that names it, never none.
    pub lines: Vec<Line>,
}

/// What one line of the file wants of a repository.
#[derive(Debug, Clone)]
pub struct Line {
    /// The group that it stands in; none in a file without groups.
    pub group: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What the repository holds.
    pub kind: Kind,
    /// Which tags.
    pub rules: Rules,
    /// Where the images go: at least one place, all different.
    pub destinations: Vec<RepositoryLocation>,
    /// What of each image goes there.
    pub content: Content,
    /// How many tags there must be.
    pub expect: Expect,
    /// Where the file says so.
    pub place: Place,
    /// The settings in force, each with the place that it comes from, for people to read.
    pub settings: Vec<Setting>,
}

/// How many tags a line must select; outside of this it fails, and nothing of it is copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expect {
    /// At least so many.
    pub min: Option<u32>,
    /// At most so many.
    pub max: Option<u32>,
}

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its key.
    pub key: &'static str,
    /// Its value, as a person would write it.
    pub value: String,
    /// Where it is written; none for a default of this program.
    pub place: Option<Place>,
}

impl Source {
    /// Whether the tags must be listed to know what is wanted.
    pub fn needs_listing(&self) -> bool {
        self.lines.iter().any(|line| line.rules.need_listing())
    }

    /// The image that `taken` names, here.
    pub fn image(&self, taken: &Taken) -> Location {
        self.location.image(&taken.tag, taken.digest.as_ref())
    }
}

impl Line {
    /// The image under `tag`, at each destination.
    pub fn targets(&self, tag: &Tag) -> impl Iterator<Item = Location> {
        self.destinations.iter().map(|destination| destination.image(tag, None))
    }
}

impl Expect {
    /// Whether a line may select `tags` tags.
    pub fn allows(self, tags: usize) -> bool {
        let tags = u32::try_from(tags).unwrap_or(u32::MAX);
        self.min.is_none_or(|min| tags >= min) && self.max.is_none_or(|max| tags <= max)
    }
}
