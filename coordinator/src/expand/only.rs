//! What a run is limited to, if not to all of its job.

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobMatcher};
use jobfile::{Job, RepositoryLocation};
use proto::{Digest, Location, Tag};
use serde::{Deserialize, Serialize};

/// What a run is limited to. It is made of wishes, each of which is met by an image, or is told as unmet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// Nothing: all of the job.
    #[default]
    All,
    /// Images whose reference matches one of these.
    Globs(Vec<ReferenceGlob>),
    /// These images, and all images of these repositories.
    Names {
        /// What they are, in a few words.
        what: String,
        /// Their texts, without digests, each with its pins if it has some.
        names: BTreeMap<String, Option<Pins>>,
    },
}

/// The only destinations that an image goes to, each with the digest at which it is taken for it, whatever its tag shows.
pub type Pins = BTreeMap<Location, Digest>;

/// What is said of an image at one of its destinations.
pub(crate) enum Pin<'a> {
    /// It goes there as it is found.
    None,
    /// It goes there at this digest.
    At(&'a Digest),
    /// It does not go there.
    Elsewhere,
}

/// `REPOSITORY` or `REPOSITORY:TAG` with `*`, `?`, `[a-z]` and `{a,b}`; a `*` crosses `/`. As data it is its text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReferenceGlob {
    text: String,
    repository: GlobMatcher,
    /// None: any tag.
    tag: Option<GlobMatcher>,
}

impl Only {
    /// What matches any of `globs`; all, if there are none.
    ///
    /// # Errors
    /// One is no glob; the message says why.
    pub fn matching(globs: &[String]) -> Result<Self, String> {
        if globs.is_empty() {
            return Ok(Self::All);
        }
        globs.iter().map(|glob| ReferenceGlob::read(glob)).collect::<Result<_, _>>().map(Self::Globs)
    }

    /// Exactly these images, and all images of these repositories; `what` says in a few words what they are.
    pub fn named(what: String, names: impl IntoIterator<Item = String>) -> Self {
        let names = names.into_iter().map(|name| (without_digest(&name).to_owned(), None));
        Self::Names { what, names: names.collect() }
    }

    /// Exactly these images, each to its destinations here and at the digest that stands there.
    pub fn pinned(what: String, images: impl IntoIterator<Item = (Location, Pins)>) -> Self {
        let mut names: BTreeMap<String, Option<Pins>> = BTreeMap::new();
        for (image, pins) in images {
            let name = without_digest(&image.to_string()).to_owned();
            names.entry(name).or_default().get_or_insert_default().extend(pins);
        }
        Self::Names { what, names }
    }

    /// What the run is limited to, for its report; none if it is not.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Globs(globs) => Some(globs.iter().map(|glob| glob.text.as_str()).collect::<Vec<_>>().join(", ")),
            Self::Names { what, .. } => Some(what.clone()),
        }
    }

    /// Whether images of a repository may be among it.
    pub fn reaches(&self, repository: &RepositoryLocation) -> bool {
        matches!(self, Self::All) || !self.wishes_at(repository).is_empty()
    }

    /// The globs that reach no repository of these jobs.
    pub fn idle_globs<'a>(&self, jobs: impl IntoIterator<Item = &'a Job>) -> Vec<&str> {
        let Self::Globs(globs) = self else { return Vec::new() };
        let sources: Vec<_> = jobs.into_iter().flat_map(|job| &job.sources).collect();
        let is_idle = |glob: &&ReferenceGlob| !sources.iter().any(|source| glob.reaches(&source.location));
        globs.iter().filter(is_idle).map(|glob| glob.text.as_str()).collect()
    }

    /// Whether a reference, of a repository or of an image, is among it: by a glob, or by its name.
    pub fn matches(&self, reference: &str) -> bool {
        match self {
            Self::All => true,
            Self::Globs(globs) => globs.iter().any(|glob| glob.matches(reference)),
            Self::Names { names, .. } => names.contains_key(without_digest(reference)),
        }
    }

    /// The globs, to be crossed out one by one as they are met.
    pub(crate) fn unmet(&self) -> Vec<&ReferenceGlob> {
        if let Self::Globs(globs) = self { globs.iter().collect() } else { Vec::new() }
    }

    /// The wishes that an image meets; none if the run is not limited.
    pub(crate) fn wishes_for(&self, repository: &RepositoryLocation, image: &Location, tag: &Tag) -> Vec<String> {
        match self {
            Self::All => Vec::new(),
            Self::Globs(globs) => {
                let meets = |glob: &&ReferenceGlob| glob.reaches(repository) && glob.takes(tag.as_str());
                globs.iter().filter(meets).map(|glob| glob.text.clone()).collect()
            }
            Self::Names { names, .. } => {
                let image = image.to_string();
                let wishes = [repository.to_string(), without_digest(&image).to_owned()];
                wishes.into_iter().filter(|wish| names.contains_key(wish)).collect()
            }
        }
    }

    /// What is said of an image at `destination`.
    pub(crate) fn pin(&self, image: &Location, destination: &Location) -> Pin<'_> {
        let Self::Names { names, .. } = self else { return Pin::None };
        match names.get(without_digest(&image.to_string())) {
            Some(Some(pins)) => pins.get(destination).map_or(Pin::Elsewhere, Pin::At),
            _ => Pin::None,
        }
    }

    /// The wishes that some image of a repository may meet.
    pub(crate) fn wishes_at(&self, repository: &RepositoryLocation) -> Vec<String> {
        match self {
            Self::All => Vec::new(),
            Self::Globs(globs) => {
                globs.iter().filter(|glob| glob.reaches(repository)).map(|glob| glob.text.clone()).collect()
            }
            Self::Names { names, .. } => {
                let name = repository.to_string();
                let prefix = format!("{name}:");
                let images = names.range(prefix.clone()..).map(|(image, _)| image);
                let images = images.take_while(|image| image.starts_with(&prefix)).cloned();
                images.chain(names.contains_key(&name).then_some(name)).collect()
            }
        }
    }

    /// Warnings of the wishes that nothing has met in `job`; globs may be meant for other jobs of the file.
    pub(crate) fn warnings(&self, job: &Job, met: &BTreeSet<String>) -> Vec<String> {
        match self {
            Self::All => Vec::new(),
            Self::Globs(globs) => {
                let is_meant = |glob: &&ReferenceGlob| job.sources.iter().any(|source| glob.reaches(&source.location));
                let unmet = globs.iter().filter(is_meant).filter(|glob| !met.contains(&glob.text));
                unmet.map(|glob| format!("the file takes no tag that matches `{}`", glob.text)).collect()
            }
            Self::Names { names, .. } => {
                let unmet = names.keys().filter(|name| !met.contains(*name));
                unmet
                    .map(|name| format!("`{name}` is left out: the file no longer takes it, or its tag is gone"))
                    .collect()
            }
        }
    }
}

