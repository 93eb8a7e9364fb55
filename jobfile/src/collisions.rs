//! Refuses what would make two images of one destination tag.
//!
//! Which tags a pattern takes is known only from a listing. So lines may share a repository only if they want the same
//! of the same source in the same job, or if all name their tags, and different ones.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::{Content, Digest, Tag};

use crate::JobFile;
use crate::fault::{Faults, RuleId};
use crate::groups::Group;
use crate::job::{Line, Source};
use crate::template::RepositoryLocation;
use crate::walk::Walk;

/// A line that claims a destination.
#[derive(Clone, Copy)]
struct Claimant<'l> {
    source: &'l RepositoryLocation,
    line: &'l Line,
    job: usize,
}

impl<'l> Claimant<'l> {
    /// Lines for which this is the same may take the same tag: what lies there is the same.
    fn wish(&self) -> (&'l RepositoryLocation, &'l Content, usize) {
        (self.source, &self.line.content, self.job)
    }
}

/// The first claimant, and the first with another wish: enough to find one whose wish differs from any.
#[derive(Default)]
struct Seen<'l>(Option<Claimant<'l>>, Option<Claimant<'l>>);

impl<'l> Seen<'l> {
    fn unlike(&self, claimant: Claimant) -> Option<Claimant<'l>> {
        [self.0, self.1].into_iter().flatten().find(|other| other.wish() != claimant.wish())
    }

    fn add(&mut self, claimant: Claimant<'l>) {
        match self.0 {
            None => self.0 = Some(claimant),
            Some(first) if first.wish() != claimant.wish() => _ = self.1.get_or_insert(claimant),
            Some(_) => {}
        }
    }
}

/// What is known to go to one destination.
#[derive(Default)]
struct Claims<'l> {
    all: Seen<'l>,
    /// Those of which a listing decides what they take.
    listed: Seen<'l>,
    every_listed: Vec<Claimant<'l>>,
    /// Tags that are asked for by name, with the digests that they are pinned to.
    tags: BTreeMap<&'l Tag, (Claimant<'l>, Option<&'l Digest>)>,
    /// Which of them are pinned.
    pins: Vec<&'l Tag>,
}

/// Notes all collisions; `jobs` has the job of each group, and groups in none collide with nothing.
pub(crate) fn check(walk: &mut Walk, groups: &[Group], jobs: &[Option<usize>]) {
    let in_jobs = groups.iter().zip(jobs).filter_map(|(group, job)| Some((group, (*job)?)));
    let lines = in_jobs.flat_map(|(group, job)| group.lines.iter().map(move |(source, line)| (source, line, job)));
    compare(walk, lines.map(|(source, line, job)| Claimant { source, line, job }));
}

impl JobFile {
    /// What of this file would go to destination tags that another of these files has, which may not be: a job owns
    /// each. The others must collide with each other nowhere.
    pub fn collisions(&self, others: &[&Self]) -> Faults {
        let file: Arc<Path> = self.pack.file.as_path().into();
        let mut walk = Walk { folder: PathBuf::new(), file, faults: Vec::new(), warnings: Vec::new() };
        // Those of others first, so that what is noted are the lines of this one.
        let jobs = others.iter().copied().chain([self]).flat_map(|file| &file.jobs).enumerate();
        let sources = jobs.flat_map(|(number, job)| job.sources.iter().map(move |source| (source, number)));
        let claimants = sources.flat_map(|(Source { location, lines }, job)| {
            lines.iter().map(move |line| Claimant { source: location, line, job })
        });
        compare(&mut walk, claimants);
        Faults::new(walk.faults)
    }
}

fn compare<'l>(walk: &mut Walk, all: impl Iterator<Item = Claimant<'l>>) {
    let mut claimants: BTreeMap<Cow<RepositoryLocation>, Vec<Claimant>> = BTreeMap::new();
    for claimant in all {
        for destination in &claimant.line.destinations {
            claimants.entry(destination.without_usual_port()).or_default().push(claimant);
        }
    }
    // Nearly all destinations have one, whose tags need not be looked at.
    for (destination, claimants) in claimants.iter().filter(|(_, claimants)| claimants.len() > 1) {
        let mut claims = Claims::default();
        claimants.iter().for_each(|claimant| claims.claim(walk, destination, *claimant));
    }
}

