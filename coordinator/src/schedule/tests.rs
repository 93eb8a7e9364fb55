//! What schedules ask for, at any time and after any pause.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;

use super::*;

/// The schedule with these settings.
fn schedule(settings: &str) -> Option<Schedule> {
    let text = format!(
        "version: 1\nto: example.com/{{path}}\ngroups: {{ a: {{ images: {{ a: '1' }} }} }}\n\
         jobs: {{ nightly: {{ groups: a, schedule: {{ {settings} }} }} }}\n"
    );
    jobfile::parse(text.as_bytes(), Path::new("/jobs/nightly.yaml")).ok()?.jobs.remove(0).schedule
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

const FREE: Runs = Runs::Ended(None);

/// What is asked for at `now`: when it was due, and what to do.
fn asked(settings: &str, since: &str, runs: Runs, now: &str) -> Option<(String, Step)> {
    let seen = Seen { since: at(since), runs };
    let look = look("nightly", &schedule(settings).unwrap(), &seen, at(now));
    look.due.map(|due| (due.firing.due_at.to_string(), due.step))
}

fn is(due_at: &str, step: Step) -> Option<(String, Step)> {
    Some((due_at.to_owned(), step))
}

#[test]
fn a_job_is_due_at_its_time_and_not_before_and_once() {
    let asked = |since, now| asked("cron: 30 1 * * *", since, FREE, now);
    assert_eq!(asked("2026-11-19T01:30Z", "2026-11-20T01:29:59.999Z"), None);
    assert_eq!(asked("2026-11-19T01:30Z", "2026-11-20T01:30Z"), is("2026-11-20T01:30:00Z", Step::Start));
    assert_eq!(asked("2026-11-20T01:30Z", "2026-11-20T01:30:10Z"), None, "it is on record");
    assert_eq!(asked("2026-11-20T14:00Z", "2026-11-20T14:00Z"), None, "a schedule that is new has missed nothing");
    assert_eq!(asked("2026-11-21T00:00Z", "2026-11-20T02:00Z"), None, "a record of the future");
}

#[test]
fn of_times_that_were_missed_the_last_runs_once_or_none() {
    let settings = "cron: 0 * * * *, timezone: Europe/Berlin";
    let (since, now) = ("2026-11-20T01:00Z", "2026-11-20T11:20Z");
    assert_eq!(asked(settings, since, FREE, now), is("2026-11-20T11:00:00Z", Step::Start));
    let seen = Seen { since: at(since), runs: FREE };
    let due = look("nightly", &schedule(settings).unwrap(), &seen, at(now)).due.unwrap();
    assert_eq!(due.first, at("2026-11-20T02:00Z"), "it stands for ten");

    let settings = "cron: 0 * * * *, missed: skip";
    assert_eq!(asked(settings, since, FREE, now), is("2026-11-20T11:00:00Z", Step::Skip(Reason::Missed)));
    assert_eq!(asked(settings, "2026-11-20T11:00Z", FREE, now), None);
    assert_eq!(asked(settings, since, FREE, "2026-11-20T11:04Z"), is("2026-11-20T11:00:00Z", Step::Start));
}

#[test]
fn while_the_job_runs_a_time_is_left_out_or_waits_until_it_is_over() {
    let (since, now) = ("2026-11-20T01:00Z", "2026-11-20T02:00:03Z");
    let due = "2026-11-20T02:00:00Z";
    assert_eq!(asked("cron: 0 * * * *", since, Runs::Open, now), is(due, Step::Skip(Reason::Overlap)));
    for missed in ["once", "skip"] {
        let settings = format!("cron: 0 * * * *, overlap: queue, missed: {missed}");
        assert_eq!(asked(&settings, since, Runs::Open, now), is(due, Step::Wait));
        let ended = Runs::Ended(Some(at("2026-11-20T04:40Z")));
        let later = is("2026-11-20T04:00:00Z", Step::Start);
        assert_eq!(asked(&settings, since, ended, "2026-11-20T04:40:05Z"), later, "once for all that waited");
    }
    let ended = Runs::Ended(Some(at("2026-11-20T04:40Z")));
    let settings = "cron: 0 * * * *, overlap: queue, missed: skip";
    let missed = is("2026-11-20T04:00:00Z", Step::Skip(Reason::Missed));
    assert_eq!(asked(settings, since, ended, "2026-11-20T04:50Z"), missed, "nobody was there when the run was over");
}

#[test]
fn jitter_delays_the_start_by_what_is_the_same_everywhere_and_never_the_key() {
    let schedule = schedule("cron: 30 1 * * *, jitter: 10m").unwrap();
    let due_at = at("2026-11-20T01:30Z");
    let starts = starts_at("nightly", &schedule, due_at);
    // Another version of this program must not start the job again at another moment.
    assert_eq!(starts.to_string(), "2026-11-20T01:35:54Z");
    let seen = Seen { since: at("2026-11-19T01:30Z"), runs: FREE };
    let waiting = look("nightly", &schedule, &seen, starts - SignedDuration::from_secs(1));
    assert_eq!(waiting, Look { due: None, next: Some(Firing { due_at, starts_at: starts }) });
    let due = look("nightly", &schedule, &seen, starts);
    assert_eq!(due.due.unwrap().firing, Firing { due_at, starts_at: starts });
    assert_eq!(due.next.unwrap().due_at, at("2026-11-21T01:30Z"));
}

#[test]
fn jitter_spreads_jobs_and_nights_over_all_of_it() {
    let schedule = schedule("cron: 30 1 * * *, jitter: 10m").unwrap();
    let delay = |job: &str, day: i64| {
        let due_at = at("2026-11-20T01:30Z") + SignedDuration::from_hours(24 * day);
        starts_at(job, &schedule, due_at).duration_since(due_at).as_secs()
    };
    let of_nights: BTreeSet<i64> = (0..100).map(|day| delay("nightly", day)).collect();
    let of_jobs: BTreeSet<i64> = (0..100).map(|job| delay(&format!("job-{job}"), 0)).collect();
    for delays in [of_nights, of_jobs] {
        assert!(delays.len() > 80, "{delays:?}");
        assert!(*delays.first().unwrap() < 60 && (540..=600).contains(delays.last().unwrap()), "{delays:?}");
    }
}

/// Polls each minute from `start` on as a coordinator does that starts what is due at once: what it started.
fn polled(schedule: &Schedule, start: Timestamp, polls: i64, is_there: impl Fn(i64) -> bool) -> Vec<Due> {
    let mut seen = Seen { since: start, runs: FREE };
    let mut started: Vec<Due> = Vec::new();
    for poll in (0..polls).filter(|poll| is_there(*poll)) {
        let now = start + minutes(poll);
        let look = look("nightly", schedule, &seen, now);
        assert!(look.next.is_none_or(|next| next.starts_at > now));
        if let Some(due) = look.due.filter(|due| due.step == Step::Start) {
            seen.since = due.firing.due_at;
            started.push(due);
        }
    }
    started
}

/// Times that come several times in a few days, in which a clock is changed too.
fn settings(zones: &'static [&'static str]) -> impl Strategy<Value = String> {
    let hour = prop_oneof![
        Just("*".to_owned()),
        Just("*/2".to_owned()),
        (0..24u32).prop_map(|hour| hour.to_string()),
        Just("1-3".to_owned()),
    ];
    let minute = prop_oneof![(0..60u32).prop_map(|minute| minute.to_string()), Just("*/15".to_owned())];
    let jitter = prop_oneof![Just(String::new()), (1..3_600u32).prop_map(|jitter| format!(", jitter: {jitter}s"))];
    (minute, hour, proptest::sample::select(zones), jitter)
        .prop_map(|(minute, hour, zone, jitter)| format!("cron: '{minute} {hour} * * *', timezone: {zone}{jitter}"))
}

