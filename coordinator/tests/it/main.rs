//! The coordinator whole, with a Store and a Queue in memory, registries on real sockets, and workers by script.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at its first surprise")]

mod dispatching;
mod expanding;
mod office;
mod reporting;
