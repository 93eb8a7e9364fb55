//! One file for each stage.

pub(crate) mod audit;
pub(crate) mod fetch;
pub(crate) mod push;
pub(crate) mod resolve;
pub(crate) mod tag;
pub(crate) mod verify;
