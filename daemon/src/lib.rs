//! What every process does at start and at its end, and what it tells of itself meanwhile.
//!
//! - [`telemetry`]: logs and traces
//! - [`trace`]: one trace for each run
//! - [`metrics`]: everything that is counted, by name
//! - [`health`]: whether the process lives and is ready, and its numbers, over HTTP
//! - [`Shutdown`]: the first signal drains, the second stops
//! - [`ErrorChain`]: an error with all its causes on one line
//! - [`crash`]: points at which tests let the process die

pub mod crash;
mod error_chain;
pub mod health;
pub mod metrics;
mod shutdown;
pub mod telemetry;
pub mod trace;

pub use error_chain::ErrorChain;
pub use health::Health;
pub use metrics::Metrics;
pub use shutdown::Shutdown;
