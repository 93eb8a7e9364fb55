//! The worker whole, between a Queue in memory and registries on real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at its first surprise")]

mod bench;
mod consuming;
mod draining;
mod placing;
