//! A registry that is a token bucket, and clients that always want more, in simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use proto::settings::Limits;
use tokio::time::Instant;

use super::action::Action;
use super::control::{Control, Wait};

const TIME: Duration = Duration::from_secs(120);

/// The server's side.
struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn new(now: Instant, per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, tokens: burst, at: now }
    }

    fn takes(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.at = now;
        let takes = self.tokens >= 1.0;
        self.tokens -= if takes { 1.0 } else { 0.0 };
        takes
    }
}

/// What came of 120 s.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Outcome {
    accepted: f64,
    refused: f64,
}

impl Outcome {
    fn share_refused(self) -> f64 {
        self.refused / (self.accepted + self.refused)
    }
}

/// Sends for 120 s as fast as `limits` and what is found out allow, the actions in turn, with `width` requests under
/// way at most. Each action takes from the bucket of its number.
fn run(
    limits: &Limits,
    buckets: &mut [Bucket],
    bucket_of: [usize; 5],
    round_trip: Duration,
    width: usize,
) -> [Outcome; 5] {
    let mut outcomes = [Outcome::default(); 5];
    let mut client = Client::new(limits, buckets[0].at, round_trip, width);
    client.run(TIME, buckets, bucket_of, &mut outcomes);
    outcomes
}

/// A request that is under way: when it is answered, when it was sent, its action, and whether it was taken.
type UnderWay = Reverse<(Instant, Instant, usize, bool)>;

/// Clients that always want more.
struct Client {
    control: Control,
    now: Instant,
    begin: Instant,
    round_trip: Duration,
    width: usize,
    under_way: BinaryHeap<UnderWay>,
    turn: usize,
}

impl Client {
    fn new(limits: &Limits, now: Instant, round_trip: Duration, width: usize) -> Self {
        let control = Control::new(now, limits);
        Self { control, now, begin: now, round_trip, width, under_way: BinaryHeap::new(), turn: 0 }
    }

    fn run(&mut self, time: Duration, buckets: &mut [Bucket], bucket_of: [usize; 5], outcomes: &mut [Outcome; 5]) {
        let end = self.now + time;
        while self.now < end {
            self.hear(outcomes);
            let next = self.send(buckets, bucket_of);
            let next = self.under_way.peek().map_or(next, |Reverse(first)| next.min(first.0));
            // Timers fire at whole milliseconds, after their time.
            let millis = next.saturating_duration_since(self.begin).as_micros().div_ceil(1000);
            let next = self.begin + Duration::from_millis(u64::try_from(millis).unwrap());
            self.now = next.max(self.now + Duration::from_micros(100));
        }
    }

    /// Takes the answers that are there.
    fn hear(&mut self, outcomes: &mut [Outcome; 5]) {
        while self.under_way.peek().is_some_and(|Reverse(first)| first.0 <= self.now) {
            let Some(Reverse((at, sent, action, was_taken))) = self.under_way.pop() else { return };
            if was_taken {
                outcomes[action].accepted += 1.0;
                self.control.accepted(Action::ALL[action], at);
            } else {
                outcomes[action].refused += 1.0;
                self.control.refused(Action::ALL[action], at, sent, None);
            }
        }
    }

    /// Sends what may be sent; when to look again.
    fn send(&mut self, buckets: &mut [Bucket], bucket_of: [usize; 5]) -> Instant {
        let mut next = self.now + Duration::from_millis(50);
        // An action that has to wait holds up no other.
        let mut waiting = 0;
        while self.under_way.len() < self.width && waiting < 5 {
            match self.control.take(Action::ALL[self.turn], self.now) {
                Ok(()) => {
                    waiting = 0;
                    let was_taken = buckets[bucket_of[self.turn]].takes(self.now + self.round_trip / 2);
                    self.under_way.push(Reverse((self.now + self.round_trip, self.now, self.turn, was_taken)));
                }
                Err(Wait::Action(until) | Wait::Whole(until)) => {
                    waiting += 1;
                    next = next.min(until);
                }
            }
            self.turn = (self.turn + 1) % 5;
        }
        next
    }
}

fn sum(outcomes: &[Outcome]) -> Outcome {
    let sum = |part: fn(&Outcome) -> f64| outcomes.iter().map(part).sum();
    Outcome { accepted: sum(|outcome| outcome.accepted), refused: sum(|outcome| outcome.refused) }
}

#[test]
fn a_limit_over_all_actions_is_used_and_hardly_ever_met() {
    for per_second in [5.0, 20.0, 100.0, 1000.0] {
        for round_trip in [1, 30].map(Duration::from_millis) {
            let mut buckets = [Bucket::new(Instant::now(), per_second, 5.0)];
            let outcome = sum(&run(&Limits::default(), &mut buckets, [0; 5], round_trip, 64));
            let (used, refused) = (outcome.accepted / (per_second * TIME.as_secs_f64()), outcome.share_refused());
            let case = format!("{per_second} per second, {round_trip:?}: {used:.3} used, {refused:.4} refused");
            assert!(used >= 0.85 && refused <= 0.02, "{case}");
        }
    }
}

#[test]
fn an_action_with_a_limit_of_its_own_slows_down_no_other() {
    let begin = Instant::now();
    let mut buckets = [Bucket::new(begin, 1000.0, 5.0), Bucket::new(begin, 10.0, 5.0)];
    let outcomes = run(&Limits::default(), &mut buckets, [0, 1, 0, 0, 0], Duration::from_millis(30), 16);
    let writes = outcomes[Action::ManifestWrite as usize];
    assert!(writes.accepted >= 0.85 * 10.0 * 120.0 && writes.share_refused() <= 0.02, "{writes:?}");
    // As much as 16 requests at once can be, but for what the writes take.
    let all = sum(&outcomes);
    assert!(all.accepted >= 0.85 * 16.0 / 0.030 * 120.0, "{all:?}");
}

#[test]
fn a_limit_that_rises_is_found_again() {
    let begin = Instant::now();
    let mut client = Client::new(&Limits::default(), begin, Duration::from_millis(30), 64);
    let (mut before, mut after) = ([Outcome::default(); 5], [Outcome::default(); 5]);
    client.run(TIME, &mut [Bucket::new(begin, 5.0, 5.0)], [0; 5], &mut before);
    client.run(TIME, &mut [Bucket::new(client.now, 100.0, 5.0)], [0; 5], &mut after);
    let after = sum(&after);
    assert!(after.accepted >= 0.5 * 100.0 * 120.0 && after.share_refused() <= 0.02, "{after:?}");
}

#[test]
fn the_rates_of_the_settings_are_kept() {
    let limits = Limits { requests_per_second: Some(50), manifest_writes_per_second: Some(3), ..Limits::default() };
    let mut buckets = [Bucket::new(Instant::now(), 1000.0, 5.0)];
    let outcomes = run(&limits, &mut buckets, [0; 5], Duration::from_millis(1), 64);
    let (all, writes) = (sum(&outcomes), outcomes[Action::ManifestWrite as usize]);
    assert_eq!(all.refused, 0.0);
    assert!((0.95 * 6000.0..=6001.0).contains(&all.accepted), "{all:?}");
    assert!((0.95 * 360.0..=361.0).contains(&writes.accepted), "{writes:?}");
}
