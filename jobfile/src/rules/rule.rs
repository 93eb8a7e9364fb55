//! One rule for tags: how it is written, and which tags it matches.

use std::collections::HashMap;

use globset::{GlobBuilder, GlobMatcher};
use proto::{Digest, Tag};
use regex::{Regex, RegexBuilder};

use super::Why;
use super::listing::{Entry, Listing, is_referrer};
use super::versions::{VersionRule, Versions};
use crate::version::{Range, Scheme, Version};

/// Largest compiled form of a regex, in bytes: more is a mistake, and a gigabyte is possible.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A rule for tags: exact, `tag@digest`, `>=1 <2`, `glob*`, `/regex/`, each with a `!` before it if it removes; or a
/// map about versions.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    written: String,
    /// The tag set that it comes from, as `$name`.
    set: Option<String>,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Exact(Tag, Option<Digest>),
    Versions(Box<VersionRule>),
    Glob(GlobMatcher),
    Regex(Regex),
}

impl Rule {
    /// Reads a rule. The error says what is wrong, and how to mend it.
    pub(super) fn read(text: &str) -> Result<Self, (String, String)> {
        let (matched, is_removal) = text.strip_prefix('!').map_or((text, false), |rest| (rest, true));
        let matcher = match Matcher::read(matched, is_removal) {
            Ok(Matcher::Exact(_, Some(_))) if is_removal => {
                Err(("a removal names no digest".to_owned(), "leave out `@` and what follows"))
            }
            result => result,
        };
        match matcher {
            Ok(matcher) => Ok(Self { written: text.to_owned(), set: None, matcher }),
            Err((why, mend)) => Err((format!("`{text}` is no rule for tags: {why}"), mend.to_owned())),
        }
    }

    /// A rule that was written as a map, and is known as `text`.
    pub(super) fn of_map(text: String, rule: VersionRule) -> Self {
        Self { written: text, set: None, matcher: Matcher::Versions(Box::new(rule)) }
    }

    /// The same, known by the tag set `name`.
    pub(super) fn of_set(&self, name: &str) -> Self {
        Self { set: Some(format!("${name}")), ..self.clone() }
    }

    /// As the file says it where the tags are selected.
    pub(super) fn text(&self) -> &str {
        self.set.as_deref().unwrap_or(&self.written)
    }

    /// Whether it removes what it matches.
    pub(super) fn is_removal(&self) -> bool {
        self.written.starts_with('!')
    }

    /// The tag that it names, with its digest if that is pinned; none for a pattern.
    pub(super) fn exact(&self) -> Option<(&Tag, Option<&Digest>)> {
        match &self.matcher {
            Matcher::Exact(tag, digest) => Some((tag, digest.as_ref())),
            _ => None,
        }
    }

    /// Pins before names before versions before patterns: the most telling reason first. Equal for equal rules.
    pub(super) fn key(&self) -> (u8, &str, &str) {
        let kind = match &self.matcher {
            Matcher::Exact(_, Some(_)) => 0,
            Matcher::Exact(_, None) => 1,
            Matcher::Versions(_) => 2,
            Matcher::Glob(_) => 3,
            Matcher::Regex(_) => 4,
        };
        (kind, self.text(), &self.written)
    }

    /// Whether the rule takes each tag of the listing, or why not.
    pub(super) fn judge(&self, listing: &Listing) -> Vec<Result<(), Why>> {
        if let Matcher::Versions(rule) = &self.matcher {
            return rule.judge(listing);
        }
        let judge = |entry: &Entry| match entry {
            entry if entry.is_referrer => Err(Why::Referrer),
            entry if self.matches_text(entry.tag) => Ok(()),
            _ => Err(Why::NoRule),
        };
        listing.entries().iter().map(judge).collect()
    }

    /// Variants that the rule asks for by itself, and of which nothing is taken, for people.
    pub(super) fn idle_variants(&self, listing: &Listing, verdicts: &[Result<(), Why>]) -> Vec<String> {
        let (Matcher::Versions(rule), None) = (&self.matcher, &self.set) else { return Vec::new() };
        let say = |variant| format!("variant \"{variant}\" of {}", self.written);
        rule.idle_variants(listing, verdicts).map(say).collect()
    }

    /// Whether the rule, after a `!`, removes `tag`. A range then means all within it, whatever the variant: who writes
    /// `["3.*", "!<3.18"]` wants nothing of 3.17.
    pub(super) fn removes(&self, tag: &Tag) -> bool {
        match &self.matcher {
            Matcher::Versions(rule) => {
                let Versions::Range(range, _) = &rule.versions else { return false };
                let version = Version::read(tag.as_str());
                version.is_some_and(|version| !version.is_date() && range.contains(&version.numbers))
            }
            _ => self.matches_text(tag),
        }
    }

