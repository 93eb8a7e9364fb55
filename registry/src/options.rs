//! How patient the client is and where it looks for its surroundings: values, so that tests set no environment.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use proto::limits;

/// What a [`Client`](crate::Client) is told beside the settings of its registries.
#[derive(Debug, Clone)]
pub struct Options {
    /// Longest time for a connection to stand, TLS included.
    pub connect_timeout: Duration,
    /// Longest wait for the head of an answer after the request was sent.
    pub answer_timeout: Duration,
    /// The same after the last byte of a blob: registries check and move the whole blob before they answer.
    pub commit_timeout: Duration,
    /// Longest time in which no byte of a body moves. A slow body that moves is never cut.
    pub stall_timeout: Duration,
    /// Longest run of a credential helper.
    pub helper_timeout: Duration,
    /// How often a request is repeated after a failure that may pass.
    pub retries: u32,
    /// Delay before the first repetition; doubled for each further one, and jittered.
    pub retry_delay: Duration,
    /// Longest delay between two tries, unless the registry asks for more.
    pub retry_delay_max: Duration,
    /// Longest `Retry-After` that a request waits for; a longer one is an error of class `Defer`.
    pub retry_after_max: Duration,
    /// How long a registry that was not reached counts as such for everybody: asked anew by each, one that is down
    /// would keep each waiting in turn.
    pub unreached_for: Duration,
    /// How often the read of one blob is resumed after a cut.
    pub resumes: u32,
    /// Requests that read, and requests that write, under way at once at one registry, unless its settings say else.
    /// It is the most: how many there are is found out.
    pub concurrency: u32,
    /// Bytes of one `PATCH` where a registry wants chunks, unless it asks for larger ones. Below the 20 MB at which
    /// some registries cut.
    pub chunk_bytes: u64,
    /// The one file to read credentials from, in place of Docker's and Podman's.
    pub auth_file: Option<PathBuf>,
    /// The environment.
    pub env: Env,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(60),
            commit_timeout: Duration::from_secs(5 * 60),
            stall_timeout: Duration::from_secs(30),
            helper_timeout: Duration::from_secs(20),
            retries: 3,
            retry_delay: Duration::from_millis(250),
            retry_delay_max: Duration::from_secs(5),
            retry_after_max: limits::RETRY_AFTER_MAX,
            unreached_for: Duration::from_secs(5),
            resumes: 10,
            concurrency: 48,
            chunk_bytes: 16 * 1024 * 1024,
            auth_file: None,
            env: Env::process(),
        }
    }
}

impl Options {
    /// The delays between tries, one for each repetition.
    pub(crate) fn delays(&self, times: u32) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(self.retry_delay)
            .with_max_delay(self.retry_delay_max)
            .with_max_times(times as usize)
            .with_jitter()
            .build()
    }
}

/// Looks up environment variables.
#[derive(Clone)]
pub struct Env(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Env {
    /// The environment of this process.
    pub fn process() -> Self {
        Self::from_fn(|name| std::env::var(name).ok())
    }

    /// An environment that `lookup` answers for.
    pub fn from_fn(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// The value of `name`, unless it is not set or empty.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Env {
    /// Values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}
