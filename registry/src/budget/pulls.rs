//! Pulls as Docker Hub counts them: so many `GET`s of manifests in a window of time, told by the headers of answers.
//! `HEAD` is free and tells the same. (Docker Docs, "Docker Hub pull usage and limits".)
//!
//! What an answer says may be older or newer than what another said; and whether it counts the pulls under way, nobody
//! knows. So these are all taken off, and where that leaves nothing, the next waits for their answers: what is allowed
//! is used to the last pull and not exceeded.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use proto::settings::PullLimit;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio::time::Instant;

use super::view::{Exhausted, PullsView};

/// The longest window that is believed: a week.
const WINDOW_MAX: u64 = 7 * 24 * 3600;

/// The pulls of one account. Has no clock.
#[derive(Debug)]
pub(super) struct Pulls {
    /// What the settings say.
    own: Option<PullLimit>,
    told: Told,
    /// When our pulls were answered, those of the window, where pulls are counted at all.
    ours: VecDeque<Instant>,
    under_way: usize,
    /// Counts what begins and ends, to tell which answer is newer.
    event: u64,
}

/// What the registry says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// There was no answer yet.
    Unknown,
    /// There was one that names no limit.
    Unmetered,
    Metered(Metered),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Metered {
    header: Header,
    /// The event at which this was learned.
    learned: u64,
    /// When there are some again, once there are none left.
    until: Option<Instant>,
}

/// `ratelimit-limit` and `ratelimit-remaining`, as in `100;w=21600`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    limit: Option<u64>,
    remaining: u64,
    window: Duration,
}

impl Header {
    fn read(headers: &HeaderMap) -> Option<Self> {
        let read = |name| {
            let text: &str = headers.get(name)?.to_str().ok()?;
            let (count, window) = text.split_once(';').unwrap_or((text, ""));
            let window = window.trim().strip_prefix("w=").and_then(|seconds| seconds.parse().ok());
            Some((count.trim().parse().ok()?, window))
        };
        let (remaining, window) = read("ratelimit-remaining")?;
        let limit: Option<(u64, Option<u64>)> = read("ratelimit-limit");
        // Where no window is named, it is that of Docker Hub.
        let window = window.or(limit.and_then(|(_, window)| window)).unwrap_or(6 * 3600).clamp(1, WINDOW_MAX);
        Some(Self { limit: limit.map(|(limit, _)| limit), remaining, window: Duration::from_secs(window) })
    }
}

/// A request that tells of pulls, from when it began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun(u64);

/// Whether a pull may be sent.
#[derive(Debug)]
pub(super) enum Verdict {
    Yes,
    /// When one that is under way was answered, more is known.
    Wait,
    No(Exhausted),
}

impl Pulls {
    pub(super) fn new(own: Option<PullLimit>) -> Self {
        // Without any time there would be no end of waiting for it.
        let own = own.map(|own| PullLimit { per: own.per.max(Duration::from_secs(1)), ..own });
        Self { own, told: Told::Unknown, ours: VecDeque::new(), under_way: 0, event: 0 }
    }

    /// Whether a pull may be sent now.
    pub(super) fn verdict(&mut self, now: Instant) -> Verdict {
        if self.told == Told::Unknown && self.under_way > 0 {
            return Verdict::Wait;
        }
        let Some((left, limit, window)) = self.left(now) else { return Verdict::Yes };
        if left > self.under_way as u64 {
            return Verdict::Yes;
        }
        if self.under_way > 0 {
            return Verdict::Wait;
        }
        let until = self.until(now, window);
        if until <= now {
            // Whether that is so, the next answer tells.
            self.told = Told::Unknown;
            return self.verdict(now);
        }
        let keep_free = self.keep_free();
        Verdict::No(Exhausted { limit, window, keep_free, wait: until.saturating_duration_since(now) })
    }

    /// Begins a request that may tell of pulls.
    pub(super) fn begin(&mut self, is_pull: bool) -> Begun {
        self.under_way += usize::from(is_pull);
        self.event += 1;
        Begun(self.event)
    }

