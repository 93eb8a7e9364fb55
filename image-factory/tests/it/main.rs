//! The program as a person uses it: its commands, against registries on real sockets.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod faults;
mod real;
mod run;
mod support;
