//! Which tags of a repository are wanted: rules as a person writes them, and what they select from a listing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use globset::{GlobBuilder, GlobMatcher};
use proto::{Digest, Tag};
use regex::{Regex, RegexBuilder};

use crate::version::{Range, Version};

/// Largest compiled form of a `/regex/`, in bytes: more is a mistake, and a gigabyte is possible.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A rule for tags: exact, `tag@digest`, `>=1 <2`, `glob*`, `/regex/`.
#[derive(Debug, Clone)]
struct Rule {
    text: String,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Exact(Tag, Option<Digest>),
    Range(Range),
    Glob(GlobMatcher),
    Regex(Regex),
}

/// The rules for one repository: the union of what they take, without all that a `!` removes. Their order never matters.
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
        let (list, positive) = match text.strip_prefix('!') {
            Some(rest) => (&mut self.remove, rest),
            None => (&mut self.take, text),
        };
        let matcher = Matcher::read(positive).map_err(|(why, mend)| {
            let message = format!("`{text}` is no rule for tags: {why}");
            (message, mend.to_owned())
        })?;
        if text.starts_with('!') && matches!(matcher, Matcher::Exact(_, Some(_))) {
            let message = format!("`{text}` is no rule for tags: a removal names no digest");
            return Err((message, "leave out `@` and what follows".to_owned()));
        }
        let rule = Rule { text: text.to_owned(), matcher };
        // Sorted by kind and text, so that the reason given for a tag does not depend on the order in the file.
        let at = list.partition_point(|other| other.key() < rule.key());
        if list.get(at).is_none_or(|other| other.text != rule.text) {
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
        self.take.iter().any(|rule| rule.tag().is_none())
    }

    /// Tags that are asked for by name, with the digests that they are pinned to.
    pub(crate) fn exact(&self) -> impl Iterator<Item = (&Tag, Option<&Digest>)> {
        self.take.iter().filter_map(|rule| match &rule.matcher {
            Matcher::Exact(tag, digest) => Some((tag, digest.as_ref())),
            _ => None,
        })
    }

    /// The rule that removes `tag`, as written.
    pub(crate) fn removed(&self, tag: &Tag) -> Option<&str> {
        self.remove.iter().find(|rule| rule.removes(tag)).map(|rule| rule.text.as_str())
    }

    /// What the rules make of the tags of a repository.
    ///
    /// A tag that is asked for by name is taken even if it is not listed: it must be there, and what fetches it says so
    /// if it is not.
    pub fn select(&self, listed: &[Tag]) -> Selection {
        let aliases = Aliases::of(listed);
        let tags: BTreeSet<&Tag> = listed.iter().chain(self.exact().map(|(tag, _)| tag)).collect();
        let mut selection = Selection::default();
        let mut idle: BTreeSet<&str> = self.take.iter().filter(|r| r.tag().is_none()).map(|r| r.text.as_str()).collect();
        for tag in tags {
            let mut taken = None;
            let mut why = Why::NoRule;
            for rule in &self.take {
                match rule.takes(tag, &aliases) {
                    Ok(()) => {
                        idle.remove(rule.text.as_str());
                        taken = taken.or(Some(rule));
                    }
                    Err(reason) => why = why.max(reason),
                }
            }
            match (taken, self.removed(tag)) {
                (Some(rule), None) => {
                    let digest = rule.digest().cloned();
                    selection.taken.push(Taken { tag: tag.clone(), digest, rule: rule.text.clone() });
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

impl Rule {
    /// Pins before names before ranges before patterns: the most telling reason first.
    fn key(&self) -> (u8, &str) {
        let kind = match &self.matcher {
            Matcher::Exact(_, Some(_)) => 0,
            Matcher::Exact(_, None) => 1,
            Matcher::Range(_) => 2,
            Matcher::Glob(_) => 3,
            Matcher::Regex(_) => 4,
        };
        (kind, &self.text)
    }

    fn tag(&self) -> Option<&Tag> {
        match &self.matcher {
            Matcher::Exact(tag, _) => Some(tag),
            _ => None,
        }
    }

    fn digest(&self) -> Option<&Digest> {
        match &self.matcher {
            Matcher::Exact(_, digest) => digest.as_ref(),
            _ => None,
        }
    }

    /// Whether the rule takes `tag`, or why not.
    fn takes(&self, tag: &Tag, aliases: &Aliases) -> Result<(), Why> {
        if is_referrer(tag) {
            return Err(Why::Referrer);
        }
        let Matcher::Range(range) = &self.matcher else {
            return if self.matches_text(tag) { Ok(()) } else { Err(Why::NoRule) };
        };
        let Some(version) = Version::read(tag.as_str()) else { return Err(Why::NoRule) };
        if version.is_date() {
            return Err(Why::Date);
        }
        if !range.contains(&version.numbers) {
            return Err(Why::NoRule);
        }
        match (version.pre_release, version.variant, aliases.longer(&version.numbers)) {
            (Some(pre_release), ..) => Err(Why::PreRelease(pre_release.to_owned())),
            (None, "", Some(longer)) => Err(Why::Alias(longer.to_string())),
            (None, "", None) => Ok(()),
            (None, variant, _) => Err(Why::Variant(variant.to_owned())),
        }
    }

    /// Whether the rule, after a `!`, removes `tag`. A range then means all within it, whatever the variant: who writes
    /// `["3.*", "!<3.18"]` wants nothing of 3.17.
    fn removes(&self, tag: &Tag) -> bool {
        match &self.matcher {
            Matcher::Range(range) => Version::read(tag.as_str())
                .is_some_and(|version| !version.is_date() && range.contains(&version.numbers)),
            _ => self.matches_text(tag),
        }
    }

    fn matches_text(&self, tag: &Tag) -> bool {
        match &self.matcher {
            Matcher::Exact(exact, _) => exact == tag,
            Matcher::Range(_) => false,
            Matcher::Glob(glob) => glob.is_match(tag.as_str()),
            Matcher::Regex(regex) => regex.is_match(tag.as_str()),
        }
    }
}

impl Matcher {
    /// Reads a rule without its `!`. A tag holds none of `< > = ~ ^ * ? [ { / @ $`, so each form is unambiguous.
    fn read(text: &str) -> Result<Self, (String, &'static str)> {
        if let Some(rest) = text.strip_prefix('/') {
            let regex = rest.strip_suffix('/').ok_or(("a regex has no end".to_owned(), "end it with `/`"))?;
            let regex = RegexBuilder::new(regex).size_limit(REGEX_BYTES_MAX).build();
            return regex.map(Self::Regex).map_err(|error| (regex_error(&error), "correct the regex"));
        }
        if text.starts_with(['<', '>', '=', '~', '^']) {
            let mend = "write numbers, as in `>=1.20 <2`; for variants, pre-releases and dates use a glob";
            return Range::read(text).map(Self::Range).map_err(|why| (why, mend));
        }
        if let Some((tag, digest)) = text.split_once('@') {
            let tag = tag.parse().map_err(|_| (format!("`{tag}` is not a tag"), TAG))?;
            let mend = "write `tag@sha256:` and 64 lower-case hex digits";
            let digest = digest.parse().map_err(|_| ("what follows `@` is not a digest".to_owned(), mend))?;
            return Ok(Self::Exact(tag, Some(digest)));
        }
        if text.contains(['*', '?', '[', '{']) {
            if let Some(other) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"_.-*?[]{},!".contains(*c)) {
                return Err((format!("`{other}` is in no tag"), "leave it out of the glob"));
            }
            let glob = GlobBuilder::new(text).build();
            return glob.map(|glob| Self::Glob(glob.compile_matcher())).map_err(|error| {
                (error.kind().to_string(), "correct the glob: `*`, `?`, `[a-z]` and `{a,b}` have a meaning")
            });
        }
        let tag: Tag = text.parse().map_err(|_| ("it is not a tag, and has no operator".to_owned(), TAG))?;
        if is_referrer(&tag) {
            return Err(("it names a signature".to_owned(), "leave it out: signatures travel with their image"));
        }
        Ok(Self::Exact(tag, None))
    }
}

const TAG: &str = "a tag is at most 128 of `A-Z a-z 0-9 _ . -`; operators are `>= < ~ ^ * ? [ / !`; several rules are a list";

/// The last line of a regex error: those before draw a picture.
fn regex_error(error: &regex::Error) -> String {
    let text = error.to_string();
    text.lines().last().unwrap_or("").trim().trim_start_matches("error: ").to_owned()
}

/// Whether the tag belongs to another image: cosign's `sha256-<hex>.sig` and the like, and the fallback tag of the
/// referrers API, `sha256-<hex>` (distribution-spec, "Referrers Tag Schema").
fn is_referrer(tag: &Tag) -> bool {
    let Some((algorithm, rest)) = tag.as_str().split_once('-') else { return false };
    let hex = rest.split('.').next().unwrap_or("");
    format!("{algorithm}:{hex}").parse::<Digest>().is_ok()
}

/// Which plain versions are only other names: `3.22` where there is `3.22.2`.
struct Aliases<'a>(BTreeMap<Vec<u64>, &'a Tag>);

impl<'a> Aliases<'a> {
    fn of(listed: &'a [Tag]) -> Self {
        let mut longest: BTreeMap<Vec<u64>, (Vec<u64>, &Tag)> = BTreeMap::new();
        for tag in listed {
            let plain = |version: &Version| version.variant.is_empty() && version.pre_release.is_none();
            let Some(version) = Version::read(tag.as_str()).filter(plain) else { continue };
            for parts in 1..version.numbers.len() {
                let candidate = (version.numbers.clone(), tag);
                let newest = longest.entry(version.numbers[..parts].to_vec()).or_insert(candidate.clone());
                if *newest < candidate {
                    *newest = candidate;
                }
            }
        }
        Self(longest.into_iter().map(|(prefix, (_, tag))| (prefix, tag)).collect())
    }

    /// The newest tag that says more than these numbers.
    fn longer(&self, numbers: &[u64]) -> Option<&Tag> {
        self.0.get(numbers).copied()
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
