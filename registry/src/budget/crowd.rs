//! How many requests are under way at once: as many as the server can work at, and some more that wait there.
//!
//! As TCP Vegas does it: a request that takes longer than the fastest of its like has waited at the server, so of all
//! that are under way the share `1 − fastest ÷ time` waits. If these are few, more requests at once bring more; if they
//! are many, more only wait longer. Near a server with two cores it comes to about eight, far away to the most allowed. As
//! with TCP, the number doubles at first, until some wait.

use std::collections::HashMap;
use std::time::Duration;

use super::action::Likeness;

/// Where it begins.
const FIRST: usize = 8;

/// Fewer than this wait at the server: there may be more under way.
const WAITING_MIN: f64 = 4.0;

/// More than this wait at the server: there are too many under way.
const WAITING_MAX: f64 = 7.0;

/// The number of requests that may be under way.
#[derive(Debug)]
pub(super) struct Crowd {
    limit: usize,
    max: usize,
    /// Whether some have waited at the server already.
    is_found: bool,
    /// Answers to what was sent before the number doubled: they tell of half a crowd.
    passed_over: usize,
    fastest: HashMap<Likeness, Duration>,
    /// Of the answers since the limit was last looked at: how many, the sum of their `fastest ÷ time`, and whether all
    /// that was allowed was under way at some time.
    answers: usize,
    ratios: f64,
    was_full: bool,
}

impl Crowd {
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1);
        let fastest = HashMap::new();
        Self {
            limit: FIRST.min(max),
            max,
            is_found: false,
            passed_over: 0,
            fastest,
            answers: 0,
            ratios: 0.0,
            was_full: false,
        }
    }

    /// The number that holds now.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// A small request was answered after `time`; `is_full` if no more than those under way were allowed then.
    pub(super) fn answered(&mut self, likeness: Likeness, time: Duration, is_full: bool) {
        let fastest = self.fastest.entry(likeness).or_insert(time);
        *fastest = time.min(*fastest);
        if self.passed_over > 0 {
            self.passed_over -= 1;
            return;
        }
        self.ratios += fastest.as_secs_f64() / time.as_secs_f64().max(1e-9);
        self.answers += 1;
        self.was_full |= is_full;
        // The answers to all that was under way are one look.
        if self.answers < self.limit {
            return;
        }
        let waiting = self.limit as f64 * (1.0 - self.ratios / self.answers as f64);
        self.is_found |= waiting >= WAITING_MIN;
        if waiting > WAITING_MAX {
            self.limit -= 1;
        } else if waiting < WAITING_MIN && self.was_full {
            self.passed_over = if self.is_found { 0 } else { self.limit };
            self.limit = (self.limit + self.passed_over.max(1)).min(self.max);
        }
        (self.answers, self.ratios, self.was_full) = (0, 0.0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::action::Action;

    /// Where a crowd of at most 32 comes to at a server that works at `cores` requests at once, each for `work` ms,
    /// `round_trip` ms away.
    fn comes_to(crowd: &mut Crowd, cores: f64, work: f64, round_trip: f64) -> usize {
        for _ in 0..5_000 {
            let under_way = crowd.limit() as f64;
            // All wait in the same line, unless the way takes longer than that.
            let time = (under_way * work / cores).max(work + round_trip);
            crowd.answered((Action::ManifestRead, true), Duration::from_secs_f64(time / 1000.0), true);
        }
        crowd.limit()
    }

    #[test]
    fn a_server_with_two_cores_has_about_eight_and_one_far_away_the_most() {
        // The first answers come before a crowd is there.
        let alone = |time| {
            let mut crowd = Crowd::new(32);
            crowd.answered((Action::ManifestRead, true), Duration::from_millis(time), false);
            crowd
        };
        let near = comes_to(&mut alone(3), 2.0, 3.0, 0.0);
        assert!((6..=9).contains(&near), "{near}");
        assert_eq!(comes_to(&mut alone(23), 16.0, 3.0, 20.0), 32);
    }

    #[test]
    fn it_falls_when_answers_take_longer_and_rises_again() {
        let mut crowd = Crowd::new(32);
        assert_eq!(comes_to(&mut crowd, 64.0, 1.0, 20.0), 32);
        let busy = comes_to(&mut crowd, 1.0, 10.0, 20.0);
        assert!((5..=10).contains(&busy), "{busy}");
        assert_eq!(comes_to(&mut crowd, 64.0, 1.0, 20.0), 32);
    }

    #[test]
    fn it_does_not_grow_while_nobody_wants_more_nor_above_the_most() {
        let mut crowd = Crowd::new(3);
        (0..100).for_each(|_| crowd.answered((Action::BlobRead, true), Duration::from_millis(1), true));
        assert_eq!(crowd.limit(), 3);
        let mut crowd = Crowd::new(32);
        (0..100).for_each(|_| crowd.answered((Action::BlobRead, true), Duration::from_millis(1), false));
        assert_eq!(crowd.limit(), FIRST);
    }

    #[test]
    fn times_are_compared_only_with_their_like() {
        let mut crowd = Crowd::new(32);
        for _ in 0..1_000 {
            crowd.answered((Action::ManifestRead, true), Duration::from_millis(1), true);
            crowd.answered((Action::ManifestWrite, false), Duration::from_millis(50), true);
        }
        assert_eq!(crowd.limit(), 32);
    }
}
