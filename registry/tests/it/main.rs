//! The client against real sockets: a registry that follows the specification and misbehaves on command, and scripted
//! servers for what no registry should do. Layouts on disk, and places of all kinds under the same verbs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at its first surprise")]

mod auth;
mod budget;
mod check;
mod cloud;
mod judge;
mod layout;
mod listing;
mod manifests;
mod network;
mod place;
mod push;
mod read;
mod referrers;
mod retries;
mod script;
mod secrets;
mod setup;
mod tags;
mod tls;
mod traps;
mod tricks;
