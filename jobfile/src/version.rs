//! Versions as people write them in tags: `3.22`, `v1.2`, `21.0.5_11-jre-jammy`, `1.29.0-alpine3.22`, `18rc1`.
//!
//! Strict semantic versioning gives the wrong answer for nearly every official image: it has no `3.22`, and it takes
//! `-alpine` for a pre-release.

use std::cmp::Ordering;

/// From here on, a first number is the year or the day of a date, not a version.
const DATES_FROM: u64 = 1000;

/// What marks a pre-release, if a number follows.
const PRE_RELEASES: [&str; 6] = ["alpha", "beta", "rc", "pre", "dev", "snapshot"];

/// A tag read as a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    /// `21.0.5_11` is 21, 0, 5, 11.
    pub(crate) numbers: Vec<u64>,
    /// `rc1` of `18rc1-bookworm`.
    pub(crate) pre_release: Option<&'a str>,
    /// `bookworm` of `18rc1-bookworm`; empty for the plain variant.
    pub(crate) variant: &'a str,
}

impl<'a> Version<'a> {
    /// Reads a tag; none if it does not begin with a number, or `v` and a number.
    pub(crate) fn read(tag: &'a str) -> Option<Self> {
        let (mut numbers, mut rest) = numbers(tag.strip_prefix(['v', 'V']).unwrap_or(tag), &['.'])?;
        // The build number of Java: `21.0.5_11`, `8u432-b06`.
        if let Some((build, after)) = rest.strip_prefix('_').and_then(|rest| self::numbers(rest, &['.'])) {
            numbers.extend(build);
            rest = after;
        } else if let Some((update, after)) = rest.strip_prefix('u').and_then(|rest| self::numbers(rest, &[])) {
            numbers.extend(update);
            rest = after;
            if let Some((build, after)) = rest.strip_prefix("-b").and_then(|rest| self::numbers(rest, &[])) {
                numbers.extend(build);
                rest = after;
            }
        }
        let pre_release = pre_release(rest);
        let variant = &rest[pre_release.map_or(0, str::len)..];
        Some(Self {
            numbers,
            pre_release: pre_release.map(|text| text.trim_start_matches(SEPARATORS)),
            variant: variant.strip_prefix(SEPARATORS).unwrap_or(variant),
        })
    }

    /// Whether the number is a date: `20250108`, `2025.01.08`.
    pub(crate) fn is_date(&self) -> bool {
        self.numbers.first().is_some_and(|first| *first >= DATES_FROM)
    }
}

const SEPARATORS: [char; 3] = ['-', '_', '.'];

/// Numbers at the start of `text`, joined by one of `separators`, and what follows them.
fn numbers<'a>(text: &'a str, separators: &[char]) -> Option<(Vec<u64>, &'a str)> {
    let (first, mut rest) = number(text)?;
    let mut numbers = vec![first];
    while let Some((next, after)) = rest.strip_prefix(separators).and_then(number) {
        numbers.push(next);
        rest = after;
    }
    Some((numbers, rest))
}

/// One number at the start of `text`; none if there is none, or one too large to be meant as a number.
fn number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// `-rc.1` of `-rc.1-bookworm`: one of the words and a number, with their separators.
fn pre_release(rest: &str) -> Option<&str> {
    let word = rest.strip_prefix(SEPARATORS).unwrap_or(rest);
    let lower = word.to_ascii_lowercase();
    let length = PRE_RELEASES.into_iter().find(|marker| lower.starts_with(marker))?.len();
    let number_of = word[length..].strip_prefix(SEPARATORS).unwrap_or(&word[length..]);
    let (_, after) = number(number_of)?;
    Some(&rest[..rest.len() - after.len()])
}

/// A range of versions: `>=1.20 <2`, `=3.22`, `~3.22`, `^1.4`. All of its bounds must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range(Vec<Bound>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    operator: Operator,
    numbers: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    AtLeast,
    Above,
    AtMost,
    Below,
    Equal,
    Tilde,
    Caret,
}

const OPERATORS: [(&str, Operator); 8] = [
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("==", Operator::Equal),
    (">", Operator::Above),
    ("<", Operator::Below),
    ("=", Operator::Equal),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

impl Range {
    /// Reads a range; the error says why it is none.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut bounds = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let found = OPERATORS.iter().find(|(operator, _)| rest.starts_with(operator));
            let Some((written, operator)) = found else {
                return Err(format!("`{rest}` does not begin with one of `>=` `>` `<=` `<` `=` `~` `^`"));
            };
            let after = rest[written.len()..].trim_start();
            let end = after.find([' ', ',', '<', '>', '=', '~', '^']).unwrap_or(after.len());
            bounds.push(Bound { operator: *operator, numbers: bound(&after[..end])? });
            rest = after[end..].trim_start_matches([' ', ',']);
        }
        Ok(Self(bounds))
    }

    /// Whether a version with these numbers is within all bounds.
    pub(crate) fn contains(&self, numbers: &[u64]) -> bool {
        self.0.iter().all(|bound| bound.admits(numbers))
    }
}

