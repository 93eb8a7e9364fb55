//! Times in the five fields of cron, and the instants that they mean in a time zone; the only module that knows the
//! library for it.

use std::time::Duration;
use std::{fmt, iter};

use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};

/// A field: what it says, the words that it may hold, and what it looks like.
type Field = (&'static str, &'static [&'static str], &'static str);

const FIELDS: [Field; 5] = [
    ("minute", &[], "from 0 to 59, as in `30`, `0,30` or `*/15`"),
    ("hour", &[], "from 0 to 23, as in `1`, `8-18` or `*/2`"),
    ("day of the month", &["l", "w"], "from 1 to 31, as in `1,15`, or `L` for the last"),
    (
        "month",
        &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
        "from 1 to 12 or from `jan` to `dec`, as in `1-6`",
    ),
    (
        "day of the week",
        &["sun", "mon", "tue", "wed", "thu", "fri", "sat", "l"],
        "from 0 to 7 or from `sun` to `sat`, as in `mon-fri`; both 0 and 7 are Sunday",
    ),
];

/// What editors are told of it; what is read may be less.
pub(crate) const CRON: &str = "^ *[^ ]+( +[^ ]+){4} *$";

/// Hours of a day.
const HOURS: usize = 24;

/// Longer than any change of a clock.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// From when on it is looked what comes: any time does, and with the leap day soon no other date has to be waited for
/// any longer.
const START: DateTime = DateTime::constant(2000, 1, 1, 0, 0, 0, 0);

/// Among how many times the two that are closest are looked for: more than there are in a day.
const TIMES_COMPARED: usize = 2_000;

/// Times of a clock that come again and again.
///
/// Where the hours are limited, they are those of the local clock: a time that a change of the clock leaves out means
/// the moment of the change, and one that there is twice means the first. Where every hour is meant, it is every real
/// hour.
#[derive(Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    pattern: croner::Cron,
    is_every_hour: bool,
}

impl Cron {
    /// Reads the five fields.
    ///
    /// # Errors
    /// What is wrong, and how to mend it.
    pub(crate) fn read(text: &str) -> Result<Self, (String, String)> {
        let fields: Vec<&str> = text.split(' ').filter(|field| !field.is_empty()).collect();
        if fields.len() != FIELDS.len() {
            let mend = "write minute, hour, day of the month, month and day of the week, as in `30 1 * * *`";
            return Err((format!("`{text}`, expected five fields"), mend.to_owned()));
        }
        for (at, (field, (name, words, range))) in fields.iter().zip(FIELDS).enumerate() {
            let others = (0..FIELDS.len()).map(|other| if other == at { field } else { "*" });
            if !has_only(field, words) || parse(&others.collect::<Vec<_>>().join(" ")).is_none() {
                return Err((format!("`{text}`, whose {name} is `{field}`"), format!("write it {range}")));
            }
        }
        // A day may be none of its month.
        let pattern = parse(&fields.join(" ")).filter(|all| all.find_next_occurrence(&START, true).is_ok());
        let Some(pattern) = pattern else {
            return Err((format!("`{text}`, which never comes"), "write a day that the month has".to_owned()));
        };
        let is_every_hour = pattern.pattern.hours.values().len() == HOURS;
        Ok(Self { text: text.to_owned(), pattern, is_every_hour })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first of its times after `after`; none if there is no more.
    pub(crate) fn next(&self, timezone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let after = whole_second(after);
        if self.is_every_hour {
            let found = self.pattern.find_next_occurrence(&after.to_zoned(timezone.clone()), false);
            return found.ok().map(|found| found.timestamp());
        }
        let mut clock = timezone.to_datetime(after);
        loop {
            clock = self.pattern.find_next_occurrence(&clock, false).ok()?;
            // Within an hour that comes again, what the clock shows later was before.
            let found = instant(timezone, clock).filter(|found| *found > after);
            if found.is_some() {
                return found;
            }
        }
    }

    /// The last of its times that is not after `until`; none if there was none.
    pub(crate) fn latest(&self, timezone: &TimeZone, until: Timestamp) -> Option<Timestamp> {
        let until = whole_second(until);
        if self.is_every_hour {
            let found = self.pattern.find_previous_occurrence(&until.to_zoned(timezone.clone()), true);
            return found.ok().map(|found| found.timestamp());
        }
        // The clock that was not set back yet showed more.
        let before = timezone.to_offset(until.saturating_sub(DAY).ok()?).to_datetime(until);
        let mut clock = timezone.to_datetime(until).max(before);
        let mut inclusive = true;
        loop {
            clock = self.pattern.find_previous_occurrence(&clock, inclusive).ok()?;
            inclusive = false;
            let found = instant(timezone, clock).filter(|found| *found <= until);
            if found.is_some() {
                return found;
            }
        }
    }

    /// How little time may lie between two of its times, by the clock.
    pub(crate) fn closest(&self) -> Option<Duration> {
        let next = |time: &DateTime| self.pattern.find_next_occurrence(time, false).ok();
        let times = iter::successors(next(&START), next).take(TIMES_COMPARED);
        let times: Vec<DateTime> = times.take_while(|time| time.year() < START.year() + 2).collect();
        times.iter().zip(times.iter().skip(1)).map(|(one, next)| one.duration_until(*next).unsigned_abs()).min()
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.text).finish()
    }
}

/// When the clock shows this: the first time if it does so twice, and the moment of the change if it skips it.
fn instant(timezone: &TimeZone, clock: DateTime) -> Option<Timestamp> {
    let shown = timezone.to_ambiguous_timestamp(clock);
    if let AmbiguousOffset::Gap { before, .. } = shown.offset() {
        let after_change = before.to_timestamp(clock).ok()? + SignedDuration::from_secs(1);
        return timezone.preceding(after_change).next().map(|change| change.timestamp());
    }
    shown.earlier().ok()
}

/// Without its fraction: times lie on whole seconds.
fn whole_second(time: Timestamp) -> Timestamp {
    time.round(TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Floor)).unwrap_or(time)
}

fn parse(text: &str) -> Option<croner::Cron> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).ok()
}

/// Whether no part of a list is left out, and whether its words are of this field: the library takes those of others.
fn has_only(field: &str, words: &[&str]) -> bool {
    let mut found = field.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    field.split(',').all(|part| !part.is_empty())
        && found.all(|word| words.contains(&word.to_ascii_lowercase().as_str()))
}
