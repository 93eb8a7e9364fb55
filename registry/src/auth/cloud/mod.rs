//! The identities that clouds give to what runs there, and the credentials that their registries take for them.
//!
//! Each is asked for where the vendor's own libraries ask, is kept until shortly before its end, and is renewed by one
//! caller while the others wait.

mod ask;
pub(crate) mod aws;
mod azure;
mod gcp;
mod github;
mod jwt;
mod kept;

use std::sync::Arc;
use std::time::Duration;

use proto::Host;
use proto::settings::{Network, Secret, Tls};

use super::credentials::{Credentials, Found};
use crate::error::{Error, Kind};
use crate::options::Options;
use crate::proxy::Proxies;
use crate::tls;
use crate::wire::Wire;
use aws::Aws;
use azure::Azure;
pub(crate) use azure::is_azure;
use gcp::Gcp;
use github::Github;

/// A machine's metadata is beside it: what does not answer soon is not there.
const METADATA_TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3));

/// A vendor's service of tokens is in the world, and answers at once.
const SERVICE_TIMEOUTS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));

/// Connections kept to one who gives identities: one asks for all.
const CONNECTIONS: usize = 2;

/// The ways to those who give identities. All hide the same secrets.
pub(crate) struct Doors {
    /// To the registry itself, under its settings; with the scheme that it speaks.
    registry: Wire,
    scheme: &'static str,
    /// To what a vendor serves to the world, with the certificates checked.
    world: Wire,
    /// To the metadata of this machine, and never through a proxy: it would give its own identity.
    machine: Wire,
    options: Arc<Options>,
}

impl Doors {
    /// Doors that hide what `registry` hides.
    ///
    /// # Errors
    /// The settings name files that cannot be read.
    pub(crate) fn new(
        registry: &Wire,
        scheme: &'static str,
        network: &Network,
        options: &Arc<Options>,
    ) -> Result<Self, Error> {
        let wire = |(connect, answer): (Duration, Duration), proxies| {
            let mut quick = Options::clone(options);
            quick.connect_timeout = quick.connect_timeout.min(connect);
            quick.answer_timeout = quick.answer_timeout.min(answer);
            quick.stall_timeout = quick.stall_timeout.min(answer);
            let tls = tls::config("", &Tls::default(), network.ca_file.as_deref(), None, Arc::default())?;
            let mut wire = Wire::new(Arc::new(quick), tls, proxies, CONNECTIONS)?;
            wire.secrets = registry.secrets.clone();
            Ok(wire)
        };
        Ok(Self {
            registry: registry.clone(),
            scheme,
            world: wire(SERVICE_TIMEOUTS, Proxies::new(network, &options.env)?)?,
            machine: wire(METADATA_TIMEOUTS, Proxies::none())?,
            options: options.clone(),
        })
    }

    fn env(&self, name: &str) -> Option<String> {
        self.options.env.get(name)
    }

    /// Masks `secret` from now on in every text about this registry.
    fn note(&self, secret: &str) {
        self.world.secrets.note(secret);
    }
}

/// A vendor's identity.
pub(crate) enum Cloud {
    Aws(Aws),
    Gcp(Gcp),
    Azure(Azure),
    Github(Github),
}

impl Cloud {
    pub(super) fn aws(host: Host, doors: Doors) -> Self {
        Self::Aws(Aws::new(host, doors))
    }

    pub(super) fn gcp(host: Host, doors: Doors) -> Self {
        Self::Gcp(Gcp::new(host, doors))
    }

    pub(super) fn azure(host: Host, doors: Doors) -> Self {
        Self::Azure(Azure::new(host, doors))
    }

    pub(super) fn github(id: u64, key: Secret, host: Host, doors: Doors) -> Self {
        Self::Github(Github::new(id, key, host, doors))
    }

    /// The identity, if it is AWS's.
    pub(super) fn as_aws(&self) -> Option<&Aws> {
        match self {
            Self::Aws(aws) => Some(aws),
            _ => None,
        }
    }

    /// The credentials for the repository `path`.
    ///
    /// # Errors
    /// `Unauthorized`: there is no identity, or it was not accepted. Others tell of services that did not answer.
    pub(super) async fn find(&self, path: &str) -> Result<Found, Error> {
        let found = match self {
            Self::Aws(aws) => aws.find().await,
            Self::Gcp(gcp) => gcp.find().await,
            Self::Azure(azure) => azure.find().await,
            Self::Github(github) => github.find(path).await,
        };
        // What these services say is no word of the registry: a 404 does not mean that an image is not there.
        found.map_err(|error| match error.kind() {
            Kind::NotFound | Kind::Refused | Kind::Unsupported => error.with_kind(Kind::Unauthorized),
            _ => error,
        })
    }

    /// Forgets the credentials that were refused.
    pub(super) async fn forget(&self, is_refused: impl Fn(&Credentials) -> bool) {
        let is_refused = |found: &Found| is_refused(&found.credentials);
        match self {
            Self::Aws(aws) => aws.logins.forget(is_refused).await,
            Self::Gcp(gcp) => gcp.tokens.forget(is_refused).await,
            Self::Azure(azure) => azure.tokens.forget(is_refused).await,
            Self::Github(github) => github.forget(is_refused).await,
        }
    }
}

/// There is nobody at `error`'s end who would know this machine.
fn no_identity(vendor: &str, error: &Error, hint: &'static str) -> Error {
    Error::new(Kind::Unauthorized, format!("this machine has no identity of {vendor}"))
        .because(error.to_string())
        .hinting(hint)
}

/// Whether nobody was there to answer.
fn is_nobody(error: &Error) -> bool {
    error.status().is_none() && matches!(error.kind(), Kind::Unavailable | Kind::Stalled)
}

/// Credentials are given to the vendor's own registries only, whatever pattern the settings stand under.
fn check_host(host: &Host, vendor: &str, is_of_vendor: bool, expected: &str) -> Result<(), Error> {
    if is_of_vendor {
        return Ok(());
    }
    Err(Error::new(Kind::Unauthorized, format!("log in to `{host}` with an identity of {vendor}"))
        .because(format!("it is no registry of {vendor}: expected {expected}"))
        .hinting("give this registry another `auth`"))
}

/// The text of a file that a variable names, without the line end.
async fn read(variable: &str, path: &str) -> Result<String, Error> {
    let failed = |why: String| {
        Error::new(Kind::Unauthorized, format!("read `{path}`, which `{variable}` names"))
            .because(why)
            .hinting(format!("see that the file is there and may be read, or correct `{variable}`"))
    };
    let text = tokio::fs::read_to_string(path).await.map_err(|error| failed(error.to_string()))?;
    match text.trim() {
        "" => Err(failed("it is empty".into())),
        text => Ok(text.to_owned()),
    }
}

/// A variable without which `what` is not possible.
fn needed(doors: &Doors, variable: &str, what: &str) -> Result<String, Error> {
    doors.env(variable).ok_or_else(|| {
        Error::new(Kind::Unauthorized, what.to_owned())
            .because(format!("`{variable}` is not set"))
            .hinting(format!("set `{variable}`"))
    })
}
