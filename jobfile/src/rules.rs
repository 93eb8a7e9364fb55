//! Which tags of a repository are wanted: rules as a person writes them, and what they select from a listing.

mod alone;
mod rule;

use std::collections::BTreeSet;
use std::fmt;

use proto::{Digest, Tag};

use rule::{Aliases, Rule};

/// The rules for one repository: the union of what they take, without all that a `!` removes. Their order never
/// matters.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    take: Vec<Rule>,
    remove: Vec<Rule>,
}

/// What the rules make of a listing; both lists are in the order of the tags' texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Tags to carry.
    pub taken: Vec<Taken>,
    /// Tags of the listing that are left.
    pub dropped: Vec<Dropped>,
    /// Rules that found no tag at all in the listing; those that name a tag are never among them.
    pub idle: Vec<String>,
}

/// A tag to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The tag.
    pub tag: Tag,
    /// The digest that it is pinned to.
    pub digest: Option<Digest>,
    /// The rule that takes it, as written.
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
    /// Within a range, but of this variant; ranges take the plain one.
    Variant(String),
    /// Within a range, but a pre-release.
    PreRelease(String),
    /// Ranges take versions, not dates.
    Date,
    /// Within a range, but another name of this tag.
    Alias(String),
    /// It holds a signature or another referrer, and travels with its image.
    Referrer,
    /// This rule removes it, as written.
    Removed(String),
}

impl Rules {
    /// Adds a rule. The error says what is wrong with it, and how to mend it.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), (String, String)> {
        let rule = Rule::read(text)?;
        let list = if rule.is_removal() { &mut self.remove } else { &mut self.take };
        // Sorted by kind and text, so that the reason given for a tag does not depend on the order in the file.
        let at = list.partition_point(|other| other.key() < rule.key());
        if list.get(at).is_none_or(|other| other.text() != rule.text()) {
            list.insert(at, rule);
        }
        Ok(())
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

    /// The rule that removes `tag`, as written.
    pub(crate) fn removed(&self, tag: &Tag) -> Option<&str> {
        self.remove.iter().find(|rule| rule.removes(tag)).map(Rule::text)
    }

    /// What the rules make of the tags of a repository.
    ///
    /// A tag that is asked for by name is taken even if it is not listed: it must be there, and what fetches it says so
    /// if it is not.
    pub fn select(&self, listed: &[Tag]) -> Selection {
        let aliases = Aliases::of(listed);
        let tags: BTreeSet<&Tag> = listed.iter().chain(self.exact().map(|(tag, _)| tag)).collect();
        let mut selection = Selection::default();
        let patterns = self.take.iter().filter(|rule| rule.exact().is_none());
        let mut idle: BTreeSet<&str> = patterns.map(Rule::text).collect();
        for tag in tags {
            let mut taken = None;
            let mut why = Why::NoRule;
            for rule in &self.take {
                match rule.takes(tag, &aliases) {
                    Ok(()) => {
                        idle.remove(rule.text());
                        taken = taken.or(Some(rule));
                    }
                    Err(reason) => why = why.max(reason),
                }
            }
            match (taken, self.removed(tag)) {
                (Some(rule), None) => {
                    let digest = rule.exact().and_then(|(_, digest)| digest.cloned());
                    selection.taken.push(Taken { tag: tag.clone(), digest, rule: rule.text().to_owned() });
                }
                (Some(_), Some(rule)) => {
                    selection.dropped.push(Dropped { tag: tag.clone(), why: Why::Removed(rule.to_owned()) });
                }
                (None, _) => selection.dropped.push(Dropped { tag: tag.clone(), why }),
            }
        }
        selection.idle = idle.into_iter().map(str::to_owned).collect();
        selection
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => write!(f, "no rule takes it"),
            Self::Variant(variant) => write!(f, "variant `{variant}`; a range takes the plain one"),
            Self::PreRelease(name) => write!(f, "pre-release `{name}`; a range takes releases"),
            Self::Date => write!(f, "a date; a range takes versions"),
            Self::Alias(tag) => write!(f, "an alias, `{tag}` says more"),
            Self::Referrer => write!(f, "belongs to another image and travels with it"),
            Self::Removed(rule) => write!(f, "removed by `{rule}`"),
        }
    }
}

#[cfg(test)]
mod tests;
