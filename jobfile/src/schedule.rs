//! `schedule` and `window`: when a job runs by itself, and until when.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::cron::Cron;
use crate::fault::RuleId;
use crate::keys;
use crate::layers::word;
use crate::quantities::duration;
use crate::tree::Node;
use crate::walk::{Walk, closest};

/// What editors are told of a time of the day.
pub(crate) const TIME: &str = "^([01][0-9]|2[0-3]):[0-5][0-9]$";

/// The time zones that come with this program: those of a machine may be others, or none.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// When a job runs by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// At which times.
    pub cron: Cron,
    /// Whose clock shows them: UTC if the file does not say.
    pub timezone: TimeZone,
    /// How much later than that it may start: less than there is between two times, zero if the file does not say.
    pub jitter: Duration,
    /// What becomes of a time at which no coordinator was there.
    pub missed: Missed,
    /// What becomes of a time at which the job still runs.
    pub overlap: Overlap,
}

/// What becomes of times at which no coordinator was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// The job runs once for them, when there is one again.
    #[default]
    Once,
    /// Nothing: it waits for the next time.
    Skip,
}

/// What becomes of a time at which the job still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// Nothing: it waits for the next time.
    #[default]
    Skip,
    /// The job runs again as soon as it is done, once for all times that passed.
    Queue,
}

/// Until when a run may begin with tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// When it closes, by the clock.
    pub until: Time,
    /// Whose clock: that of the schedule, UTC if there is none.
    pub timezone: TimeZone,
}

impl Schedule {
    /// The first of its times after `after`; none if there is no more. Without jitter, so the same for everybody.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.cron.next(&self.timezone, after)
    }

    /// The last of its times that is not after `until`; none if there was none.
    pub fn latest(&self, until: Timestamp) -> Option<Timestamp> {
        self.cron.latest(&self.timezone, until)
    }

    pub(crate) fn read(walk: &mut Walk, node: &Node) -> Option<Self> {
        let fields = walk.fields(node, &keys::SCHEDULE)?;
        let cron = fields.get("cron").map(|node| cron(walk, node));
        let timezone = fields.get("timezone").map(|node| timezone(walk, node));
        let jitter = fields.get("jitter").and_then(|node| Some((node, duration(walk, node, "`jitter`")?)));
        let missed = fields.get("missed").and_then(|node| word(walk, node, "`missed`", Missed::ALL, Missed::as_str));
        let overlap =
            fields.get("overlap").and_then(|node| word(walk, node, "`overlap`", Overlap::ALL, Overlap::as_str));
        if cron.is_none() {
            let mend = "write the times, as in `cron: \"30 1 * * *\"`";
            walk.fault(fields.position, RuleId::MissingKey, "`schedule` has no `cron`", mend);
        }
        let cron = cron??;
        let jitter = jitter.map_or(Duration::ZERO, |(node, jitter)| {
            if let Some(closest) = cron.closest().filter(|closest| *closest <= jitter) {
                let (cron, minutes) = (cron.as_str(), closest.as_secs() / 60);
                let message = format!("`jitter` is `{node}`, and times of `{cron}` are {minutes}m apart");
                walk.fault(node.position, RuleId::Value, message, "write a shorter one");
            }
            jitter
        });
        let (missed, overlap) = (missed.unwrap_or_default(), overlap.unwrap_or_default());
        Some(Self { cron, timezone: timezone.unwrap_or(Some(TimeZone::UTC))?, jitter, missed, overlap })
    }
}

impl fmt::Display for Schedule {
    /// Its times and their clock: two schedules with the same of both are due at the same times.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.cron.as_str(), self.timezone.iana_name().unwrap_or("UTC"))
    }
}

impl Missed {
    pub(crate) const ALL: &[Self] = &[Self::Once, Self::Skip];

    fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Skip => "skip",
        }
    }
}

impl Overlap {
    pub(crate) const ALL: &[Self] = &[Self::Skip, Self::Queue];

    fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Queue => "queue",
        }
    }
}

impl Window {
    /// When the window of a run closes that began at `started_at`: when the clock next shows its end. A time that a
    /// change of the clock leaves out is as much later as the change.
    pub fn ends(&self, started_at: Timestamp) -> Timestamp {
        let today = started_at.to_zoned(self.timezone.clone()).date();
        let days = [Ok(today), today.tomorrow()];
        let ends = days
            .into_iter()
            .flatten()
            .filter_map(|day| day.to_datetime(self.until).to_zoned(self.timezone.clone()).ok());
        ends.map(|end| end.timestamp()).find(|end| *end > started_at).unwrap_or(Timestamp::MAX)
    }

    pub(crate) fn read(walk: &mut Walk, node: &Node, schedule: Option<&Schedule>) -> Option<Self> {
        let fields = walk.filled(node, &keys::WINDOW)?;
        let node = fields.get("until")?;
        let text = walk.text(node, "`until`")?;
        let until = time(text);
        if until.is_none() {
            let message = format!("`until` is `{text}`, expected a time of the day");
            walk.fault(node.position, RuleId::Value, message, "write hour and minute, as in `\"05:45\"`");
        }
        Some(Self { until: until?, timezone: schedule.map_or(TimeZone::UTC, |schedule| schedule.timezone.clone()) })
    }
}

fn cron(walk: &mut Walk, node: &Node) -> Option<Cron> {
    let text = walk.text(node, "`cron`")?;
    let read = Cron::read(text);
    read.map_err(|(message, mend)| walk.fault(node.position, RuleId::Value, format!("`cron` is {message}"), mend)).ok()
}

fn timezone(walk: &mut Walk, node: &Node) -> Option<TimeZone> {
    let text = walk.text(node, "`timezone`")?;
    let found = ZONES.get(text).ok();
    if found.is_none() {
        let names: Vec<String> = ZONES.available().map(|name| name.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let is_city = |name: &&&str| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(text));
        let mend = match names.iter().find(is_city).copied().or_else(|| closest(text, &names)) {
            Some(close) => format!("did you mean `{close}`?"),
            None => "write the name of a time zone, as in `Europe/Berlin` or `UTC`".to_owned(),
        };
        walk.fault(node.position, RuleId::Value, format!("there is no time zone `{text}`"), mend);
    }
    found
}

/// A time of the day in hours and minutes, two digits each.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number =
        |text: &str| text.parse().ok().filter(|_| text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_digit()));
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}
