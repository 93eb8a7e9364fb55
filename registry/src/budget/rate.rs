//! How many requests per second: without a limit until the server says that it has one, then near to it.
//!
//! Until the first refusal the rate grows with the answers. A refusal takes it down to nine tenths of what was accepted,
//! once for all requests that were under way. Then it grows, by 1 % in 5 s at first, and the faster the longer nothing is
//! refused: a limit that was never met again is found soon, one that is there is met seldom. Only the time in which
//! somebody waited for the rate counts.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::pace::Pace;

/// Where the rate of an unknown server begins, per second.
const FIRST: f64 = 200.0;

/// The rate of an unknown server grows so with each answer that is no refusal, while somebody waits: by as many answers
/// as a server gives before it refuses, and not by time, which says nothing of what it takes.
const GROWTH_BY_ANSWER: f64 = 1.1;

/// How lately somebody must have waited for that.
const WAITED: Duration = Duration::from_millis(100);

/// How fast a rate grows at most that was refused some time ago: doubled in 0.15 s.
const GROWTH_MAX: f64 = 4.6;

/// How fast a rate grows that was just refused: by 1 % in 5 s.
const GROWTH_LAST: f64 = 0.002;

/// A refusal makes it grow so much slower than before.
const GROWTH_CUT: f64 = 1.0 / 8.0;

/// Growth itself doubles in so many seconds without a refusal.
const GROWTH_DOUBLES: f64 = 10.0;

/// Of what was accepted.
const KEPT: f64 = 0.9;

/// The first refusal says only that there is a limit, and the rate was not for long what it was: never below this.
const FIRST_CUT_MIN: f64 = 5.0;

/// Lower than this it never gets, per second: a server that takes less says so by `Retry-After`.
const MIN: f64 = 0.5;

/// Above this there is no limit.
const MAX: f64 = 20_000.0;

/// How long nothing is sent after a refusal that names no time.
const PAUSE: Duration = Duration::from_millis(200);

/// The rate of one registry, or of one kind of requests there. Has no clock: it is told what time it is.
#[derive(Debug)]
pub(super) struct Rate {
    /// Per second, as found out.
    found: Option<f64>,
    /// Per second, as the settings say.
    ceiling: Option<f64>,
    /// Per second, of the rate's logarithm.
    growth: f64,
    grown: Instant,
    /// When it was last cut: the answers to what was sent before tell nothing new.
    cut: Option<Instant>,
    paused: Instant,
    pace: Pace,
    accepted: Recent,
}

impl Rate {
    /// Without a limit but the ceiling.
    pub(super) fn unlimited(now: Instant, ceiling: Option<u32>) -> Self {
        Self {
            found: None,
            ceiling: ceiling.map(|ceiling| f64::from(ceiling.max(1))),
            growth: GROWTH_MAX,
            grown: now,
            cut: None,
            paused: now,
            pace: Pace::new(now),
            accepted: Recent::default(),
        }
    }

    /// The same for a server of which nothing is known: it grows from some requests to what is asked for.
    pub(super) fn careful(now: Instant, ceiling: Option<u32>) -> Self {
        Self { found: Some(FIRST), ..Self::unlimited(now, ceiling) }
    }

    /// The limit that holds now.
    pub(super) fn per_second(&self) -> Option<f64> {
        [self.found, self.ceiling].into_iter().flatten().reduce(f64::min)
    }

    /// Until when nothing may pass; not after `now` if there is no pause.
    pub(super) fn paused(&self) -> Instant {
        self.paused
    }

    /// When the next may pass, not after `now` if that is now.
    pub(super) fn next(&self) -> Instant {
        if self.per_second().is_some() { self.paused.max(self.pace.next()) } else { self.paused }
    }

    /// One passes.
    pub(super) fn take(&mut self, now: Instant) {
        if let Some(per_second) = self.per_second() {
            self.pace.take(now, 1.0, per_second);
        }
    }

    /// Somebody has to wait.
    pub(super) fn wanted(&mut self, now: Instant) {
        let Some(found) = self.found else { return };
        let second = Duration::from_secs(1);
        let waited = now.saturating_duration_since(self.grown.max(self.paused)).min(second).as_secs_f64();
        self.grown = now;
        if self.cut.is_none() || self.is_at_ceiling(found) {
            return;
        }
        self.growth = (self.growth * (waited / GROWTH_DOUBLES).exp2()).min(GROWTH_MAX);
        self.found = Some(found * (self.growth * waited).exp()).filter(|found| *found < MAX);
    }

    /// A request was answered, and not refused.
    pub(super) fn accepted(&mut self, now: Instant) {
        self.accepted.note(now);
        let Some(found) = self.found else { return };
        if self.cut.is_none() && now < self.grown + WAITED && !self.is_at_ceiling(found) {
            self.found = Some(found * GROWTH_BY_ANSWER).filter(|found| *found < MAX);
        }
    }

    fn is_at_ceiling(&self, found: f64) -> bool {
        self.ceiling.is_some_and(|ceiling| found >= ceiling)
    }

    /// A request that was sent at `sent` was refused, with the wait that was asked for.
    pub(super) fn refused(&mut self, now: Instant, sent: Instant, wait: Option<Duration>) {
        self.paused = self.paused.max(now + wait.unwrap_or_default());
        if self.cut.is_some_and(|cut| sent < cut) {
            return;
        }
        let accepted = KEPT * self.accepted.per_second(now);
        // Where little was asked for, little was accepted, and that is no measure.
        let min = match (self.cut, self.found) {
            (Some(_), Some(found)) => found / 2.0,
            _ => FIRST_CUT_MIN,
        };
        let max = self.per_second().map_or(MAX, |limit| limit * KEPT.sqrt());
        self.found = Some(accepted.max(min).min(max).max(MIN));
        self.growth = (self.growth * GROWTH_CUT).max(GROWTH_LAST);
        self.cut = Some(now);
        self.paused = self.paused.max(now + PAUSE);
        self.grown = now;
    }

    /// Forgets what was found out.
    pub(super) fn lift(&mut self) {
        self.found = None;
    }
}

/// Counts what happened in the last second.
#[derive(Debug, Default)]
struct Recent(VecDeque<(Instant, u32)>);

/// Of the steps in which it is counted.
const STEP: Duration = Duration::from_millis(50);

impl Recent {
    fn note(&mut self, now: Instant) {
        self.forget(now);
        match self.0.back_mut() {
            Some((since, count)) if now < *since + STEP => *count += 1,
            _ => self.0.push_back((now, 1)),
        }
    }

    fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(since, _)| *since + Duration::from_secs(1) <= now) {
            self.0.pop_front();
        }
    }

    fn per_second(&mut self, now: Instant) -> f64 {
        self.forget(now);
        self.0.iter().map(|(_, count)| f64::from(*count)).sum()
    }
}
