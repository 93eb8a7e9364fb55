//! One file for each command: its arguments, its help, and what it does.

pub(crate) mod copy;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod failures;
pub(crate) mod report;
pub(crate) mod retry;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod status;
pub(crate) mod why;
