//! Ranges of versions and of dates.

use std::cmp::Ordering;

use super::{Scheme, Version};

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
    /// Reads a range of versions or of dates; the error says why it is none.
    pub(crate) fn read(text: &str, scheme: Scheme) -> Result<Self, String> {
        let mut bounds = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let found = OPERATORS.iter().find(|(operator, _)| rest.starts_with(operator));
            let Some((written, operator)) = found else {
                return Err(format!("`{rest}` does not begin with one of `>=` `>` `<=` `<` `=` `~` `^`"));
            };
            let after = rest[written.len()..].trim_start();
            let end = after.find([' ', ',', '<', '>', '=', '~', '^']).unwrap_or(after.len());
            bounds.push(Bound { operator: *operator, numbers: bound(&after[..end], scheme)? });
            rest = after[end..].trim_start_matches([' ', ',']);
        }
        if bounds.is_empty() {
            return Err("a range has at least one bound".to_owned());
        }
        let lower = bounds.iter().filter_map(Bound::lower).max();
        let upper = bounds.iter().filter_map(Bound::upper).min();
        if lower.zip(upper).is_some_and(|(lower, upper)| upper <= lower) {
            return Err(format!("`{text}` can match nothing"));
        }
        Ok(Self(bounds))
    }

    /// Whether a version with these numbers is within all bounds.
    pub(crate) fn contains(&self, numbers: &[u64]) -> bool {
        self.0.iter().all(|bound| bound.admits(numbers))
    }
}

/// The numbers of a bound: no variant, no pre-release.
fn bound(text: &str, scheme: Scheme) -> Result<Vec<u64>, String> {
    let version = match scheme {
        Scheme::Versions => Version::read(text).ok_or_else(|| format!("`{text}` is not a version"))?,
        Scheme::Dates => Version::read_date(text).ok_or_else(|| format!("`{text}` is not a date"))?,
    };
    if scheme == Scheme::Versions && version.is_date() {
        return Err(format!("`{text}` is a date, and ranges are of versions"));
    }
    if version.pre_release.is_some() || !version.variant.is_empty() {
        return Err(format!("`{text}` is more than the numbers of a version"));
    }
    Ok(version.numbers)
}

impl Bound {
    /// The least that it admits; none if that is everything.
    fn lower(&self) -> Option<Vec<u64>> {
        match self.operator {
            Operator::AtMost | Operator::Below => None,
            Operator::Above => after(&self.numbers),
            _ => Some(without_zeros(self.numbers.clone())),
        }
    }

    /// The least that it does not admit any more; none if there is no end.
    fn upper(&self) -> Option<Vec<u64>> {
        match self.operator {
            Operator::AtLeast | Operator::Above => None,
            Operator::Below => Some(without_zeros(self.numbers.clone())),
            Operator::AtMost | Operator::Equal => after(&self.numbers),
            Operator::Tilde | Operator::Caret => after(self.numbers.get(..self.kept()).unwrap_or(&self.numbers)),
        }
    }

    /// How many of its first numbers a version must share.
    fn kept(&self) -> usize {
        match self.operator {
            Operator::Tilde => 2,
            // Below 1.0 the first number that is not 0 is the one that breaks.
            Operator::Caret => self.numbers.iter().take_while(|n| **n == 0).count() + 1,
            _ => self.numbers.len(),
        }
    }

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
            Operator::Tilde | Operator::Caret => same_first(self.kept()),
        }
    }
}

/// The first numbers above all that begin with these; none if there are none.
fn after(numbers: &[u64]) -> Option<Vec<u64>> {
    let (last, first) = numbers.split_last()?;
    let mut numbers = first.to_vec();
    numbers.push(last.checked_add(1)?);
    Some(numbers)
}

/// The same numbers, so that lists of them compare as versions do: `3.0` is `3`.
fn without_zeros(mut numbers: Vec<u64>) -> Vec<u64> {
    while numbers.pop_if(|last| *last == 0).is_some() {}
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_no_version_can_be_in_is_refused() {
        for range in [">=1.9 <1.3", ">1.3 <=1.3", ">=2 <2", ">=2.0 <2", "=1.2 =1.3", "~1.2 >=1.3", "^1.4 <1.4"] {
            let refused = Range::read(range, Scheme::Versions).unwrap_err();
            assert_eq!(refused, format!("`{range}` can match nothing"));
        }
        for (range, version) in [
            (">=1.3 <=1.3", "1.3"),
            (">1.3 <1.4.1", "1.4"),
            (">=1.3.5 <=1.3", "1.3.5"),
            ("=1.2 >=1.2.7", "1.2.7"),
            ("^0.3 <0.3.1", "0.3"),
            ("~3 >=3.99", "3.99"),
        ] {
            let numbers = Version::read(version).unwrap().numbers;
            assert!(Range::read(range, Scheme::Versions).unwrap().contains(&numbers), "{version} in {range}");
        }
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
            assert_eq!(
                Range::read(range, Scheme::Versions).unwrap().contains(&numbers),
                expected,
                "{version} in {range}"
            );
        }
    }
}
