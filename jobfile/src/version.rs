//! Versions as people write them in tags: `3.22`, `v1.2`, `21.0.5_11-jre-jammy`, `1.29.0-alpine3.22`, `18rc1`.
//!
//! Strict semantic versioning gives the wrong answer for nearly every official image: it has no `3.22`, and it takes
//! `-alpine` for a pre-release.

mod range;

pub(crate) use range::Range;

/// From here on, a first number is the year or the day of a date, not a version.
const DATES_FROM: u64 = 1000;

/// Numbers before those of a build, so that `21_35` is older than `21.0.5_11`, and `11.0.20_8` older than
/// `11.0.20.1_1`.
const PARTS_BEFORE_BUILD: usize = 4;

/// What is written before the numbers, and says nothing.
const PREFIXES: [char; 2] = ['v', 'V'];

const SEPARATORS: [char; 3] = ['-', '_', '.'];

/// What marks a pre-release, from the oldest to the newest of a version.
const PRE_RELEASES: [(&str, Number); 11] = [
    ("dev", Number::Needed),
    ("snapshot", Number::Optional),
    ("a", Number::Attached),
    ("alpha", Number::Optional),
    ("b", Number::Attached),
    ("beta", Number::Optional),
    ("preview", Number::Optional),
    ("pre", Number::Needed),
    ("m", Number::Needed),
    ("ea", Number::Optional),
    ("rc", Number::Optional),
];

/// Whether a number follows the word of a pre-release.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    /// The word has no other meaning: `4.2-rc-alpine`.
    Optional,
    /// Without a number the word is a variant: `1.2.0-dev`, at some vendors.
    Needed,
    /// A letter, between two numbers: `3.14.0b4`.
    Attached,
}

/// What the numbers of a tag are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// A version.
    Versions,
    /// A date, with or without time: `20250108`, `2025.01.08`, `2025-01-08T12-30-00Z`.
    Dates,
}

/// A tag read as a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    /// `3.22.2` is 3, 22, 2.
    pub(crate) numbers: Vec<u64>,
    /// `rc1` of `18rc1-bookworm`.
    pub(crate) pre_release: Option<PreRelease<'a>>,
    /// `bookworm` of `18rc1-bookworm`; empty for the plain variant.
    pub(crate) variant: &'a str,
}

/// What makes a version a pre-release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PreRelease<'a> {
    /// As written, without what separates it from the numbers.
    pub(crate) text: &'a str,
    rank: usize,
    /// None for a name that moves from one to the next: `rc` of `4.2-rc`.
    pub(crate) number: Option<u64>,
}

/// Where a version stands among others; the same for `1.2.0` and `v1.2`.
pub(crate) type Place = (Vec<u64>, (usize, u64));

impl<'a> Version<'a> {
    /// Reads a tag; none if it does not begin with a number, or `v` and a number.
    pub(crate) fn read(tag: &'a str) -> Option<Self> {
        let (mut numbers, mut rest) = numbers(tag.strip_prefix(PREFIXES).unwrap_or(tag), &['.'])?;
        let mut build = None;
        // Java: `21.0.5_11`, and `8u432-b06`, which is 8.0.432.
        if let Some(found) = rest.strip_prefix('_').and_then(|rest| self::numbers(rest, &['.'])) {
            build = Some(found);
        } else if let Some((update, after)) = rest.strip_prefix('u').and_then(number) {
            numbers.resize(numbers.len().max(2), 0);
            numbers.push(update);
            rest = after;
            build = after.strip_prefix("-b").and_then(|rest| self::numbers(rest, &[]));
        }
        if let Some((build, after)) = build {
            numbers.resize(numbers.len().max(PARTS_BEFORE_BUILD), 0);
            numbers.extend(build);
            rest = after;
        }
        let pre_release = pre_release(rest);
        let (pre_release, variant) = pre_release.map_or((None, rest), |(found, after)| (Some(found), after));
        Some(Self { numbers, pre_release, variant: variant.strip_prefix(SEPARATORS).unwrap_or(variant) })
    }

