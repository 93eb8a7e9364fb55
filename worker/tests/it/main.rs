//! The worker whole, between a Queue in memory and registries on real sockets.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic as tests do")]

mod auditing;
mod bench;
mod bundling;
mod consuming;
mod draining;
mod frugal;
mod lying;
mod narrowing;
mod placing;
mod referring;
mod several;
mod shapes;
mod sharing;
mod traps;
