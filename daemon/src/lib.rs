//! What every process does at start and at its end.
//!
//! - `telemetry`: logs
//! - [`Shutdown`]: the first signal drains, the second stops
//! - [`ErrorChain`]: an error with all its causes on one line
//! - [`crash`]: points at which tests let the process die

pub mod crash;
mod error_chain;
mod shutdown;
pub mod telemetry;

pub use error_chain::ErrorChain;
pub use shutdown::Shutdown;
