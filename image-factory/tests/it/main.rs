//! The program as a person uses it: its commands, against registries on real sockets.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may panic as tests do")]

mod answers;
mod crashes;
mod data;
mod demo;
mod faults;
mod frugal;
mod looking;
mod mirror;
mod night;
mod plan;
mod planned;
mod real;
mod run;
mod stopping;
mod summary;
mod support;
mod verify;