    /// Whether the rule takes `tag`, whatever other tags there are.
    pub(super) fn takes_by_text(&self, tag: &Tag) -> bool {
        !is_referrer(tag) && self.matches_text(tag)
    }

    /// Whether the rule takes `tag` if there is no other.
    pub(super) fn may_take(&self, tag: &Tag) -> bool {
        let Matcher::Versions(rule) = &self.matcher else { return self.takes_by_text(tag) };
        let listing = Listing::of(std::slice::from_ref(tag), &HashMap::new(), std::iter::empty());
        rule.judge(&listing).iter().any(Why::may_be_taken)
    }

    fn matches_text(&self, tag: &Tag) -> bool {
        match &self.matcher {
            Matcher::Exact(exact, _) => exact == tag,
            Matcher::Versions(_) => false,
            Matcher::Glob(glob) => glob.is_match(tag.as_str()),
            Matcher::Regex(regex) => regex.is_match(tag.as_str()),
        }
    }
}

impl Matcher {
    /// Reads a rule without its `!`. A tag holds none of `< > = ~ ^ * ? [ { / @ $`, so each form is unambiguous.
    fn read(text: &str, is_removal: bool) -> Result<Self, (String, &'static str)> {
        if let Some(rest) = text.strip_prefix('/') {
            let text = rest.strip_suffix('/').ok_or(("a regex has no end".to_owned(), "end it with `/`"))?;
            return regex(text).map(Self::Regex).map_err(|why| (why, "correct the regex"));
        }
        if text.starts_with(['<', '>', '=', '~', '^']) {
            let mend = if is_removal {
                "write numbers, as in `!<1.20`; for variants, pre-releases and dates use a glob"
            } else {
                "write numbers, as in `>=1.20 <2`; for variants, pre-releases and dates write a map, as in \
                 [{ versions: \">=1.20\", variants: [alpine] }]"
            };
            let range = Range::read(text, Scheme::Versions).map_err(|why| (why, mend))?;
            return Ok(Self::Versions(Box::new(VersionRule::plain(range))));
        }
        if text.starts_with('$') {
            return Err(("a tag set is not removed as a whole".to_owned(), "write what to remove as rules with `!`"));
        }
        if let Some((tag, digest)) = text.split_once('@') {
            let tag = tag.parse().map_err(|_| (format!("`{tag}` is not a tag"), TAG))?;
            let mend = "write `tag@sha256:` and 64 lower-case hex digits";
            let digest = digest.parse().map_err(|_| ("what follows `@` is not a digest".to_owned(), mend))?;
            return Self::exact(tag, Some(digest));
        }
        if is_glob(text) {
            return glob(text).map(Self::Glob);
        }
        let tag = text.parse().map_err(|_| ("it is not a tag, and has no operator".to_owned(), TAG))?;
        Self::exact(tag, None)
    }

    fn exact(tag: Tag, digest: Option<Digest>) -> Result<Self, (String, &'static str)> {
        if is_referrer(&tag) {
            return Err(("it names a signature".to_owned(), "leave it out: signatures travel with their image"));
        }
        Ok(Self::Exact(tag, digest))
    }
}

const TAG: &str =
    "a tag is at most 128 of `A-Z a-z 0-9 _ . -`; operators are `>= < ~ ^ * ? [ / ! $`; several rules are a list";

/// Whether the text has a character that only globs have.
pub(super) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// Reads a glob for tags or parts of them. The error says what is wrong, and how to mend it.
pub(super) fn glob(text: &str) -> Result<GlobMatcher, (String, &'static str)> {
    if let Some(other) = text.chars().find(|c| !c.is_ascii_alphanumeric() && !"_.-*?[]{},!".contains(*c)) {
        return Err((format!("`{other}` is in no tag"), "leave it out of the glob"));
    }
    let glob = GlobBuilder::new(text).build();
    glob.map(|glob| glob.compile_matcher())
        .map_err(|error| (error.kind().to_string(), "correct the glob: `*`, `?`, `[a-z]` and `{a,b}` have a meaning"))
}

/// Reads a regex. The error is the last line of what the parser says: those before draw a picture.
pub(super) fn regex(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build().map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or("").trim().trim_start_matches("error: ").to_owned()
    })
}
