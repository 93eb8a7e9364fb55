//! The sandbox's servers, judged from outside.

mod auth;
mod conformance;
mod content;
mod delay;
mod faults;
mod features;
mod help;
mod tls;
