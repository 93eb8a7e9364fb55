//! The program as a person uses it: its commands, against registries on real sockets.

mod faults;
mod run;
mod support;
