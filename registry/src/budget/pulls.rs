//! Pulls as Docker Hub counts them: so many `GET`s of manifests in a window of time, told by the headers of answers.
//! `HEAD` is free and tells the same. (Docker Docs, "Docker Hub pull usage and limits".)
//!
//! What an answer says may be older or newer than what another said; and whether it counts the pulls under way, nobody
//! knows. So these are all taken off, and where that leaves nothing, the next waits for their answers: what is allowed
//! is used to the last pull and not exceeded.

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
            None if status.is_success() || status == StatusCode::NOT_FOUND => self.told = Told::Unmetered,
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
            Told::Metered(old) if begun.0 < old.learned => {
                let remaining = old.header.remaining.min(header.remaining);
                Metered { header: Header { remaining, ..old.header }, ..old }
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(21_600);

    fn headers(remaining: u64) -> HeaderMap {
        let header = |name: &'static str, count: u64| {
            (reqwest::header::HeaderName::from_static(name), format!("{count};w=21600").parse().unwrap())
        };
        HeaderMap::from_iter([header("ratelimit-limit", 100), header("ratelimit-remaining", remaining)])
    }

    fn own(count: Option<u32>, keep_free: u32) -> Option<PullLimit> {
        Some(PullLimit { count, per: WINDOW, keep_free })
    }

    fn ok(pulls: &mut Pulls, now: Instant, begun: Begun, is_pull: bool, remaining: u64) {
        let headers = headers(remaining);
        assert_eq!(pulls.answered(now, begun, is_pull, (StatusCode::OK, &headers, None)), None);
    }

    /// How many pulls are sent at once before the next has to wait or is refused.
    fn sent(pulls: &mut Pulls, now: Instant) -> Vec<Begun> {
        let next = || matches!(pulls.verdict(now), Verdict::Yes).then(|| pulls.begin(true));
        std::iter::from_fn(next).take(1_000).collect()
    }

    fn refusal(pulls: &mut Pulls, now: Instant) -> Exhausted {
        match pulls.verdict(now) {
            Verdict::No(exhausted) => exhausted,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_goes_alone_until_it_is_known_whether_pulls_are_metered() {
        let (mut pulls, now) = (Pulls::new(None), Instant::now());
        let first = sent(&mut pulls, now);
        assert_eq!(first.len(), 1);
        assert_eq!(pulls.answered(now, first[0], true, (StatusCode::OK, &HeaderMap::new(), None)), None);
        assert_eq!((sent(&mut pulls, now).len(), pulls.view(now)), (1_000, None));
    }

    #[test]
    fn a_pull_is_refused_until_the_oldest_of_ours_leaves_the_window() {
        let (mut pulls, begin) = (Pulls::new(own(None, 98)), Instant::now());
        let head = pulls.begin(false);
        ok(&mut pulls, begin, head, false, 100);
        let two = sent(&mut pulls, begin);
        assert_eq!(two.len(), 2);
        let minute = Duration::from_secs(60);
        ok(&mut pulls, begin + minute, two[0], true, 99);
        ok(&mut pulls, begin + 2 * minute, two[1], true, 98);
        let refused = refusal(&mut pulls, begin + 3 * minute);
        assert_eq!(refused.to_string(), "no pulls left of 100 in 6 h (98 kept free)");
        assert_eq!(refused.wait, WINDOW - 2 * minute);
        let view = pulls.view(begin + 3 * minute).unwrap();
        assert_eq!((view.left, view.limit, view.wait), (0, Some(100), Some(refused.wait)));
        // Then one goes, to see how it stands.
        assert_eq!(sent(&mut pulls, begin + minute + WINDOW).len(), 1);
    }

    #[test]
    fn our_own_count_holds_where_the_registry_says_nothing() {
        let (mut pulls, begin) = (Pulls::new(own(Some(5), 2)), Instant::now());
        let first = sent(&mut pulls, begin)[0];
        assert_eq!(pulls.answered(begin, first, true, (StatusCode::OK, &HeaderMap::new(), None)), None);
        let second = Duration::from_secs(1);
        let others = sent(&mut pulls, begin + second);
        assert_eq!(others.len(), 2);
        for begun in others {
            assert!(matches!(pulls.verdict(begin + second), Verdict::Wait));
            pulls.answered(begin + second, begun, true, (StatusCode::OK, &HeaderMap::new(), None));
        }
        assert_eq!(refusal(&mut pulls, begin + 2 * second).wait, WINDOW - 2 * second);
        assert_eq!(sent(&mut pulls, begin + WINDOW).len(), 1);
    }

    #[test]
    fn what_a_refusal_says_of_the_time_holds_until_it_is_over() {
        let (mut pulls, begin) = (Pulls::new(None), Instant::now());
        let begun = sent(&mut pulls, begin)[0];
        let wait = Duration::from_secs(600);
        let told = pulls.answered(begin, begun, true, (StatusCode::TOO_MANY_REQUESTS, &headers(0), Some(wait)));
        assert_eq!(told.unwrap().wait, wait);
        let head = pulls.begin(false);
        ok(&mut pulls, begin, head, false, 0);
        assert_eq!(refusal(&mut pulls, begin).wait, wait);
        assert_eq!(sent(&mut pulls, begin + wait).len(), 1);
    }

    #[test]
    fn a_pull_without_an_answer_counts_and_one_that_was_not_sent_does_not() {
        let (mut pulls, now) = (Pulls::new(None), Instant::now());
        let head = pulls.begin(false);
        ok(&mut pulls, now, head, false, 2);
        assert_eq!(sent(&mut pulls, now).len(), 2);
        pulls.unanswered(now, false);
        assert_eq!(sent(&mut pulls, now).len(), 1);
        pulls.unanswered(now, true);
        pulls.unanswered(now, true);
        assert!(refusal(&mut pulls, now).wait > Duration::ZERO);
    }

    #[test]
    fn headers_are_read_as_docker_hub_sends_them_and_others_are_ignored() {
        let read = |text: &'static str| {
            let headers = HeaderMap::from_iter([("ratelimit-remaining".parse().unwrap(), text.parse().unwrap())]);
            Header::read(&headers).map(|header| (header.remaining, header.window.as_secs()))
        };
        assert_eq!(read("99;w=21600"), Some((99, 21_600)));
        assert_eq!(read("99; w=60"), Some((99, 60)));
        assert_eq!(read("99"), Some((99, 21_600)));
        assert_eq!(read("99;w=99999999999"), Some((99, WINDOW_MAX)));
        assert_eq!((read(""), read("-1;w=1"), read("many")), (None, None, None));
    }

    proptest! {
        /// However requests and answers overtake each other, all that is allowed is used, and not one pull more.
        #[test]
        fn what_is_allowed_is_used_to_the_last_pull(
            allowed in 0u64..40,
            keep_free in 0u32..5,
            order in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 400),
        ) {
            let (mut pulls, now) = (Pulls::new(own(None, keep_free)), Instant::now());
            // On the way to the server, and back from it with what is left there.
            let (mut there, mut back) = (Vec::new(), Vec::new());
            let (mut left, mut sent, mut refused) = (allowed, 0u64, 0u64);
            let head = pulls.begin(false);
            ok(&mut pulls, now, head, false, left);
            for (sends, index) in order {
                match (sends, pulls.verdict(now)) {
                    (true, Verdict::Yes) => {
                        there.push(pulls.begin(true));
                        sent += 1;
                    }
                    (true, Verdict::No(_)) => refused += 1,
                    _ if !there.is_empty() && (index.index(2) == 0 || back.is_empty()) => {
                        left = left.checked_sub(1).expect("more than is allowed");
                        back.push((there.swap_remove(index.index(there.len())), left));
                    }
                    _ if !back.is_empty() => {
                        let (begun, left) = back.swap_remove(index.index(back.len()));
                        ok(&mut pulls, now, begun, true, left);
                    }
                    _ => {}
                }
            }
            let ours = allowed.saturating_sub(u64::from(keep_free));
            prop_assert!(sent <= ours);
            prop_assert!(refused == 0 || sent == ours, "{sent} of {ours}");
        }
    }
}
