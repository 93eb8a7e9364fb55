//! Servers to test and show against, in process and on real sockets: an OCI registry and its token service, and what takes
//! traces.
//!
//! The client under test runs whole: it speaks HTTP, over TLS if asked, to a registry that follows the
//! distribution-spec, that counts what it is asked, and that misbehaves on command.
//!
//! ```
//! # async fn example() -> Result<(), sandbox::Error> {
//! use sandbox::{Effect, Fault, Registry, content};
//!
//! let registry = Registry::builder().start().await?;
//! registry.store().put_image("library/alpine", Some("3.20"), &content::image(1).build());
//! registry.fault(Fault::on("GET", "/blobs/", Effect::CutBody { after: 100 }).times(1));
//! // … point a client at `registry.host()` …
//! assert_eq!(registry.log().count("GET", "/blobs/"), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! - [`registry`]: the registry, its [`Features`] and its handle [`Registry`]
//! - [`store`]: what it holds, to be filled and read without HTTP
//! - [`auth`]: who may do what, by password or by token
//! - [`collector`]: what takes traces
//! - [`cloud`]: what gives identities at AWS, Google Cloud, Azure and GitHub
//! - [`faults`]: [`Fault`] rules that make it misbehave
//! - [`log`]: what it was asked
//! - [`content`]: images, indexes and artifacts from a seed
//! - [`tls`]: certificates made at start
//! - [`delay`]: a TCP proxy that adds latency and limits bandwidth

pub mod auth;
pub mod cloud;
pub mod collector;
pub mod content;
pub mod delay;
pub mod faults;
pub mod log;
pub mod registry;
pub mod store;
pub mod tls;

mod answer;
mod body;
mod flush;
mod hold;
mod serve;
mod synthetic;
mod token;

pub use auth::{Account, Accounts, Auth, Rights, Tokens};
pub use collector::Collector;
pub use content::{Image, Layer};
pub use delay::{Delay, Line};
pub use faults::{ActiveFault, Effect, Fault, RetryAfter};
pub use hold::Hold;
pub use log::{Log, Request};
pub use registry::{Builder, Features, Missing, PullLimit, RateLimit, Registry, TagPaging, Vendor};
pub use store::Store;
pub use tls::Tls;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("listen on `{address}`")]
    Listen {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A certificate could not be made.
    #[error("make a certificate")]
    Certificate(#[source] rcgen::Error),
    /// The TLS library refused what was made.
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
    /// The TLS library refused the authority for client certificates.
    #[error("set up the check of client certificates")]
    ClientVerifier(#[source] rustls::server::VerifierBuilderError),
}