    /// Reads a tag that is a date, and a variant after it.
    pub(crate) fn read_date(tag: &'a str) -> Option<Self> {
        let (first, after) = digits(tag.strip_prefix(PREFIXES).unwrap_or(tag))?;
        let mut numbers = parts_of_date(first)?;
        let mut rest = after;
        if let Some((more, after)) =
            after.strip_prefix(DATE_SEPARATORS).and_then(|r| self::numbers(r, &DATE_SEPARATORS))
        {
            numbers.extend(more);
            rest = after;
        }
        let rest = rest.strip_prefix('Z').unwrap_or(rest);
        let variant = rest.strip_prefix(SEPARATORS).unwrap_or(rest);
        Some(Self { numbers, pre_release: None, variant }).filter(Self::is_date)
    }

    /// Whether the first number is the year or the day of a date: `20250108`, `2025.01.08`.
    pub(crate) fn is_date(&self) -> bool {
        self.numbers.first().is_some_and(|first| *first >= DATES_FROM)
    }

    /// Where it stands among others: by numbers, where a missing one is 0, and a release after its pre-releases.
    pub(crate) fn place(&self) -> Place {
        let end = self.numbers.iter().rposition(|number| *number != 0).map_or(0, |last| last + 1);
        let of_pre_release = |found: &PreRelease| (found.rank, found.number.unwrap_or(0));
        (self.numbers[..end].to_vec(), self.pre_release.as_ref().map_or((usize::MAX, 0), of_pre_release))
    }
}

/// All numbers in a text, whatever stands between; one that is too large to be meant as a number is the largest.
pub(crate) fn numbers_within(text: &str) -> Vec<u64> {
    let runs = text.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    runs.map(|run| run.parse().unwrap_or(u64::MAX)).collect()
}

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
    let (digits, rest) = digits(text)?;
    Some((digits.parse().ok()?, rest))
}

