//! Which tags of a repository are wanted: rules as a person writes them, and what they select from a listing.

mod alone;
mod listing;
mod newest;
mod read;
mod rule;
mod versions;

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use jiff::Timestamp;
use proto::{Digest, Tag};

use listing::Listing;
use rule::Rule;

pub(crate) use read::{NEWEST_MAX, TagSets};

/// The rules for one repository: the union of what they take, without all that a `!` removes. Their order never
/// matters.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    take: Vec<Rule>,
    remove: Vec<Rule>,
}

/// What the rules make of a listing; both lists begin with the newest version, and end with dates and names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Tags to carry.
    pub taken: Vec<Taken>,
    /// Tags of the listing that are left.
    pub dropped: Vec<Dropped>,
    /// Rules that found no tag at all in the listing, and variants of which a rule found none; those that name a tag
    /// are never among them.
    pub idle: Vec<String>,
    /// How many tags the listing has of which it does not say when they were set, though a rule takes the newest by
    /// time: with any of these, what is taken may not be the newest.
    pub untimed: usize,
}

/// A tag to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The tag.
    pub tag: Tag,
    /// The digest that it is pinned to.
    pub digest: Option<Digest>,
    /// The rule that takes it, as written; the tag set if it comes from one.
    pub rule: String,
}

/// A tag that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The tag.
    pub tag: Tag,
    /// Why.
    pub why: Why,
}

/// Why a tag is not carried; of several reasons, the greatest is given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// No rule takes it.
    NoRule,
    /// Within a range, but of this variant.
    Variant(String),
    /// Within a range, but a pre-release.
    PreRelease(String),
    /// A date, where a range takes versions.
    Date,
    /// Within a range, but another name of this tag.
    Alias(String),
    /// Another name of this tag, which is not taken.
    AliasOfLeft(String),
    /// Older than these.
    Older(String),
    /// A rule takes the newest by time, and the listing does not say when it was set.
    Untimed,
    /// It holds a signature or another referrer, and travels with its image.
    Referrer,
    /// This rule removes it, as written.
    Removed(String),
}

impl Rules {
    /// Adds a rule; one that is there already changes nothing.
    fn insert(&mut self, rule: Rule) {
        let list = if rule.is_removal() { &mut self.remove } else { &mut self.take };
        // Sorted, so that the reason given for a tag does not depend on the order in the file.
        if let Err(at) = list.binary_search_by(|other| other.key().cmp(&rule.key())) {
            list.insert(at, rule);
        }
    }

    /// Whether some rule takes tags at all.
    pub(crate) fn take_something(&self) -> bool {
        !self.take.is_empty()
    }

    /// Whether the tags must be listed to know what is taken; else [`Rules::select`] needs no tags.
    pub fn need_listing(&self) -> bool {
        self.take.iter().any(|rule| rule.exact().is_none())
    }

    /// Whether a rule takes `tag` by its text alone; else what becomes of it depends on the other tags that there are.
    pub fn take_by_text(&self, tag: &Tag) -> bool {
        self.take.iter().any(|rule| rule.takes_by_text(tag))
    }

    /// Tags that are asked for by name, with their digests if they are pinned.
    pub(crate) fn exact(&self) -> impl Iterator<Item = (&Tag, Option<&Digest>)> {
        self.take.iter().filter_map(Rule::exact)
    }

    /// Whether a rule that takes what matches, rather than a tag by its name, may take `tag` from some listing.
    pub(crate) fn may_match(&self, tag: &Tag) -> bool {
        let mut patterns = self.take.iter().filter(|rule| rule.exact().is_none());
        patterns.any(|rule| rule.may_take(tag)) && self.removed(tag).is_none()
    }

    /// The rule that removes `tag`, as written.
    pub(crate) fn removed(&self, tag: &Tag) -> Option<&str> {
        self.remove.iter().find(|rule| rule.removes(tag)).map(Rule::text)
    }

    /// What the rules make of the tags of a repository whose listing says nothing of times.
    pub fn select(&self, listed: &[Tag]) -> Selection {
        self.select_timed(listed, &HashMap::new())
    }

    /// What the rules make of the tags of a repository, of which some were last set at `times`.
    ///
    /// A tag that is asked for by name is taken even if it is not listed: it must be there, and what fetches it says so
    /// if it is not.
    pub fn select_timed(&self, listed: &[Tag], times: &HashMap<Tag, Timestamp>) -> Selection {
        let listing = Listing::of(listed, times, self.exact().map(|(tag, _)| tag));
        let judged: Vec<_> = self.take.iter().map(|rule| (rule, rule.judge(&listing))).collect();
        let mut selection = Selection { idle: idle(&judged, &listing), ..Selection::default() };
        for (at, entry) in listing.entries().iter().enumerate() {
            let tag = entry.tag.clone();
            selection.untimed += usize::from(judged.iter().any(|(_, verdicts)| verdicts[at] == Err(Why::Untimed)));
            let taken = judged.iter().find(|(_, verdicts)| verdicts[at].is_ok());
            match (taken, self.removed(&tag)) {
                (Some((rule, _)), None) => {
                    let digest = rule.exact().and_then(|(_, digest)| digest.cloned());
                    selection.taken.push(Taken { tag, digest, rule: rule.text().to_owned() });
                }
                (Some(_), Some(rule)) => {
                    let why = Why::Removed(rule.to_owned());
                    selection.dropped.push(Dropped { tag, why });
                }
                (None, _) => {
                    let reasons = judged.iter().filter_map(|(_, verdicts)| verdicts[at].as_ref().err());
                    selection.dropped.push(Dropped { tag, why: reasons.max().cloned().unwrap_or(Why::NoRule) });
                }
            }
        }
        selection
    }
}

/// What found nothing: rules, tag sets of which no rule did, and variants of rules.
fn idle(judged: &[(&Rule, Vec<Result<(), Why>>)], listing: &Listing) -> Vec<String> {
    let mut idle = BTreeSet::new();
    let (busy, empty): (Vec<_>, Vec<_>) =
        judged.iter().partition(|(_, verdicts)| verdicts.iter().any(Why::may_be_taken));
    for (rule, _) in empty.into_iter().filter(|(rule, _)| rule.exact().is_none()) {
        idle.insert(rule.text().to_owned());
    }
    for (rule, verdicts) in busy {
        idle.remove(rule.text());
        idle.extend(rule.idle_variants(listing, verdicts));
    }
    idle.into_iter().collect()
}

impl Why {
    /// Whether a rule that says this of a tag takes it, or would if the listing said when it was set.
    fn may_be_taken(verdict: &Result<(), Self>) -> bool {
        matches!(verdict, Ok(()) | Err(Self::Untimed))
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => write!(f, "no rule takes it"),
            Self::Variant(variant) => {
                write!(f, "variant `{variant}`; the plain one is taken, and those that `variants` names")
            }
            Self::PreRelease(name) => write!(f, "pre-release `{name}`; taken only with `pre_releases: true`"),
            Self::Date => write!(f, "a date; a range takes versions, or dates with `scheme: date`"),
            Self::Alias(tag) => write!(f, "an alias, `{tag}` says more; taken only with `aliases: true`"),
            Self::AliasOfLeft(tag) => write!(f, "an alias of `{tag}`, which is not taken"),
            Self::Older(newest) => write!(f, "older than {newest}"),
            Self::Untimed => write!(f, "the registry's listing does not say when it was set"),
            Self::Referrer => write!(f, "belongs to another image and travels with it"),
            Self::Removed(rule) => write!(f, "removed by `{rule}`"),
        }
    }
}

#[cfg(test)]
mod tests;
