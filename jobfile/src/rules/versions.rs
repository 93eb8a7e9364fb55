//! A rule about versions: a range or a pattern, and which variants, pre-releases, aliases and how many of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;

use globset::GlobMatcher;
use regex::Regex;

use super::Why;
use super::listing::{Entry, Listing};
use super::newest::{Limits, Newest, the_newest};
use crate::version::{Place, Range, Scheme, Version, numbers_within};

/// Takes versions; a range as text has the defaults for all but `versions`.
#[derive(Debug, Clone)]
pub(super) struct VersionRule {
    pub(super) versions: Versions,
    /// Each counted on its own.
    pub(super) variants: Vec<Variant>,
    pub(super) pre_releases: bool,
    pub(super) aliases: bool,
    pub(super) newest: Newest,
}

/// Which versions, and how a tag is read as one.
#[derive(Debug, Clone)]
pub(super) enum Versions {
    /// Those within.
    Range(Range, Scheme),
    /// What the group `version` captures; the whole tag matches. By time, the group need not be there.
    Pattern(Regex),
}

/// The variants that are asked for.
#[derive(Debug, Clone)]
pub(super) enum Variant {
    /// This one; empty for the plain one.
    Name(String),
    /// All that match.
    Glob(GlobMatcher),
}

impl Variant {
    /// As written.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Glob(glob) => glob.glob().glob(),
        }
    }

    fn matches(&self, variant: &str) -> bool {
        match self {
            Self::Name(name) => name == variant,
            Self::Glob(glob) => glob.is_match(variant),
        }
    }
}

/// A tag that is read as a version, and its number in the listing.
struct Candidate<'a> {
    at: usize,
    version: Version<'a>,
}

impl VersionRule {
    /// Plain releases within a range.
    pub(super) fn plain(range: Range) -> Self {
        Self {
            versions: Versions::Range(range, Scheme::Versions),
            variants: vec![Variant::Name(String::new())],
            pre_releases: false,
            aliases: false,
            newest: Newest::default(),
        }
    }

    /// Whether the rule takes each tag of the listing, or why not.
    pub(super) fn judge(&self, listing: &Listing) -> Vec<Result<(), Why>> {
        let why = |entry: &Entry| Err(if entry.is_referrer { Why::Referrer } else { Why::NoRule });
        let mut verdicts: Vec<_> = listing.entries().iter().map(why).collect();
        let mut variants: BTreeMap<&str, Vec<Candidate>> = BTreeMap::new();
        for (at, entry) in listing.entries().iter().enumerate() {
            let Some(version) = self.read(entry) else { continue };
            if version.is_date() && matches!(self.versions, Versions::Range(_, Scheme::Versions)) {
                verdicts[at] = Err(Why::Date);
            } else if self.variants.iter().any(|variant| variant.matches(version.variant)) {
                variants.entry(version.variant).or_default().push(Candidate { at, version });
            } else if self.contains(&version) {
                verdicts[at] = Err(match version.pre_release {
                    Some(found) if !self.pre_releases => Why::PreRelease(found.text.to_owned()),
                    _ => Why::Variant(version.variant.to_owned()),
                });
            }
        }
        for candidates in variants.into_values() {
            self.judge_variant(candidates, listing, &mut verdicts);
        }
        verdicts
    }

    /// Variants of which nothing is taken.
    pub(super) fn idle_variants(&self, listing: &Listing, verdicts: &[Result<(), Why>]) -> impl Iterator<Item = &str> {
        let taken = listing.entries().iter().zip(verdicts).filter(|(_, verdict)| Why::may_be_taken(verdict));
        let taken: Vec<_> = taken.filter_map(|(entry, _)| self.read(entry).map(|found| found.variant)).collect();
        let is_idle = move |variant: &&Variant| !taken.iter().any(|found| variant.matches(found));
        self.variants.iter().filter(is_idle).map(Variant::text)
    }

