//! The coordinator whole, with a Store and a Queue in memory, registries on real sockets, and workers by script.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic as tests do")]

mod auditing;
mod catalogue;
mod comparing;
mod dispatching;
mod expanding;
mod frugal;
mod leading;
mod office;
mod reporting;
mod scene;
mod wanting;
mod writing;
