//! The sandbox's servers, judged from outside.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

mod auth;
mod conformance;
mod content;
mod delay;
mod faults;
mod features;
mod help;
mod tls;
mod uploads;
mod vendors;
