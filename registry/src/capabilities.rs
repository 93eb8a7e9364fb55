//! What a registry turned out to be able to do, remembered for the life of the client.

use std::sync::{Mutex, PoisonError};

use crate::tags::Listing;

/// What was seen of one registry so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether it answers the referrers API (distribution-spec, end-12a), else referrers are in a fallback tag; `None`
    /// while it was not asked.
    pub referrers: Option<bool>,
    /// It mounted a blob from another repository (end-11).
    pub mounts: bool,
    /// It refused a blob in one `PUT`, and took it in chunks (end-5).
    pub chunks_only: bool,
    /// How its tags are listed; `None` while none were.
    pub listing: Option<Listing>,
}

/// What is learned of one registry.
#[derive(Default)]
pub(crate) struct Learned(Mutex<Capabilities>);

impl Learned {
    pub(crate) fn get(&self) -> Capabilities {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Capabilities)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
