//! `schedule` and `window`: at which instants a job runs by itself, and when the window of a run closes.

use std::time::Duration;

use jiff::civil::time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use jobfile::{Job, Missed, Overlap, Schedule};
use proptest::prelude::*;

use crate::{good, parse};

/// A job with these settings beside its groups.
fn job(settings: &str) -> Job {
    let text = format!(
        "version: 1\nto: example.com/{{path}}\ngroups: {{ a: {{ images: {{ a: '1' }} }} }}\njobs: {{ nightly: {{ groups: a, {settings} }} }}\n"
    );
    good(&text).jobs.remove(0)
}

fn schedule(cron: &str, timezone: &str) -> Schedule {
    job(&format!("schedule: {{ cron: '{cron}', timezone: {timezone} }}")).schedule.unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The times from one instant to another, both with them, as instants of UTC; and the same found backwards.
fn times(schedule: &Schedule, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let before = from - SignedDuration::from_nanos(1);
    let next = |after: &Timestamp| schedule.next(*after).filter(|next| *next <= to);
    let times: Vec<Timestamp> = std::iter::successors(next(&before), next).collect();
    let latest = |before: Timestamp| schedule.latest(before).filter(|latest| *latest >= from);
    let back = |next: &Timestamp| latest(*next - SignedDuration::from_nanos(1));
    let mut backwards: Vec<Timestamp> = std::iter::successors(latest(to), back).collect();
    backwards.reverse();
    assert_eq!(times, backwards, "{schedule:?} from {from} to {to}");
    times
}

/// The times of a day and of its night, as clocks show them there.
fn shown(cron: &str, timezone: &str, from: &str, to: &str) -> Vec<String> {
    let schedule = schedule(cron, timezone);
    let times = times(&schedule, at(from), at(to));
    times.iter().map(|time| time.to_zoned(schedule.timezone.clone()).strftime("%H:%M%:z").to_string()).collect()
}

#[test]
fn a_job_says_when_it_runs_and_how_long_and_nothing_of_it_holds_without_a_word() {
    let said =
        job("schedule: { cron: '30 1 * * *', timezone: Europe/Berlin, jitter: 10m, missed: skip, overlap: queue }, \
         max_duration: 8h, max_concurrency: 200, window: { until: '05:45' }");
    let schedule = said.schedule.unwrap();
    assert_eq!((schedule.cron.as_str(), schedule.timezone.iana_name()), ("30 1 * * *", Some("Europe/Berlin")));
    assert_eq!(schedule.to_string(), "30 1 * * * Europe/Berlin");
    assert_eq!(schedule.jitter, Duration::from_secs(600));
    assert_eq!((schedule.missed, schedule.overlap), (Missed::Skip, Overlap::Queue));
    assert_eq!((said.max_duration, said.max_concurrency), (Some(Duration::from_secs(8 * 3600)), Some(200)));
    let window = said.window.unwrap();
    assert_eq!((window.until, window.timezone), (time(5, 45, 0, 0), schedule.timezone));

    let short = job("schedule: { cron: 7 * * * * }, window: { until: '00:00' }");
    let schedule = short.schedule.unwrap();
    assert_eq!(schedule.to_string(), "7 * * * * UTC");
    assert_eq!((schedule.timezone, schedule.jitter), (TimeZone::UTC, Duration::ZERO));
    assert_eq!((schedule.missed, schedule.overlap), (Missed::Once, Overlap::Skip));
    assert_eq!(short.window.unwrap().timezone, TimeZone::UTC);

    let silent = job("verify: { at_most: 5% }");
    assert!(silent.schedule.is_none() && silent.window.is_none());
    assert!(silent.max_duration.is_none() && silent.max_concurrency.is_none());
}

/// From noon to noon over the nights of 2026 and 2027 in which clocks in Berlin are changed: forward, and back.
const FORWARD: [[&str; 2]; 2] =
    [["2026-03-28T11:00Z", "2026-03-29T10:00Z"], ["2027-03-27T11:00Z", "2027-03-28T10:00Z"]];
const BACK: [[&str; 2]; 2] = [["2026-10-24T10:00Z", "2026-10-25T11:00Z"], ["2027-10-30T10:00Z", "2027-10-31T11:00Z"]];

#[test]
fn a_time_that_a_change_of_the_clock_leaves_out_means_the_moment_of_the_change() {
    for [from, to] in FORWARD {
        let shown = |cron| shown(cron, "Europe/Berlin", from, to);
        assert_eq!(shown("30 2 * * *"), ["03:00+02:00"]);
        assert_eq!(shown("0 2 * * *"), ["03:00+02:00"]);
        assert_eq!(shown("*/20 2 * * *"), ["03:00+02:00"]);
        assert_eq!(shown("30 1,2,3,14 * * *"), ["14:30+01:00", "01:30+01:00", "03:00+02:00", "03:30+02:00"]);
        assert_eq!(shown("0 2,3 * * *"), ["03:00+02:00"], "two times at one moment are one");
        assert_eq!(shown("59 1 * * *"), ["01:59+01:00"]);
        assert_eq!(shown("0 3 * * *"), ["03:00+02:00"]);
    }
}

#[test]
fn a_time_that_there_is_twice_means_the_first() {
    for [from, to] in BACK {
        let shown = |cron| shown(cron, "Europe/Berlin", from, to);
        assert_eq!(shown("30 2 * * *"), ["02:30+02:00"]);
        assert_eq!(shown("0 2 * * *"), ["02:00+02:00"]);
        assert_eq!(shown("*/20 2 * * *"), ["02:00+02:00", "02:20+02:00", "02:40+02:00"]);
        assert_eq!(shown("30 1-3 * * *"), ["01:30+02:00", "02:30+02:00", "03:30+01:00"]);
        assert_eq!(shown("0 3 * * *"), ["03:00+01:00"]);
    }
}

#[test]
fn every_hour_is_every_real_hour() {
    for [from, to] in FORWARD.into_iter().chain(BACK) {
        let times = times(&schedule("7 * * * *", "Europe/Berlin"), at(from), at(to));
        let hours = (at(to).as_second() - at(from).as_second()) / 3600;
        assert_eq!(times.len() as i64, hours);
        assert!(
            times.windows(2).all(|two| two[1].duration_since(two[0]) == SignedDuration::from_hours(1)),
            "{times:?}"
        );
    }
    let [from, to] = BACK[0];
    let shown = shown("30 * * * *", "Europe/Berlin", from, to);
    assert_eq!(&shown[13..16], ["01:30+02:00", "02:30+02:00", "02:30+01:00"]);
}

#[test]
fn a_leap_day_comes_in_leap_years() {
    let schedule = schedule("30 1 29 2 *", "UTC");
    assert_eq!(schedule.next(at("2026-01-01T00:00Z")), Some(at("2028-02-29T01:30Z")));
    assert_eq!(schedule.next(at("2028-02-29T01:30Z")), Some(at("2032-02-29T01:30Z")));
    assert_eq!(schedule.next(at("2096-03-01T00:00Z")), Some(at("2104-02-29T01:30Z")), "2100 is none");
    assert_eq!(schedule.latest(at("2026-01-01T00:00Z")), Some(at("2024-02-29T01:30Z")));
}

#[test]
fn days_are_those_of_the_month_or_of_the_week() {
    let days = |cron: &str| {
        let schedule = schedule(cron, "UTC");
        let times = times(&schedule, at("2026-11-01T00:00Z"), at("2026-11-30T23:59Z"));
        times.iter().map(|time| time.strftime("%d").to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(days("0 0 * * mon-wed"), "02 03 04 09 10 11 16 17 18 23 24 25 30");
    assert_eq!(days("0 0 13 * FRI"), "06 13 20 27");
    assert_eq!(days("0 0 1,15 * 7"), "01 08 15 22 29");
    assert_eq!(days("0 0 L nov *"), "30");
    assert_eq!(days("0 0 31 * *"), "");
}

#[test]
fn zones_far_from_whole_hours_have_their_own_changes() {
    // Half an hour, on the first Sundays of October and April.
    assert_eq!(shown("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T03:00Z", "2026-10-04T03:00Z"), ["02:30+11:00"]);
    assert_eq!(shown("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T03:00Z", "2026-04-05T03:00Z"), ["01:45+11:00"]);
    // A whole day was left out.
    assert_eq!(shown("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00Z", "2012-01-01T00:00Z"), ["00:00+14:00"]);
}

#[test]
fn a_time_is_found_whatever_the_fraction_of_a_second() {
    let schedule = schedule("30 1 * * *", "UTC");
    let time = at("2026-11-20T01:30Z");
    assert_eq!(schedule.latest(at("2026-11-20T01:30:00.5Z")), Some(time));
    assert_eq!(schedule.latest(at("2026-11-20T01:29:59.999Z")), Some(at("2026-11-19T01:30Z")));
    assert_eq!(schedule.next(at("2026-11-20T01:29:59.999Z")), Some(time));
    assert_eq!(schedule.next(at("2026-11-20T01:30:00.5Z")), Some(at("2026-11-21T01:30Z")));
    assert_eq!(schedule.latest(at("1969-12-31T01:30:00.5Z")), Some(at("1969-12-31T01:30Z")));
}

#[test]
fn a_window_closes_when_the_clock_next_shows_its_end() {
    let window = |until: &str| {
        job(&format!("schedule: {{ cron: 30 1 * * *, timezone: Europe/Berlin }}, window: {{ until: '{until}' }}"))
            .window
            .unwrap()
    };
    let ends = |until: &str, started: &str| window(until).ends(at(started)).to_string();
    assert_eq!(ends("05:45", "2026-11-20T00:30Z"), "2026-11-20T04:45:00Z");
    assert_eq!(ends("05:45", "2026-11-20T22:00Z"), "2026-11-21T04:45:00Z", "over midnight");
    assert_eq!(ends("05:45", "2026-11-20T04:44:59.5Z"), "2026-11-20T04:45:00Z");
    assert_eq!(ends("05:45", "2026-11-20T04:45Z"), "2026-11-21T04:45:00Z", "it has just closed");
    assert_eq!(ends("00:00", "2026-11-20T22:59Z"), "2026-11-20T23:00:00Z");
    assert_eq!(ends("05:45", "2026-03-29T00:30Z"), "2026-03-29T03:45:00Z", "an hour less");
    assert_eq!(ends("05:45", "2026-10-25T00:30Z"), "2026-10-25T04:45:00Z", "an hour more");
    assert_eq!(ends("02:30", "2026-03-29T00:30Z"), "2026-03-29T01:30:00Z", "as much later as the clock");
    assert_eq!(ends("02:30", "2026-10-24T23:30Z"), "2026-10-25T00:30:00Z", "the first of both");
}

#[test]
fn a_zone_is_known_without_those_of_the_machine() {
    // The machine's are not asked: there may be none in a container, and others on another machine.
    for name in ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC", "Etc/GMT+5"] {
        assert_eq!(schedule("0 0 * * *", name).timezone.iana_name(), Some(name));
    }
}

/// Fields of cron, most of them right.
fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
    let number = least..=most;
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => number.clone().prop_map(|number| number.to_string()),
        1 => proptest::collection::btree_set(number.clone(), 1..4)
            .prop_map(|numbers| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
        1 => (number.clone(), number).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (2..most).prop_map(|step| format!("*/{step}")),
    ]
}

fn cron() -> impl Strategy<Value = String> {
    (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6))
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Africa/Casablanca",
    "America/Santiago",
    "Pacific/Chatham",
];

