//! The program as a person uses it: its commands, against registries on real sockets.

mod data;
mod run;
mod stopping;
mod support;
