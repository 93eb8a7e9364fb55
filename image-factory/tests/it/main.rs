//! The program as a person uses it: its commands, against registries on real sockets.

mod real;
mod run;
mod support;
