//! How to reach registries: what the job file says of them, with names of secrets and never the secrets themselves.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything a process needs to know to speak to the registries of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// What holds for all connections.
    pub network: Network,
    /// Settings of registries, or of parts of them.
    pub registries: Vec<RegistrySettings>,
}

/// What holds for all connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// URL of the proxy; none means what the environment says. Loopback never uses one.
    pub proxy: Option<String>,
    /// Hosts, `.domains` and networks (`10.0.0.0/8`) that are reached without the proxy.
    pub direct: Vec<String>,
    /// PEM file of certificates to trust beside those of the system.
    pub ca_file: Option<PathBuf>,
}

/// Settings of the registries and repositories that match `pattern`; the longest pattern that matches wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrySettings {
    /// `host[:port]` or `host/prefix`; `*` stands for any characters but `/`.
    pub pattern: String,
    /// Where credentials come from.
    pub auth: Auth,
    /// How TLS is spoken.
    pub tls: Tls,
    /// Speak plain HTTP.
    pub plain_http: bool,
    /// Requests under way at once; none means the client's own number.
    pub concurrency: Option<u32>,
}

/// Where credentials come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Docker's configuration file with its helpers; without an entry there, none.
    #[default]
    Ambient,
    /// None, even if there are some.
    Anonymous,
    /// User and password.
    Basic {
        /// The user's name.
        username: String,
        /// Where the password is.
        password: Secret,
    },
}

/// Where a secret is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// In this environment variable.
    Env(String),
    /// In this file, without the line end.
    File(PathBuf),
    /// Printed by this Docker credential helper (`docker-credential-NAME get`).
    Helper(String),
}

/// How TLS is spoken with a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// PEM file of certificates to trust beside those of the system; a self-signed server certificate may stand here.
    pub ca_file: Option<PathBuf>,
    /// The certificate by which we make ourselves known.
    pub client: Option<ClientCertificate>,
    /// Trust any certificate.
    pub skip_verify: bool,
}

/// A client certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// PEM file of the certificate, with its chain.
    pub certificate: PathBuf,
    /// The PEM key.
    pub key: Secret,
}
