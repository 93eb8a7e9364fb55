//! Registries by name, as they stand at the beginning of a reference.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use super::{ReferenceError, invalid};
use crate::text::serde_as_text;

/// The registry that a reference without host means.
pub const DOCKER_HUB: &str = "docker.io";

/// A registry: `host` or `host:port`, lower case; an IPv6 address stands in brackets. Clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Arc<str>);

impl Host {
    /// Docker Hub.
    pub fn docker_hub() -> Self {
        Self(DOCKER_HUB.into())
    }

    /// The whole text, as in `localhost:5000`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name or address without port and without brackets.
    pub fn name(&self) -> &str {
        let (name, _) = split_port(&self.0);
        name.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, if one was given.
    pub fn port(&self) -> Option<u16> {
        split_port(&self.0).1.and_then(|port| port.parse().ok())
    }

    /// Whether this machine is meant: such a host may speak plain HTTP and never uses a proxy.
    pub fn is_loopback(&self) -> bool {
        let name = self.name();
        name == "localhost"
            || name.ends_with(".localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Splits `host:port`; a colon within brackets belongs to an IPv6 address.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    }
}

impl FromStr for Host {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (name, port) = split_port(text);
        if port.is_some_and(|port| !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err()) {
            return Err(invalid("registry host", text, "its port is not a number from 0 to 65535"));
        }
        let is_label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let valid = match name.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
            None => name.split('.').all(is_label),
        };
        if !valid || text.len() > 255 {
            return Err(invalid("registry host", text, "expected `host`, `host:port` or `[ipv6]:port`"));
        }
        // One registry, one spelling: what is told apart by its text must not become two.
        let name = match name.trim_start_matches('[').trim_end_matches(']').parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => name.to_ascii_lowercase(),
        };
        Ok(Self(match (name.as_str(), port.and_then(|port| port.parse::<u16>().ok())) {
            ("index.docker.io" | "registry-1.docker.io", None) => DOCKER_HUB.into(),
            (_, None) => name.into(),
            (_, Some(port)) => format!("{name}:{port}").into(),
        }))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(Host);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_has_one_spelling() {
        for (text, host) in [
            ("Quay.IO", "quay.io"),
            ("quay.io:05000", "quay.io:5000"),
            ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
            ("[FE80::A]", "[fe80::a]"),
            ("index.docker.io", "docker.io"),
        ] {
            assert_eq!(text.parse::<Host>().unwrap().as_str(), host, "{text}");
        }
    }

    #[test]
    fn loopback_is_recognised_in_every_form() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:80", "[::1]:5000", "a.localhost"] {
            assert!(host.parse::<Host>().unwrap().is_loopback(), "{host}");
        }
        for host in ["quay.io", "10.0.0.1:5000", "localhost.example.com"] {
            assert!(!host.parse::<Host>().unwrap().is_loopback(), "{host}");
        }
        let host: Host = "[::1]:5000".parse().unwrap();
        assert_eq!((host.name(), host.port()), ("::1", Some(5000)));
    }
}
