//! One rule for tags: how it is written, and which tags it matches.

use std::collections::BTreeMap;
use std::ops::Bound;

use globset::{GlobBuilder, GlobMatcher};
use proto::{Digest, Tag};
use regex::{Regex, RegexBuilder};

use super::Why;
use crate::version::{Range, Version};

/// Largest compiled form of a `/regex/`, in bytes: more is a mistake, and a gigabyte is possible.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A rule for tags: exact, `tag@digest`, `>=1 <2`, `glob*`, `/regex/`, each with a `!` before it if it removes.
#[derive(Debug, Clone)]
pub(super) struct Rule {
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

impl Rule {
    /// Reads a rule. The error says what is wrong, and how to mend it.
    pub(super) fn read(text: &str) -> Result<Self, (String, String)> {
        let matcher = match Matcher::read(text.strip_prefix('!').unwrap_or(text)) {
            Ok(Matcher::Exact(_, Some(_))) if text.starts_with('!') => {
                Err(("a removal names no digest".to_owned(), "leave out `@` and what follows"))
            }
            result => result,
        };
        match matcher {
            Ok(matcher) => Ok(Self { text: text.to_owned(), matcher }),
            Err((why, mend)) => Err((format!("`{text}` is no rule for tags: {why}"), mend.to_owned())),
        }
    }

    /// As written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it removes what it matches.
    pub(super) fn is_removal(&self) -> bool {
        self.text.starts_with('!')
    }

    /// The tag that it names, with its digest if that is pinned; none for a pattern.
    pub(super) fn exact(&self) -> Option<(&Tag, Option<&Digest>)> {
        match &self.matcher {
            Matcher::Exact(tag, digest) => Some((tag, digest.as_ref())),
            _ => None,
        }
    }

    /// Pins before names before ranges before patterns: the most telling reason first.
    pub(super) fn key(&self) -> (u8, &str) {
        let kind = match &self.matcher {
            Matcher::Exact(_, Some(_)) => 0,
            Matcher::Exact(_, None) => 1,
            Matcher::Range(_) => 2,
            Matcher::Glob(_) => 3,
            Matcher::Regex(_) => 4,
        };
        (kind, &self.text)
    }

    /// Whether the rule takes `tag`, or why not.
    pub(super) fn takes(&self, tag: &Tag, aliases: &Aliases) -> Result<(), Why> {
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
    pub(super) fn removes(&self, tag: &Tag) -> bool {
        match &self.matcher {
            Matcher::Range(range) => Version::read(tag.as_str())
                .is_some_and(|version| !version.is_date() && range.contains(&version.numbers)),
            _ => self.matches_text(tag),
        }
    }

    /// Whether the rule takes `tag`, whatever other tags there are.
    pub(super) fn takes_by_text(&self, tag: &Tag) -> bool {
        !is_referrer(tag) && self.matches_text(tag)
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

const TAG: &str =
    "a tag is at most 128 of `A-Z a-z 0-9 _ . -`; operators are `>= < ~ ^ * ? [ / !`; several rules are a list";

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

/// The plain versions of a listing, to see which are only other names: `3.22` where there is `3.22.2`.
pub(super) struct Aliases<'a>(BTreeMap<Vec<u64>, &'a Tag>);

impl<'a> Aliases<'a> {
    pub(super) fn of(listed: &'a [Tag]) -> Self {
        let mut plain = BTreeMap::new();
        for tag in listed {
            let Some(version) = Version::read(tag.as_str()) else { continue };
            if version.variant.is_empty() && version.pre_release.is_none() {
                // `1.2` and `v1.2` are one version; which of both is named must not depend on the order.
                plain.entry(version.numbers).and_modify(|other: &mut &Tag| *other = tag.max(other)).or_insert(tag);
            }
        }
        Self(plain)
    }

    /// The newest tag that says more than these numbers: in their order, those that begin with them come next.
    fn longer(&self, numbers: &[u64]) -> Option<&'a Tag> {
        let above = self.0.range::<[u64], _>((Bound::Excluded(numbers), Bound::Unbounded));
        above.take_while(|(longer, _)| longer.starts_with(numbers)).last().map(|(_, tag)| *tag)
    }
}
