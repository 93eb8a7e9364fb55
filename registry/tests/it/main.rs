//! The crate as its users see it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests, their helpers too")]

mod layout;
mod place;
