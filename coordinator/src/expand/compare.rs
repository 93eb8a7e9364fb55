//! What listings and placements say of the tasks of a repository, and which of them need not be done. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use backends::store::{NewDestination, NewTask, Placement, Unchanged};
use proto::task::{Fingerprint, Listed, ListedTag, Placed, Sidecars};
use proto::{Digest, ImageRef, Location, Repository, Tag, limits};
use registry::{Tags, cosign_tags};

use super::Expansion;

/// What tasks are compared with.
pub struct Known<'a> {
    /// The job that they are of: only its own placements count.
    pub job: &'a str,
    /// What their source lists; none if it was not listed.
    pub source: Option<&'a Tags>,
    /// What destinations list: nothing if they are not there. Those of which no listing was got are missing.
    pub destinations: HashMap<Repository, Arc<Listing>>,
    /// What was placed at their destinations.
    pub placements: HashMap<Location, Placement>,
    /// Placements that this run is to read back.
    pub sample: &'a HashSet<Location>,
}

/// What a destination lists, to be looked into by tag.
#[derive(Debug)]
pub struct Listing {
    tags: HashSet<Tag>,
    digests: HashMap<Tag, Digest>,
    is_partial: bool,
}

impl From<Tags> for Listing {
    fn from(Tags { tags, digests, is_partial, .. }: Tags) -> Self {
        Self { tags: tags.into_iter().collect(), digests, is_partial }
    }
}

impl Listing {
    /// What it says of a tag that is to be set; none if that may be there although it is not named.
    fn of(&self, tag: &Tag, sidecars: &Sidecars) -> Option<Listed> {
        let shown = match self.digests.get(tag) {
            Some(digest) => ListedTag::Shows(digest.clone()),
            // One that is named without a digest among others that have one is odd: it moved just now, or is kept elsewhere.
            None if self.tags.contains(tag) && !self.digests.is_empty() => return None,
            None if self.tags.contains(tag) => ListedTag::Named,
            None if self.is_partial => return None,
            None => ListedTag::Absent,
        };
        let sidecars = sidecars.tags.iter().filter(|sidecar| self.tags.contains(*sidecar)).cloned().collect();
        Some(Listed { tag: shown, sidecars, has_tags: !self.tags.is_empty() || self.is_partial })
    }
}

/// The tags under which a source keeps what refers to images.
struct SourceSidecars {
    tags: BTreeSet<Tag>,
    /// Whether there are no others, and few enough to be told with each task.
    is_told_whole: bool,
}

impl SourceSidecars {
    fn of(source: Option<&Tags>) -> Self {
        let is_sidecar = |tag: &&Tag| tag.as_str().starts_with("sha256-");
        let tags: BTreeSet<Tag> = source.into_iter().flat_map(|tags| &tags.tags).filter(is_sidecar).cloned().collect();
        let is_whole = source.is_some_and(|tags| !tags.is_partial && !tags.hides_sidecars);
        Self { is_told_whole: is_whole && tags.len() <= limits::SIDECARS_MAX, tags }
    }

    /// All of them, or those of the digests that are known of a task.
    fn of_task(&self, task: &NewTask, placements: &HashMap<Location, Placement>) -> Sidecars {
        if self.is_told_whole || self.tags.is_empty() {
            // Names in a layout are whole references, and asking there costs nothing.
            let is_complete = self.is_told_whole && matches!(task.source, Location::Registry(_));
            return Sidecars { tags: self.tags.clone(), is_complete };
        }
        let placed = task.destinations.iter().filter_map(|to| placements.get(&to.location));
        let known = placed.map(|placement| &placement.placed.digest).chain(&task.listed);
        let mut tags = BTreeSet::new();
        for digest in known {
            let start = format!("{}-{}", digest.algorithm(), digest.hex());
            let Ok(first) = start.parse::<Tag>() else { continue };
            tags.extend(self.tags.range(first..).take_while(|tag| tag.as_str().starts_with(&start)).cloned());
        }
        Sidecars { tags, is_complete: false }
    }
}

impl Expansion {
    /// Notes with each task what listings say of it. A task whose source and destinations show what was placed, with the
    /// signatures that belong to it, moves to `unchanged`; only if that holds of all its destinations.
    pub fn compare(&mut self, known: &Known) {
        let of_source = SourceSidecars::of(known.source);
        for mut task in std::mem::take(&mut self.tasks) {
            task.sidecars = of_source.of_task(&task, &known.placements);
            for to in &mut task.destinations {
                to.listed = known.listing(&to.location).and_then(|(tag, listing)| listing.of(tag, &task.sidecars));
                let placement = known.placements.get(&to.location);
                let is_in_doubt = placement.is_some_and(|placement| placement.verified_at.is_none());
                to.read_back = is_in_doubt || known.sample.contains(&to.location);
            }
            match task.destinations.iter().map(|to| known.shown(&task, to)).collect::<Option<Vec<Placed>>>() {
                Some(placed) => self.unchanged.push(Unchanged { task, placed }),
                None => self.tasks.push(task),
            }
        }
    }
}

impl Known<'_> {
    /// The tag of a destination, and what its repository lists.
    fn listing<'l>(&'l self, location: &'l Location) -> Option<(&'l Tag, &'l Listing)> {
        let Location::Registry(ImageRef { repository, tag: Some(tag), .. }) = location else { return None };
        self.destinations.get(repository).map(|listing| (tag, listing.as_ref()))
    }

    /// What was placed at a destination, if listings show that it is still that, and all of it.
    fn shown(&self, task: &NewTask, to: &NewDestination) -> Option<Placed> {
        let (source, listed) = (task.listed.as_ref()?, to.listed.as_ref()?);
        let Placement { job, placed, verified_at, .. } = self.placements.get(&to.location)?;
        let is_there = match &listed.tag {
            ListedTag::Shows(digest) => *digest == placed.digest,
            ListedTag::Named => true,
            ListedTag::Absent => false,
        };
        let mut signatures = cosign_tags(&placed.digest, &to.content.referrers).into_iter();
        let is_whole = signatures.all(|tag| !task.sidecars.tags.contains(&tag) || listed.sidecars.contains(&tag));
        let is_ours = job == self.job && verified_at.is_some() && !to.read_back;
        let is_same = placed.fingerprint == Fingerprint::of_copy(source, &to.content);
        (is_ours && is_same && is_there && is_whole).then(|| placed.clone())
    }
}
