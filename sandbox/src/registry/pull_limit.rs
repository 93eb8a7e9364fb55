//! The pull limit as Docker Hub has it: a GET of a manifest counts, a HEAD does not.

use hyper::StatusCode;
use hyper::header::HeaderName;

use super::RegistryService;
use crate::answer::Answer;

/// A limit of pulls in a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullLimit {
    /// Pulls per window.
    pub limit: u64,
    /// Pulls left. Does not grow by itself: set it anew when the window is over.
    pub remaining: u64,
    /// Length of the window in seconds; 21600 on Docker Hub.
    pub window: u64,
}

/// What a request finds of the limit, if there is one.
pub(super) struct Pull(Option<PullLimit>);

impl Pull {
    /// Adds the headers that tell of the limit.
    pub(super) fn describe(&self, answer: Answer) -> Answer {
        let Some(PullLimit { limit, remaining, window }) = self.0 else { return answer };
        answer
            .with(HeaderName::from_static("ratelimit-limit"), format!("{limit};w={window}"))
            .with(HeaderName::from_static("ratelimit-remaining"), format!("{remaining};w={window}"))
    }
}

impl RegistryService {
    /// Counts a pull if the request is one; the refusal if none is left.
    pub(super) fn count_pull(&self, is_pull: bool) -> Result<Pull, Box<Answer>> {
        let mut limit = self.pull_limit();
        if let Some(limit) = limit.as_mut().filter(|_| is_pull) {
            if limit.remaining == 0 {
                let text = "You have reached your pull rate limit. You may increase the limit by authenticating and \
                            upgrading: https://www.docker.com/increase-rate-limit";
                let refusal = Answer::error(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", text);
                return Err(Pull(Some(*limit)).describe(refusal).into());
            }
            limit.remaining -= 1;
        }
        Ok(Pull(*limit))
    }
}
