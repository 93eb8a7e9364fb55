//! `newest`: how many are carried, counted from the newest.

use std::collections::{BTreeMap, BTreeSet};

/// How many of one variant, by what is newest.
#[derive(Debug, Clone)]
pub(super) enum Newest {
    /// By the version that a tag says.
    ByVersion(Limits),
    /// So many, by when tags were set.
    ByTime(u32),
}

impl Default for Newest {
    fn default() -> Self {
        Self::ByVersion(Limits::default())
    }
}

/// Limits to the versions of one variant; none means all.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    /// First numbers.
    pub(super) majors: Option<u32>,
    /// Minors, within each major if majors are limited too.
    pub(super) minors: Option<u32>,
    /// Versions within each minor, or within each major if only majors are limited.
    pub(super) patches: Option<u32>,
    /// Versions in all.
    pub(super) count: Option<u32>,
}

/// Goes through the versions of one variant from the newest to the oldest. What it says of one depends on newer ones
/// only, so an older one that comes into being changes nothing.
pub(super) struct Counter<'n> {
    limits: &'n Limits,
    majors: BTreeSet<u64>,
    /// Of each major, or of all.
    minors: BTreeMap<Option<u64>, BTreeSet<Vec<u64>>>,
    /// Of each minor or major.
    patches: BTreeMap<Vec<u64>, u32>,
    count: u32,
    /// Majors that have versions of three parts.
    of_three: BTreeSet<u64>,
}

impl Limits {
    pub(super) fn counter(&self) -> Counter<'_> {
        Counter {
            limits: self,
            majors: BTreeSet::new(),
            minors: BTreeMap::new(),
            patches: BTreeMap::new(),
            count: 0,
            of_three: BTreeSet::new(),
        }
    }
}

impl Counter<'_> {
    /// Whether the next version is among the newest; else, the newest of what.
    pub(super) fn next(&mut self, numbers: &[u64]) -> Result<(), String> {
        let Limits { majors, minors, patches, count } = self.limits;
        let major = numbers.first().copied().unwrap_or(0);
        let minor = self.minor(numbers, major);
        if let Some(limit) = majors
            && !admit(&mut self.majors, &major, *limit)
        {
            return Err(the_newest(*limit, "major"));
        }
        if let Some(limit) = minors {
            let within = majors.map(|_| major);
            if !admit(self.minors.entry(within).or_default(), &minor, *limit) {
                let within = within.map(|major| format!(" of {major}")).unwrap_or_default();
                return Err(the_newest(*limit, "minor") + &within);
            }
        }
        if let Some(limit) = patches {
            let within = if majors.is_some() && minors.is_none() { vec![major] } else { minor };
            let used = self.patches.entry(within.clone()).or_default();
            if *used == *limit {
                let within: Vec<_> = within.iter().map(u64::to_string).collect();
                return Err(format!("{} of {}", the_newest(*limit, "version"), within.join(".")));
            }
            *used += 1;
        }
        match count {
            Some(limit) if self.count == *limit => return Err(the_newest(*limit, "version")),
            _ => self.count += 1,
        }
        Ok(())
    }

    /// The first two parts; the first, where versions have two: `17` of PostgreSQL's `17.6`, but `3.9` of `3.9` where
    /// there is a `3.10.1`.
    fn minor(&mut self, numbers: &[u64], major: u64) -> Vec<u64> {
        if numbers.len() > 2 {
            self.of_three.insert(major);
        }
        let parts = if self.of_three.contains(&major) { 2 } else { 1 };
        numbers.iter().take(parts).copied().collect()
    }
}

/// Adds to a set of at most `limit`; false if it is full.
fn admit<T: Ord + Clone>(set: &mut BTreeSet<T>, value: &T, limit: u32) -> bool {
    set.contains(value) || (u32::try_from(set.len()).is_ok_and(|len| len < limit) && set.insert(value.clone()))
}

pub(super) fn the_newest(limit: u32, what: &str) -> String {
    if limit == 1 { format!("the newest {what}") } else { format!("the newest {limit} {what}s") }
}
