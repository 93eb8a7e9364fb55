//! An even pace: what passes is spread over time, since a server's own bucket has room for few at once.

use std::time::Duration;

use tokio::time::Instant;

/// What was not used of the pace so lately may be made up for: timers are late by a millisecond or two.
const CREDIT: Duration = Duration::from_millis(4);

/// When the next may pass. Starts empty: nothing is saved up while nobody asks.
#[derive(Debug)]
pub(super) struct Pace {
    next: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now }
    }

    /// When the next may pass.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Lets so many pass, at a pace of `per_second`; those after them have to wait for it.
    pub(super) fn take(&mut self, now: Instant, count: f64, per_second: f64) {
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        // A pace that is hardly one must not lead beyond the end of time.
        self.next = self.next.max(earliest) + Duration::from_secs_f64((count / per_second).clamp(0.0, 3600.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_in_a_time_is_what_the_pace_allows() {
        for (per_second, expected) in [(5.0, 50), (20.0, 200), (1000.0, 10_000)] {
            let begin = Instant::now();
            let (mut pace, mut passed, mut now) = (Pace::new(begin), 0, begin);
            while now < begin + Duration::from_secs(10) {
                while pace.next() <= now {
                    pace.take(now, 1.0, per_second);
                    passed += 1;
                }
                // As timers do, it looks again only at the next millisecond.
                now += Duration::from_millis(1);
            }
            assert!((expected..=expected + 5).contains(&passed), "{passed} at {per_second}");
        }
    }

    #[test]
    fn nothing_is_saved_up() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let later = begin + Duration::from_secs(3600);
        pace.take(later, 1.0, 10.0);
        assert!(pace.next() > later + Duration::from_millis(90));
    }
}