proptest! {
    #[test]
    fn times_are_the_same_forwards_and_backwards_and_each_is_one_that_the_clock_shows(
        cron in cron(),
        zone in proptest::sample::select(&ZONES[..]),
        // Around a change of some clock, or at any time.
        start in prop_oneof![Just(at("2026-03-28T20:00Z")), Just(at("2026-10-24T20:00Z")),
            (0..1_500_000_000i64).prop_map(|s| Timestamp::from_second(s + 800_000_000).unwrap())],
        minutes in 1..3_000i64,
    ) {
        let text = format!(
            "version: 1\nto: example.com/{{path}}\ngroups: {{ a: {{ images: {{ a: '1' }} }} }}\n\
             jobs: {{ a: {{ groups: a, schedule: {{ cron: '{cron}', timezone: {zone} }} }} }}\n"
        );
        // One whose day is none of its month is refused.
        let Ok(mut file) = parse(&text) else { return Ok(()) };
        let schedule = file.jobs.remove(0).schedule.unwrap();
        let end = start + SignedDuration::from_mins(minutes);
        let times = times(&schedule, start, end);
        prop_assert!(times.windows(2).all(|two| two[0] < two[1]));
        let hours: Vec<&str> = cron.split(' ').collect();
        for time in times {
            let clock = time.to_zoned(schedule.timezone.clone());
            let minute = clock.strftime("%-M").to_string();
            let is_change = schedule.timezone.preceding(time + SignedDuration::from_secs(1)).next()
                .is_some_and(|change| change.timestamp() == time);
            prop_assert!(is_change || hours[0].contains(['*', ',', '-']) || hours[0] == minute, "{clock}");
        }
    }
}