    /// Takes note of an answer about a manifest. What is left then if the answer is that no pull was.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        begun: Begun,
        is_pull: bool,
        (status, headers, wait): (StatusCode, &HeaderMap, Option<Duration>),
    ) -> Option<Exhausted> {
        self.event += 1;
        self.under_way -= usize::from(is_pull);
        let header = Header::read(headers);
        match header {
            Some(header) => self.learn(begun, header),
            // An error may come from something that stands before the registry.
            None if status.is_success() => self.told = Told::Unmetered,
            None if self.told == Told::Unknown && matches!(status.as_u16(), 304 | 404) => self.told = Told::Unmetered,
            None => {}
        }
        if is_pull && status.is_success() {
            self.note_pull(now);
        }
        let header = header.filter(|header| is_pull && status == 429 && header.remaining == 0)?;
        let wait = wait.unwrap_or_else(|| self.until(now, header.window).saturating_duration_since(now));
        if let Told::Metered(metered) = &mut self.told {
            metered.until = Some(now + wait.min(Duration::from_secs(WINDOW_MAX)));
        }
        let (limit, keep_free) = (header.limit, self.keep_free());
        Some(Exhausted { limit, window: header.window, keep_free, wait })
    }

    /// A pull ended without an answer: if it `was_sent`, it may have been counted.
    pub(super) fn unanswered(&mut self, now: Instant, was_sent: bool) {
        self.event += 1;
        self.under_way -= 1;
        if was_sent {
            if let Told::Metered(Metered { header, .. }) = &mut self.told {
                header.remaining = header.remaining.saturating_sub(1);
            }
            self.note_pull(now);
        }
    }

    /// How it stands, if pulls are metered.
    pub(super) fn view(&mut self, now: Instant) -> Option<PullsView> {
        let (left, limit, window) = self.left(now)?;
        let left = left.saturating_sub(self.under_way as u64);
        let wait = (left == 0).then(|| self.until(now, window).saturating_duration_since(now));
        Some(PullsView { left, limit, window, keep_free: self.keep_free(), wait })
    }

    fn learn(&mut self, begun: Begun, header: Header) {
        let new = Metered { header, learned: self.event, until: None };
        self.told = Told::Metered(match self.told {
            // Of answers to requests that were under way together, the smaller number is the newer one.
            Told::Metered(old) if begun.0 < old.learned && header.remaining >= old.header.remaining => old,
            // What was said of the time of none left holds while there are none.
            Told::Metered(old) if header.remaining == 0 => Metered { until: old.until, ..new },
            _ => new,
        });
    }

    /// Pulls that are left, without those to be kept free, of how many and in which time; none if they are not metered.
    fn left(&mut self, now: Instant) -> Option<(u64, Option<u64>, Duration)> {
        let keep_free = u64::from(self.keep_free());
        let told = match &self.told {
            Told::Metered(Metered { header, .. }) => Some((header.remaining, header.limit, header.window)),
            _ => None,
        };
        let own = self.own.as_ref().and_then(|own| Some((own.count?, own.per)));
        let own = own.map(|(count, per)| {
            let count = u64::from(count);
            (count.saturating_sub(self.pulled(now, per)), Some(count), per)
        });
        let (left, limit, window) = told.into_iter().chain(own).min_by_key(|(left, ..)| *left)?;
        Some((left.saturating_sub(keep_free), limit, window))
    }

    /// Our pulls in the last `window`.
    fn pulled(&mut self, now: Instant, window: Duration) -> u64 {
        let kept = match &self.told {
            Told::Metered(Metered { header, .. }) => window.max(header.window),
            _ => window,
        };
        while self.ours.front().is_some_and(|at| *at + kept <= now) {
            self.ours.pop_front();
        }
        self.ours.iter().rev().take_while(|at| **at + window > now).count() as u64
    }

    /// When one is left again: when the oldest of ours leaves the window, else after a whole one.
    fn until(&mut self, now: Instant, window: Duration) -> Instant {
        let pulled = self.pulled(now, window);
        let oldest = usize::try_from(pulled).ok().and_then(|pulled| self.ours.iter().rev().take(pulled).next_back());
        let until = oldest.copied().unwrap_or(now) + window;
        match &mut self.told {
            Told::Metered(metered) if metered.header.window == window => *metered.until.get_or_insert(until),
            _ => until,
        }
    }

    fn note_pull(&mut self, now: Instant) {
        let is_counted =
            matches!(self.told, Told::Metered(_)) || self.own.as_ref().is_some_and(|own| own.count.is_some());
        if is_counted {
            self.ours.push_back(now);
        }
    }

    fn keep_free(&self) -> u32 {
        self.own.as_ref().map_or(0, |own| own.keep_free)
    }
}
