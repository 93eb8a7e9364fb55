//! Client for OCI registries: manifests byte for byte, blobs streamed and checked, politely and without surprises.
//!
//! # Layout
//!
//! - [`Client`]: the verbs, each in a module of its own: `manifests`, `blobs`, `tags`, `referrers`
//! - [`Layout`], [`Archive`]: images on disk; [`Scratch`]: single blobs for a while
//! - [`Place`]: a registry, a layout or an archive, under the same verbs
//! - `transport`: one registry under one set of settings: authorization, retries
//! - `budget`: how many requests, bytes and pulls there may be, and whoever waits for them
//! - `wire`: one `request`: timeouts, redirects, errors told apart (`unanswered`); below it `tls`, `proxy`, `dns`
//! - `tags`: the tags of a repository, with their digests where the vendor lists them
//! - `pages`: how listings go on
//! - `auth`: credentials, challenges, tokens
//! - `proof`: whether it refuses manifests that name what it lacks
//! - `capabilities`: what a registry turned out to be able to do
//! - [`Check`]: a look at a registry for people
//! - [`Error`]: what went wrong, for the machine and for the person

mod auth;
mod blobs;
mod budget;
mod capabilities;
mod check;
mod client;
mod dns;
mod error;
mod layout;
mod manifests;
mod options;
mod pages;
mod place;
mod proof;
mod proxy;
mod referrers;
mod request;
mod secrets;
mod tags;
mod tls;
mod transport;
mod unanswered;
mod wire;

pub use blobs::{BlobSource, BlobStream, Progress, PushError, Pushed};
pub use budget::{Action, ActionView, BudgetView, PullsView, Tally};
pub use capabilities::Capabilities;
pub use check::Check;
pub use client::Client;
pub use error::{Error, Kind};
pub use layout::{Archive, Layout, Scratch, ScratchBlob};
pub use manifests::{ManifestHead, PutAnswer, Reread};
pub use options::{Env, Options};
pub use place::{Place, Places};
pub use referrers::{cosign_tags, fallback_tag};
pub use tags::{Listing, Tags};
pub use tls::{TlsFacts, Trust};

/// The example of the README is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
