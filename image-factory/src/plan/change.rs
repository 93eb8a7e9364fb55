//! What one version of a job file does that another does not: tags in and out, other destinations, other owners.

use std::collections::{BTreeMap, BTreeSet};

use backends::store::{NewDestination, NewTask};
use coordinator::expand::{Only, expand};
use futures_util::{StreamExt, stream};
use jobfile::{JobFile, RepositoryLocation, Source};
use proto::{Digest, Failure, ImageRef, Location, Reference};
use registry::Tags;
use serde::{Deserialize, Serialize};

use super::JobPlan;
use super::make::Planner;

/// Repositories listed at once.
const CONCURRENCY: usize = 8;

/// What a file does that its other version did not, and the other way round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// The other version.
    pub(crate) against: String,
    /// Its digest.
    pub(crate) against_digest: Digest,
    /// Each repository for which something changes, in the order of their names.
    pub(crate) repositories: Vec<RepositoryChange>,
}

/// What changes for a repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RepositoryChange {
    /// The repository.
    pub(crate) repository: String,
    /// Tags that were not mirrored, and will be.
    pub(crate) tags_in: Vec<String>,
    /// Tags that were mirrored, and will not be: what lies at the destination stays as it is.
    pub(crate) tags_out: Vec<String>,
    /// What changes for tags that are mirrored before and after.
    pub(crate) changes: Vec<Difference>,
    /// Why its tags could not be compared.
    pub(crate) failure: Option<Failure>,
}

/// A property that changes, for some tags.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Difference {
    /// Which: `destination`, `owner`, `platforms`, `referrers`, `digest`.
    pub(crate) what: String,
    /// Its values in the other version.
    pub(crate) before: Vec<String>,
    /// Its values in the file.
    pub(crate) after: Vec<String>,
    /// The tags.
    pub(crate) tags: Vec<String>,
}

/// Everything that a version of a file wants of a repository, by tag.
type Wanted = BTreeMap<String, Vec<NewTask>>;

impl Planner {
    /// Compares two versions over the same listings; gives also what the new tags cost, job by job.
    pub(crate) async fn compare(
        &mut self,
        before: &JobFile,
        after: &JobFile,
        name: impl Fn(Option<&str>) -> String,
    ) -> anyhow::Result<(Vec<RepositoryChange>, Vec<JobPlan>)> {
        let planner = &*self;
        let pairs = sources_of_both(before, after);
        let listings = pairs.iter().map(|(location, both)| async move {
            let asks = both.all().find(|source| source.needs_listing());
            match asks {
                Some(source) => (*location, planner.tags(source).await),
                None => (*location, Ok(Tags::default())),
            }
        });
        let listings = stream::iter(listings.collect::<Vec<_>>()).buffered(CONCURRENCY);
        let listings: BTreeMap<&RepositoryLocation, Result<Tags, Failure>> = listings.collect().await;

        let mut changes = Vec::new();
        let mut new: BTreeMap<String, Vec<NewTask>> = BTreeMap::new();
        for (location, both) in pairs {
            let mut change = RepositoryChange { repository: location.to_string(), ..Default::default() };
            match listings.get(location) {
                Some(Ok(listed)) => {
                    let (old, now) = (wanted(&both.before, listed), wanted(&both.after, listed));
                    let before: BTreeSet<_> = old.values().flatten().flat_map(places).collect();
                    for (job, source) in &both.after {
                        let expansion = expand(source, listed, &Only::All);
                        change.failure = change.failure.take().or(expansion.failure);
                        let tasks = expansion.tasks.into_iter().filter_map(|task| only_new(task, &before));
                        new.entry(name(*job)).or_default().extend(tasks);
                    }
                    change.tags_in = only_in(&now, &old);
                    change.tags_out = only_in(&old, &now);
                    change.changes = differences(&old, &now);
                }
                Some(Err(failure)) => change.failure = Some(failure.clone()),
                None => {}
            }
            let is_same = change.tags_in.is_empty() && change.tags_out.is_empty() && change.changes.is_empty();
            if !is_same || change.failure.is_some() {
                changes.push(change);
            }
        }
        let mut plans = Vec::new();
        for (job, tasks) in new.into_iter().filter(|(_, tasks)| !tasks.is_empty()) {
            let (images, warnings) = self.images(&job, tasks, || ()).await?;
            plans.push(JobPlan { job, images, failed: Vec::new(), warnings });
        }
        Ok((changes, plans))
    }
}

/// What both versions say of a repository, each source with its job's name.
#[derive(Default)]
struct Both<'f> {
    before: Vec<(Option<&'f str>, &'f Source)>,
    after: Vec<(Option<&'f str>, &'f Source)>,
}

impl<'f> Both<'f> {
    fn all(&self) -> impl Iterator<Item = &'f Source> {
        self.before.iter().chain(&self.after).map(|(_, source)| *source)
    }
}