fn start() -> impl Strategy<Value = Timestamp> {
    let noon = proptest::sample::select(&["2026-03-28", "2026-10-24", "2027-03-27", "2027-10-30", "2028-02-28"][..]);
    (noon, 0..60i64).prop_map(|(day, seconds)| at(&format!("{day}T12:00Z")) + SignedDuration::from_secs(seconds))
}

const ZONES: &[&str] = &["Europe/Berlin", "UTC", "America/New_York", "Australia/Lord_Howe"];
const POLLS: i64 = 2 * 24 * 60;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn who_looks_each_minute_starts_every_firing_once(settings in settings(&["UTC"]), start in start()) {
        let Some(schedule) = schedule(&settings) else { return Ok(()) };
        let started: Vec<Timestamp> = polled(&schedule, start, POLLS, |_| true).iter().map(|due| due.firing.due_at).collect();
        let end = start + minutes(POLLS - 1);
        let all = std::iter::successors(schedule.next(start), |due_at| schedule.next(*due_at));
        let all: Vec<Timestamp> = all.take_while(|due_at| starts_at("nightly", &schedule, *due_at) <= end).collect();
        prop_assert_eq!(started, all);
    }

    #[test]
    fn a_start_is_on_time_and_no_firing_is_lost_or_doubled_when_clocks_change(settings in settings(ZONES), start in start()) {
        let Some(schedule) = schedule(&settings) else { return Ok(()) };
        let started = polled(&schedule, start, POLLS, |_| true);
        for due in &started {
            prop_assert!(due.firing.starts_at.duration_since(due.firing.due_at) <= SignedDuration::from_secs(3_600));
        }
        prop_assert!(started.windows(2).all(|two| two[0].firing.due_at < two[1].firing.due_at));
        // All that passed is started, or another one stands for it.
        let all = std::iter::successors(schedule.next(start), |due_at| schedule.next(*due_at));
        let last = started.last().map_or(start, |due| due.firing.due_at);
        for due_at in all.take_while(|due_at| *due_at <= last) {
            let stands = |due: &&Due| (due.first..=due.firing.due_at).contains(&due_at);
            prop_assert_eq!(started.iter().filter(stands).count(), 1, "{}", due_at);
            let alone = schedule.jitter.is_zero();
            prop_assert!(!alone || started.iter().any(|due| due.firing.due_at == due_at), "{}", due_at);
        }
    }

    #[test]
    fn two_who_look_at_different_times_never_start_a_firing_twice(
        settings in settings(ZONES),
        start in start(),
        gaps in proptest::collection::vec(0..POLLS, 0..6),
    ) {
        let Some(schedule) = schedule(&settings) else { return Ok(()) };
        // There are pauses of up to an hour in which nobody looks.
        let started = polled(&schedule, start, POLLS, |poll| gaps.iter().all(|gap| !(*gap..gap + 60).contains(&poll)));
        let keys: BTreeSet<Timestamp> = started.iter().map(|due| due.firing.due_at).collect();
        prop_assert_eq!(keys.len(), started.len());
        prop_assert!(keys.iter().all(|due_at| schedule.latest(*due_at) == Some(*due_at)));
    }
}
