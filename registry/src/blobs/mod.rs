//! Blobs: asked for, streamed and checked as they pass, pushed, mounted.

mod body;
mod push;
mod read;
mod session;
mod stream;
pub(crate) mod watch;

pub use push::{Progress, PushError, Pushed};
pub use stream::{BlobSource, BlobStream};
