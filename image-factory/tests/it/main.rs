//! The program as a person uses it: its commands, against registries on real sockets.

mod data;
mod hold;
mod run;
mod stopping;
mod support;