/// The digits at the start of `text`, and what follows.
fn digits(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

const DATE_SEPARATORS: [char; 4] = ['.', '-', '_', 'T'];

/// `20250108` and `20250108123000` as the numbers that `2025.01.08` has; other digits as one number.
fn parts_of_date(digits: &str) -> Option<Vec<u64>> {
    if !matches!(digits.len(), 6 | 8 | 12 | 14) || !digits.starts_with(['1', '2']) {
        return Some(vec![digits.parse().ok()?]);
    }
    let (year, rest) = digits.split_at(4);
    let pairs = (0..rest.len()).step_by(2).map(|at| &rest[at..at + 2]);
    std::iter::once(year).chain(pairs).map(|part| part.parse().ok()).collect()
}

/// `-rc.1` of `-rc.1-bookworm`, and what follows: a word, and mostly a number, with their separators.
fn pre_release(rest: &str) -> Option<(PreRelease<'_>, &str)> {
    let word = rest.strip_prefix(SEPARATORS).unwrap_or(rest);
    let is_end = |rest: &str| rest.is_empty() || rest.starts_with(SEPARATORS);
    PRE_RELEASES.iter().enumerate().find_map(|(rank, (marker, needs))| {
        let (found, tail) = (word.get(..marker.len())?, &word[marker.len()..]);
        let separated = if *needs == Number::Attached { tail } else { tail.strip_prefix(SEPARATORS).unwrap_or(tail) };
        let numbered = number(separated).filter(|(_, after)| is_end(after));
        let fits = match needs {
            Number::Optional => numbered.is_some() || is_end(tail),
            Number::Needed => numbered.is_some(),
            Number::Attached => numbered.is_some() && word.len() == rest.len(),
        };
        if !fits || !found.eq_ignore_ascii_case(marker) {
            return None;
        }
        let (number, after) = numbered.map_or((None, tail), |(number, after)| (Some(number), after));
        Some((PreRelease { text: &word[..word.len() - after.len()], rank, number }, after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: &str) -> Option<(Vec<u64>, Option<&str>, &str)> {
        Version::read(tag)
            .map(|version| (version.numbers, version.pre_release.map(|found| found.text), version.variant))
    }

    #[test]
    fn versions_are_read_as_people_write_them() {
        assert_eq!(read("3.22"), Some((vec![3, 22], None, "")));
        assert_eq!(read("v1.2"), Some((vec![1, 2], None, "")));
        assert_eq!(read("1.29.0-alpine3.22"), Some((vec![1, 29, 0], None, "alpine3.22")));
        assert_eq!(read("21.0.5_11-jre-jammy"), Some((vec![21, 0, 5, 0, 11], None, "jre-jammy")));
        assert_eq!(read("8u432-b06-jre"), Some((vec![8, 0, 432, 0, 6], None, "jre")));
        assert_eq!(read("12.8-slim"), Some((vec![12, 8], None, "slim")));
        assert_eq!(read("20250108"), Some((vec![20_250_108], None, "")));
        for tag in ["latest", "noble-20250101", "", "v", "-", "bookworm", "RELEASE.2024-11-07T00-52-20Z"] {
            assert_eq!(read(tag), None, "{tag}");
        }
        assert_eq!(read("99999999999999999999999"), None);
    }

    #[test]
    fn a_pre_release_is_a_known_word_and_mostly_a_number() {
        assert_eq!(read("18rc1-bookworm"), Some((vec![18], Some("rc1"), "bookworm")));
        assert_eq!(read("1.2.0-alpha.3"), Some((vec![1, 2, 0], Some("alpha.3"), "")));
        assert_eq!(read("3.0.0-SNAPSHOT-7"), Some((vec![3, 0, 0], Some("SNAPSHOT-7"), "")));
        assert_eq!(read("24-ea-9-jdk-oraclelinux9"), Some((vec![24], Some("ea-9"), "jdk-oraclelinux9")));
        assert_eq!(read("3.14.0b4-slim"), Some((vec![3, 14, 0], Some("b4"), "slim")));
        assert_eq!(read("8.0-M03"), Some((vec![8, 0], Some("M03"), "")));
        assert_eq!(read("4.2-rc-alpine"), Some((vec![4, 2], Some("rc"), "alpine")));
        assert_eq!(read("3.5.0-preview1-slim"), Some((vec![3, 5, 0], Some("preview1"), "slim")));
        assert_eq!(read("1.2.0-dev"), Some((vec![1, 2, 0], None, "dev")), "a variant, as at some vendors");
        for variant in ["alpine", "alpine3.22", "prefix", "management", "b4", "rcs", "m1mac", "early1"] {
            assert_eq!(read(&format!("1.2.0-{variant}")), Some((vec![1, 2, 0], None, variant)));
        }
    }

    #[test]
    fn versions_have_an_order() {
        let rows = [
            ["3.9", "3.10"],
            ["3.22", "3.22.1"],
            ["18beta3", "18rc1"],
            ["18rc1", "18rc2"],
            ["18rc2", "18.0"],
            ["3.14.0a7", "3.14.0b1"],
            ["3.14.0b1", "3.14.0rc1"],
            ["21_35-jdk", "21.0.1_12-jdk"],
            ["11.0.20_8", "11.0.20.1_1"],
            ["8u432-b06", "8u442-b01"],
            ["1.29.0-perl", "1.29.1"],
        ];
        let place = |tag: &str| Version::read(tag).unwrap().place();
        for [older, newer] in rows {
            assert!(place(older) < place(newer), "{older} is older than {newer}");
        }
        for [one, other] in [["1.2", "1.2.0"], ["v1.2.0", "1.2.0"], ["0", "0.0"], ["1.2.0-rc.1", "1.2rc1"]] {
            assert_eq!(place(one), place(other), "{one} is {other}");
        }
    }

    #[test]
    fn dates_are_read_as_people_write_them() {
        let read = |tag| Version::read_date(tag).map(|version| (version.numbers, version.variant));
        for tag in ["20250108", "2025.01.08", "2025-01-08", "v2025.1.8"] {
            assert_eq!(read(tag), Some((vec![2025, 1, 8], "")), "{tag}");
        }
        assert_eq!(read("20250108-slim"), Some((vec![2025, 1, 8], "slim")));
        assert_eq!(read("20250108.2"), Some((vec![2025, 1, 8, 2], "")));
        assert_eq!(read("2025-01-08T12-30-00Z"), Some((vec![2025, 1, 8, 12, 30, 0], "")));
        assert_eq!(read("20250108123000"), Some((vec![2025, 1, 8, 12, 30, 0], "")));
        assert_eq!(read("202501"), Some((vec![2025, 1], "")));
        for tag in ["3.22", "latest", "noble-20250108", "999"] {
            assert_eq!(read(tag), None, "{tag}");
        }
    }
}
