//! What a process tells of itself, over real sockets, and by real signals.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod child;
mod documents;
mod health;
mod keys;
mod metrics;
mod shutdown;
mod telemetry;