fn sources_of_both<'f>(before: &'f JobFile, after: &'f JobFile) -> BTreeMap<&'f RepositoryLocation, Both<'f>> {
    let mut pairs: BTreeMap<&RepositoryLocation, Both> = BTreeMap::new();
    let sources = |file: &'f JobFile| {
        file.jobs.iter().flat_map(|job| job.sources.iter().map(|source| (job.name.as_deref(), source)))
    };
    for (job, source) in sources(before) {
        pairs.entry(&source.location).or_default().before.push((job, source));
    }
    for (job, source) in sources(after) {
        pairs.entry(&source.location).or_default().after.push((job, source));
    }
    pairs
}

fn wanted(sources: &[(Option<&str>, &Source)], listed: &Tags) -> Wanted {
    let mut wanted = Wanted::new();
    for task in sources.iter().flat_map(|(_, source)| expand(source, listed, &Only::All).tasks) {
        wanted.entry(tag_of(&task.source)).or_default().push(task);
    }
    wanted
}

/// Which tag goes where, as a task has it.
fn places(task: &NewTask) -> impl Iterator<Item = (String, Location)> {
    task.destinations.iter().map(|to| (tag_of(&task.source), to.location.clone()))
}

/// The task with those of its destinations to which its tag did not go before; none if there are none.
fn only_new(mut task: NewTask, before: &BTreeSet<(String, Location)>) -> Option<NewTask> {
    let tag = tag_of(&task.source);
    task.destinations.retain(|to| !before.contains(&(tag.clone(), to.location.clone())));
    (!task.destinations.is_empty()).then_some(task)
}

fn only_in(some: &Wanted, others: &Wanted) -> Vec<String> {
    some.keys().filter(|tag| !others.contains_key(*tag)).cloned().collect()
}

/// A property, with its values before and after.
type Kind<'p> = (&'p str, BTreeSet<String>, BTreeSet<String>);

/// Properties whose values differ, each with the tags for which they differ alike.
fn differences(old: &Wanted, now: &Wanted) -> Vec<Difference> {
    let mut found: BTreeMap<Kind, Vec<String>> = BTreeMap::new();
    for (tag, after) in now {
        let Some(before) = old.get(tag) else { continue };
        for (what, values) in PROPERTIES {
            let (before, after) = (values(before), values(after));
            if before != after {
                found.entry((what, before, after)).or_default().push(tag.clone());
            }
        }
    }
    let difference = |((what, before, after), tags): (Kind, Vec<String>)| Difference {
        what: what.to_owned(),
        before: before.into_iter().collect(),
        after: after.into_iter().collect(),
        tags,
    };
    found.into_iter().map(difference).collect()
}

/// The values of a property of one tag, over all that is wanted of it.
type Values = fn(&[NewTask]) -> BTreeSet<String>;

const PROPERTIES: [(&str, Values); 5] = [
    ("destination", |tasks| of_destinations(tasks, |to| Some(repository_of(&to.location)))),
    ("owner", |tasks| of_destinations(tasks, |to| to.origin.owner.clone())),
    ("platforms", |tasks| of_destinations(tasks, |to| Some(to.content.platforms.to_string()))),
    ("referrers", |tasks| of_destinations(tasks, |to| Some(to.content.referrers.to_string()))),
    ("digest", |tasks| tasks.iter().filter_map(|task| pin_of(&task.source)).collect()),
];

fn of_destinations(tasks: &[NewTask], value: impl Fn(&NewDestination) -> Option<String>) -> BTreeSet<String> {
    tasks.iter().flat_map(|task| &task.destinations).filter_map(value).collect()
}

/// The tag by which an image is known; images of a layout are named by whole references.
pub(crate) fn tag_of(source: &Location) -> String {
    let tag = match source {
        Location::Registry(image) => image.tag.clone(),
        Location::Layout(layout) | Location::Archive(layout) => {
            layout.name.as_ref().and_then(|name| name.parse::<ImageRef>().ok()).and_then(|image| image.tag)
        }
    };
    tag.map(|tag| tag.to_string()).unwrap_or_default()
}

fn pin_of(source: &Location) -> Option<String> {
    match source {
        Location::Registry(image) => match image.reference() {
            Reference::Digest(digest) => Some(digest.to_string()),
            Reference::Tag(_) => None,
        },
        Location::Layout(_) | Location::Archive(_) => None,
    }
}

/// A destination without its tag.
pub(crate) fn repository_of(location: &Location) -> String {
    match location {
        Location::Registry(image) => image.repository.to_string(),
        Location::Layout(layout) | Location::Archive(layout) => {
            let name = layout.name.as_ref().and_then(|name| name.parse::<ImageRef>().ok());
            let name = name.map(|image| format!(":{}", image.repository)).unwrap_or_default();
            format!("oci:{}{name}", layout.path.display())
        }
    }
}