impl PartialEq for ReferenceGlob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl TryFrom<String> for ReferenceGlob {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::read(&text)
    }
}

impl From<ReferenceGlob> for String {
    fn from(glob: ReferenceGlob) -> Self {
        glob.text
    }
}

impl ReferenceGlob {
    fn read(text: &str) -> Result<Self, String> {
        let glob = |part: &str| {
            let glob = GlobBuilder::new(part).build();
            glob.map(|glob| glob.compile_matcher()).map_err(|error| format!("`{text}` is no glob: {}", error.kind()))
        };
        let (repository, tag) = split(text);
        Ok(Self { text: text.to_owned(), repository: glob(repository)?, tag: tag.map(glob).transpose()? })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether a reference, of a repository or of an image, matches.
    pub(crate) fn matches(&self, reference: &str) -> bool {
        // An image in a layout is known by the reference that it has there.
        let in_layout = reference.strip_prefix("oci:").and_then(|rest| rest.split_once(':'));
        let reference = in_layout.map_or(reference, |(_, name)| name);
        let (repository, tag) = split(without_digest(reference));
        self.repository.is_match(repository) && tag.is_none_or(|tag| self.takes(tag))
    }

    pub(crate) fn reaches(&self, repository: &RepositoryLocation) -> bool {
        self.repository.is_match(repository.repository().to_string())
    }

    fn takes(&self, tag: &str) -> bool {
        self.tag.as_ref().is_none_or(|glob| glob.is_match(tag))
    }
}

/// A colon after the last slash starts the tag; one before it belongs to the host's port.
fn split(reference: &str) -> (&str, Option<&str>) {
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (reference, None),
    }
}

/// The path of a layout may have an `@` too.
fn without_digest(name: &str) -> &str {
    name.rsplit_once('@').filter(|(_, digest)| digest.parse::<Digest>().is_ok()).map_or(name, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_crosses_slashes_and_a_tag_is_what_follows_the_last_colon() {
        let matches = |glob: &str, reference: &str| Only::matching(&[glob.to_owned()]).unwrap().matches(reference);
        assert!(matches("docker.io/library/nginx*", "docker.io/library/nginx:1.29"));
        assert!(matches("docker.io/*", "docker.io/library/nginx:1.29"));
        assert!(matches("*:1.29*", "localhost:5000/library/nginx:1.29.1"));
        assert!(matches("localhost:5000/*", "localhost:5000/library/nginx:1.29.1"));
        assert!(matches("*:1.29*", "docker.io/library/nginx"), "a repository that could not be listed may have it");
        assert!(matches("*/nginx:1", &format!("docker.io/library/nginx:1@{}", Digest::of(b""))));
        assert!(!matches("docker.io/library/nginx", "docker.io/library/nginx-unprivileged:1"));
        assert!(!matches("*:1.29", "docker.io/library/nginx:1.29.1"));
        assert!(Only::matching(&["a[".to_owned()]).unwrap_err().starts_with("`a[` is no glob: "));
    }
}
