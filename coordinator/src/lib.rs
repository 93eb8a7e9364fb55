//! Turns a job file into tasks, hands them out, records how they end, and reports.
//!
//! Each loop is a reconciler: it reads the Store, makes reality agree, and stops. It is woken by a signal and by a
//! timer, and does after a crash what it does at any other time.
//!
//! # Layout
//!
//! - [`intake`]: a job file becomes a run
//! - [`survey`]: which tags a source has
//! - [`expand`]: from tags to tasks; pure
//! - [`audit`]: what was placed becomes tasks, to be read back
//! - `dispatch`: tasks that are due go to the Queue
//! - `collect`: results come back and are recorded
//! - `closing`: a finished run gets its report
//! - [`report`]: the account of a run
//! - `account`: what is counted and told of runs
//! - [`Coordinator`]: all of it together

mod account;
pub mod audit;
mod closing;
mod collect;
mod coordinator;
mod dispatch;
mod error;
pub mod expand;
pub mod intake;
pub mod report;
#[cfg(test)]
mod simulation;
pub mod survey;

pub use coordinator::{Coordinator, Event, Pace};
pub use error::CoordinatorError;