    /// The tag as the version that this rule sees in it.
    fn read<'a>(&self, entry: &Entry<'a>) -> Option<Version<'a>> {
        if entry.is_referrer || !entry.is_listed {
            return None;
        }
        match &self.versions {
            Versions::Range(_, Scheme::Versions) => entry.version.clone(),
            Versions::Range(_, Scheme::Dates) => Version::read_date(entry.tag.as_str()),
            Versions::Pattern(regex) if matches!(self.newest, Newest::ByTime(_)) => regex
                .is_match(entry.tag.as_str())
                .then_some(Version { numbers: Vec::new(), pre_release: None, variant: "" }),
            Versions::Pattern(regex) => {
                let numbers = numbers_within(regex.captures(entry.tag.as_str())?.name("version")?.as_str());
                (!numbers.is_empty()).then_some(Version { numbers, pre_release: None, variant: "" })
            }
        }
    }

    fn contains(&self, version: &Version) -> bool {
        match &self.versions {
            Versions::Range(range, _) => range.contains(&version.numbers),
            Versions::Pattern(_) => true,
        }
    }

    /// Judges the tags of one variant. Names of one version are taken or left together.
    fn judge_variant(&self, candidates: Vec<Candidate>, listing: &Listing, verdicts: &mut [Result<(), Why>]) {
        let names = match &self.versions {
            Versions::Range(..) => Names::of(&candidates),
            // A pattern says itself where the version is: one that is shorter is another one.
            Versions::Pattern(_) => Names::default(),
        };
        let mut versions = Vec::new();
        let mut aliases = Vec::new();
        for Candidate { at, version } in candidates {
            let named = names.named_by(&version);
            let why = match (&version.pre_release, named) {
                (Some(found), _) if !self.pre_releases => Why::PreRelease(found.text.to_owned()),
                (_, Some(named)) if self.aliases => {
                    aliases.push((at, named));
                    continue;
                }
                (_, Some(named)) => Why::Alias(listing.entries()[named].tag.to_string()),
                (_, None) => {
                    versions.push(Candidate { at, version });
                    continue;
                }
            };
            if self.contains(&version) {
                verdicts[at] = Err(why);
            }
        }
        versions.retain(|found| self.contains(&found.version));
        match &self.newest {
            Newest::ByVersion(limits) => count(limits, versions, verdicts),
            Newest::ByTime(limit) => count_by_time(*limit, &versions, listing, verdicts),
        }
        for (at, named) in aliases {
            let left = |why: Why| match why {
                Why::NoRule => Why::NoRule,
                _ => Why::AliasOfLeft(listing.entries()[named].tag.to_string()),
            };
            verdicts[at] = verdicts[named].clone().map_err(left);
        }
    }
}

/// Takes the newest of the versions that are left.
fn count(limits: &Limits, versions: Vec<Candidate>, verdicts: &mut [Result<(), Why>]) {
    let mut placed: Vec<(Place, Candidate)> =
        versions.into_iter().map(|found| (found.version.place(), found)).collect();
    placed.sort_by(|(a, _), (b, _)| b.cmp(a));
    let mut counter = limits.counter();
    for same in placed.chunk_by(|(a, _), (b, _)| a == b) {
        let longest = same.iter().map(|(_, found)| numbers_of_release(&found.version)).max_by_key(Vec::len);
        let verdict = counter.next(&longest.unwrap_or_default()).map_err(Why::Older);
        for (_, found) in same {
            verdicts[found.at] = verdict.clone();
        }
    }
}

/// Takes the tags that were set last, each counted on its own; of those that were set at once, the first of the listing.
fn count_by_time(limit: u32, found: &[Candidate], listing: &Listing, verdicts: &mut [Result<(), Why>]) {
    let time = |at: usize| listing.entries()[at].time;
    let (mut timed, untimed): (Vec<usize>, Vec<usize>) =
        found.iter().map(|found| found.at).partition(|at| time(*at).is_some());
    timed.sort_by_key(|at| (Reverse(time(*at)), *at));
    for (at, number) in timed.into_iter().zip(0..) {
        let older = || Why::Older(format!("{} by time", the_newest(limit, "tag")));
        verdicts[at] = (number < limit).then_some(()).ok_or_else(older);
    }
    untimed.into_iter().for_each(|at| verdicts[at] = Err(Why::Untimed));
}

/// The numbers of the release that this is or will be: `1.25rc1` becomes 1.25.0, and `18rc1` becomes 18.0.
fn numbers_of_release(version: &Version) -> Vec<u64> {
    version.numbers.iter().copied().chain(version.pre_release.as_ref().map(|_| 0)).collect()
}

/// The versions of one variant, to see which are only other names: `3.22` where there is `3.22.2`, and `4.2-rc` where
/// there is `4.2.0-rc.1`.
#[derive(Default)]
struct Names(BTreeMap<Key, Name>);

/// Whether it is a release, and its numbers.
type Key = (bool, Vec<u64>);

/// The newest of one key.
struct Name {
    place: Place,
    has_number: bool,
    at: usize,
}

impl Names {
    fn of(candidates: &[Candidate]) -> Self {
        let mut names: BTreeMap<Key, Name> = BTreeMap::new();
        for Candidate { at, version } in candidates {
            let has_number = version.pre_release.as_ref().is_none_or(|found| found.number.is_some());
            let name = Name { place: version.place(), has_number, at: *at };
            let key = (version.pre_release.is_none(), version.numbers.clone());
            // `1.2` and `v1.2` are one version; which of both is named must not depend on the order.
            let rank = |name: &Name| (name.has_number, name.place.clone(), Reverse(name.at));
            match names.get(&key) {
                Some(other) if rank(other) >= rank(&name) => {}
                _ => drop(names.insert(key, name)),
            }
        }
        Self(names)
    }

    /// The newest version that says more than this one, by its number in the listing.
    fn named_by(&self, version: &Version) -> Option<usize> {
        let key = (version.pre_release.is_none(), version.numbers.clone());
        // In the order of keys, those that begin with these numbers come next.
        let last = (key.0, [key.1.as_slice(), &[u64::MAX]].concat());
        let longer = self.0.range((Bound::Excluded(&key), Bound::Included(&last))).next_back();
        let Some(pre_release) = &version.pre_release else { return longer.map(|(_, name)| name.at) };
        if pre_release.number.is_some() {
            return None;
        }
        let same = self.0.get(&key).filter(|name| name.has_number);
        longer.map(|(_, name)| name).or(same).map(|name| name.at)
    }
}