/// The numbers of a bound: no variant, no pre-release, no date.
fn bound(text: &str) -> Result<Vec<u64>, String> {
    let version = Version::read(text).ok_or_else(|| format!("`{text}` is not a version"))?;
    if version.is_date() {
        return Err(format!("`{text}` is a date, and ranges are of versions"));
    }
    if version.pre_release.is_some() || !version.variant.is_empty() {
        return Err(format!("`{text}` is more than the numbers of a version"));
    }
    Ok(version.numbers)
}

impl Bound {
    /// Compares as many parts as the bound has: `3.22.1` is not above `3.22`, but a part of it.
    fn admits(&self, numbers: &[u64]) -> bool {
        let order = |parts: usize| {
            let part = |numbers: &[u64], i: usize| numbers.get(i).copied().unwrap_or(0);
            let pairs = (0..parts).map(|i| part(numbers, i).cmp(&part(&self.numbers, i)));
            pairs.fold(Ordering::Equal, Ordering::then)
        };
        let all = self.numbers.len();
        let same_first = |parts: usize| order(all).is_ge() && order(parts.min(all)).is_eq();
        match self.operator {
            Operator::AtLeast => order(all).is_ge(),
            Operator::Above => order(all).is_gt(),
            Operator::AtMost => order(all).is_le(),
            Operator::Below => order(all).is_lt(),
            Operator::Equal => order(all).is_eq(),
            Operator::Tilde => same_first(2),
            // Below 1.0 the first number that is not 0 is the one that breaks.
            Operator::Caret => same_first(self.numbers.iter().take_while(|n| **n == 0).count() + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: &str) -> Option<(Vec<u64>, Option<&str>, &str)> {
        Version::read(tag).map(|version| (version.numbers, version.pre_release, version.variant))
    }

    #[test]
    fn versions_are_read_as_people_write_them() {
        assert_eq!(read("3.22"), Some((vec![3, 22], None, "")));
        assert_eq!(read("v1.2"), Some((vec![1, 2], None, "")));
        assert_eq!(read("1.29.0-alpine3.22"), Some((vec![1, 29, 0], None, "alpine3.22")));
        assert_eq!(read("21.0.5_11-jre-jammy"), Some((vec![21, 0, 5, 11], None, "jre-jammy")));
        assert_eq!(read("8u432-b06-jre"), Some((vec![8, 432, 6], None, "jre")));
        assert_eq!(read("12.8-slim"), Some((vec![12, 8], None, "slim")));
        assert_eq!(read("20250108"), Some((vec![20_250_108], None, "")));
        for tag in ["latest", "noble-20250101", "", "v", "-", "bookworm", "RELEASE.2024-11-07T00-52-20Z"] {
            assert_eq!(read(tag), None, "{tag}");
        }
        assert_eq!(read("99999999999999999999999"), None);
    }

    #[test]
    fn a_pre_release_is_a_known_word_and_a_number() {
        assert_eq!(read("18rc1-bookworm"), Some((vec![18], Some("rc1"), "bookworm")));
        assert_eq!(read("1.2.0-alpha.3"), Some((vec![1, 2, 0], Some("alpha.3"), "")));
        assert_eq!(read("3.0.0-SNAPSHOT-7"), Some((vec![3, 0, 0], Some("SNAPSHOT-7"), "")));
        assert_eq!(read("1.2.0-dev"), Some((vec![1, 2, 0], None, "dev")), "a variant, as at some vendors");
        assert_eq!(read("1.2.0-alpine"), Some((vec![1, 2, 0], None, "alpine")));
        assert_eq!(read("1.2.0-prefix"), Some((vec![1, 2, 0], None, "prefix")));
    }

    #[test]
    fn a_bound_is_compared_on_as_many_parts_as_it_has() {
        let rows = [
            (">=3.18", "3.18", true),
            (">=3.18", "3.18.0", true),
            (">=3.18", "4", true),
            (">=3.18", "3.9.9", false),
            (">3.18", "3.18.5", false),
            (">3.18", "3.19", true),
            ("<=3.18", "3.18.5", true),
            ("<3.18", "3.18.0", false),
            ("<3.18", "3.17.9", true),
            ("=3.22", "3.22.2", true),
            ("==3.22.1", "3.22.2", false),
            ("~3.22", "3.22.9", true),
            ("~3.22", "3.23.0", false),
            ("~3.22.1", "3.22.0", false),
            ("~3", "3.99", true),
            ("^1.4", "1.99.0", true),
            ("^1.4", "2.0.0", false),
            ("^0.3.1", "0.3.9", true),
            ("^0.3.1", "0.4.0", false),
            ("^0.0.3", "0.0.4", false),
            (">=1 <2", "1.9", true),
            (">=1 <2", "2", false),
            (">= 1, < 2", "1.9", true),
            (">=1<2", "2.1", false),
        ];
        for (range, version, expected) in rows {
            let numbers = Version::read(version).unwrap().numbers;
            assert_eq!(Range::read(range).unwrap().contains(&numbers), expected, "{version} in {range}");
        }
    }
}