impl<'l> Claims<'l> {
    fn claim(&mut self, walk: &mut Walk, destination: &RepositoryLocation, claimant: Claimant<'l>) {
        let needs_listing = claimant.line.rules.need_listing();
        if let Some((tag, other)) = self.shared(claimant) {
            collide(walk, &format!("{destination}:{tag}"), claimant, other);
        } else if let Some(other) = if needs_listing { &self.all } else { &self.listed }.unlike(claimant) {
            collide(walk, &destination.to_string(), claimant, other);
        } else {
            self.compare_pins(walk, claimant);
        }
        self.all.add(claimant);
        if needs_listing {
            self.listed.add(claimant);
            self.every_listed.push(claimant);
        }
        for (tag, digest) in claimant.line.rules.exact() {
            if !self.tags.contains_key(tag) && digest.is_some() {
                self.pins.push(tag);
            }
            self.tags.entry(tag).or_insert((claimant, digest));
        }
    }

    /// A tag that the line names, and that another with another wish names too.
    fn shared(&self, claimant: Claimant<'l>) -> Option<(&'l Tag, Claimant<'l>)> {
        let mut tags = claimant.line.rules.exact();
        tags.find_map(|(tag, _)| {
            let (other, _) = self.tags.get(tag).filter(|(other, _)| other.wish() != claimant.wish())?;
            Some((tag, *other))
        })
    }

    /// Lines with the same wish may still take a tag with different digests. One message for a line is enough.
    fn compare_pins(&self, walk: &mut Walk, claimant: Claimant<'l>) {
        let rules = &claimant.line.rules;
        let mut names: BTreeMap<&Tag, Option<&Digest>> = BTreeMap::new();
        for (tag, digest) in rules.exact() {
            // Within a line, the pin of a tag goes before its name, and stands before it.
            names.entry(tag).or_insert(digest);
        }
        let by_name = names.iter().find_map(|(tag, digest)| {
            let (other, pinned) = self.tags.get(tag)?;
            (pinned != digest).then_some((*tag, *other))
        });
        let by_pattern = || {
            let mut pins = names.iter().filter(|(tag, digest)| digest.is_some() && !self.tags.contains_key(*tag));
            pins.find_map(|(tag, _)| {
                Some((*tag, *self.every_listed.iter().find(|other| other.line.rules.may_match(tag))?))
            })
        };
        let of_others = || {
            let mut pins = self.pins.iter().filter(|_| rules.need_listing());
            let tag = *pins.find(|tag| !names.contains_key(*tag) && rules.may_match(tag))?;
            Some((tag, self.tags.get(tag)?.0))
        };
        if let Some((tag, other)) = by_name.or_else(by_pattern).or_else(of_others) {
            let place = &claimant.line.place;
            let other = other.line.place.seen_from(&place.file);
            let message = format!("`{tag}` of `{}` is taken here and in {other}, with different pins", claimant.source);
            walk.fault_at(
                place.clone(),
                RuleId::Collision,
                message,
                format!("pin it alike, or remove `!{tag}` in one"),
            );
        }
    }
}

fn collide(walk: &mut Walk, what: &str, claimant: Claimant, other: Claimant) {
    let place = &claimant.line.place;
    let there = other.line.place.seen_from(&place.file);
    let (message, mend) = if claimant.source != other.source {
        (
            format!("`{what}` is the destination of `{}` and of `{}` in {there}", claimant.source, other.source),
            "tell them apart by `{registry}` and `{path}` in `to`, or name different tags",
        )
    } else if claimant.job != other.job {
        (
            format!("`{what}` is a destination of this job and, by {there}, of another"),
            "let one job run both groups, or send them to different destinations",
        )
    } else {
        (
            format!("`{what}` gets `{}` here and `{}` by {there}", claimant.line.content, other.line.content),
            "carry the same in both, or send them to different destinations",
        )
    };
    walk.fault_at(place.clone(), RuleId::Collision, message, mend);
}
