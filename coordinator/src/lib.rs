//! Turns a job file into tasks, hands them out, records how they end, and reports.
//!
//! Each loop is a reconciler: it reads the Store, makes reality agree, and stops. It is woken by a signal and by a
//! timer, and does after a crash what it does at any other time.
//!
//! # Layout
//!
//! - [`catalogue`]: the job files that are served, and the jobs in them
//! - [`git`]: of which commit a job file is
//! - [`schedule`]: when a job is due; pure
//! - [`intake`]: a job file becomes a run
//! - [`Extent`]: how much of its job a run does
//! - [`survey`]: which tags a source has
//! - [`expand`]: from tags to tasks; pure
//! - [`audit`]: what was placed becomes tasks, to be read back
//! - `dispatch`: tasks that are due go to the Queue
//! - `collect`: results come back and are recorded
//! - `closing`: a finished run gets its report
//! - [`report`]: the account of a run
//! - `account`: what is counted and told of runs
//! - [`Coordinator`]: all of it together
//! - [`Fleet`]: what the coordinator of a fleet does beside that, `expanding` what others began
//! - [`lead()`]: who of several does it

mod account;
pub mod audit;
pub mod catalogue;
mod closing;
mod collect;
mod coordinator;
mod dispatch;
mod error;
pub mod expand;
mod expanding;
mod fleet;
pub mod git;
pub mod intake;
mod lead;
mod order;
pub mod report;
pub mod schedule;
mod scheduling;
#[cfg(test)]
mod simulation;
pub mod survey;

pub use coordinator::{Coordinator, Event, Pace};
pub use error::CoordinatorError;
pub use fleet::{Fleet, Retention};
pub use lead::{LeadTimes, lead};
pub use order::{Extent, Order, job_of};
pub use scheduling::Jobs;
