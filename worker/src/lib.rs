//! Takes one task per slot, brings its image to its destinations, and says how that ended.
//!
//! A worker keeps nothing: what it knows arrives with the task, what it finds out leaves with the result. It may be
//! killed at any point; stopping it gently only saves time.
//!
//! # Layout
//!
//! - [`Worker`]: slot, delivery, attempt, result, ack; drain
//! - [`Workshop`]: the tools for each task, by the settings of its run
//! - [`attempt`]: one attempt from beginning to end, in whatever form it ends
//! - `crew`: what a worker of a fleet says and hears beside its tasks
//! - `pipeline`: the stages in their order, on one screen
//! - `laggard`: all destinations side by side, and when the last of them is given back
//! - [`preview`]: what an attempt would do, for a plan
//! - `stage`: what all stages have in common: deadline, interruption, timing
//! - `stages`: one file each
//! - `images`: an image for each content that destinations want, read once
//! - `shipment`: an image on its way to one destination: what lies there, what is sent
//! - `supplies`: where an attempt's blobs come from: the source, or what was read of it for several destinations
//! - [`ContentStore`]: blobs for several destinations, for all attempts
//! - `source`: what is read of the source, each manifest once
//! - `platforms`: which children of an index are carried, and what becomes of it
//! - `account`: what is counted and told of an attempt that is over
//! - [`Activity`]: what moves right now, for a display
//! - `failure`: from errors to what crosses the wire

mod account;
mod activity;
mod attempt;
mod consumer;
mod content;
mod context;
mod crew;
mod failure;
mod images;
mod laggard;
mod pipeline;
mod platforms;
mod preview;
mod shipment;
mod source;
mod stage;
mod stages;
mod supplies;
mod workshop;

pub use activity::{Activity, Running, Snapshot};
pub use attempt::attempt;
pub use consumer::Worker;
pub use content::ContentStore;
pub use context::Tools;
pub use preview::{Preview, Prospect, Weight, preview};
pub use workshop::Workshop;
