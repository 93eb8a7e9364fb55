//! The treaty: what coordinator, worker and program say to each other, and the names of what they talk about.
//!
//! Everything here is a value: no runtime, no network, no clock. Text becomes a type once, at the edge, and stays
//! valid for ever.
//!
//! # Layout
//!
//! - [`image`]: references to images: registries, repositories, tags, layouts
//! - [`digest`]: digests and the hasher that checks them
//! - [`platform`]: operating system and architecture of an image
//! - [`content`]: what of an image is carried; `referrer` tells what kind of thing refers to one
//! - [`manifest`]: a view of a manifest over its raw bytes
//! - [`ids`]: runs, tasks, attempts
//! - [`task`], [`outcome`], [`failure`]: what is to be done, how it ended, and why it did not
//! - [`envelope`]: a message as bytes
//! - [`settings`]: how to reach registries; [`Bundle`]: with that, what holds for all tasks of a run
//! - [`limits`]: every shared cap and deadline

mod bundle;
pub mod content;
pub mod digest;
pub mod envelope;
pub mod failure;
pub mod ids;
pub mod image;
pub mod limits;
pub mod manifest;
pub mod outcome;
pub mod platform;
mod referrer;
pub mod settings;
pub mod task;

mod text;

pub use bundle::Bundle;
pub use content::{Content, Kind};
pub use digest::Digest;
pub use envelope::Envelope;
pub use failure::{Class, Code, Failure, Stage};
pub use ids::{Attempt, RunId, TaskId};
pub use image::{Host, ImageRef, LayoutRef, Location, Reference, Repository, Tag};
pub use manifest::{Descriptor, Manifest};
pub use outcome::{Outcome, TaskResult};
pub use platform::Platform;
pub use task::Task;
