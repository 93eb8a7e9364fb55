//! A limit of requests per second, as a token bucket: all requests take from it, whoever asks.

use hyper::StatusCode;
use hyper::header::RETRY_AFTER;
use tokio::time::Instant;

use crate::answer::Answer;

/// How many requests are taken; those above are answered by 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per second.
    pub per_second: u32,
    /// Requests that are taken at once after a time without any; at least 1.
    pub burst: u32,
    /// The `Retry-After` of a 429, in seconds, if one says it.
    pub retry_after: Option<u32>,
}

/// What is left of a limit.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: RateLimit,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(limit: RateLimit, now: Instant) -> Self {
        Self { limit, tokens: f64::from(limit.burst.max(1)), at: now }
    }

    /// Takes a request at `now`; the refusal if there is no room for it.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Box<Answer>> {
        let RateLimit { per_second, burst, retry_after } = self.limit;
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * f64::from(per_second)).min(f64::from(burst.max(1)));
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let refusal = Answer::error(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", "too many requests");
        Err(match retry_after {
            Some(seconds) => refusal.with(RETRY_AFTER, seconds.to_string()),
            None => refusal,
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn after_a_burst_requests_are_taken_as_time_passes() {
        let begin = Instant::now();
        let limit = RateLimit { per_second: 10, burst: 3, retry_after: None };
        let mut bucket = Bucket::full(limit, begin);
        let mut taken = |millis| {
            let now = begin + Duration::from_millis(millis);
            (0..10).take_while(|_| bucket.take(now).is_ok()).count()
        };
        assert_eq!([0, 50, 100, 300, 10_000].map(&mut taken), [3, 0, 1, 2, 3]);
    }
}
