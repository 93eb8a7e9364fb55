//! References to images: in a registry, in an OCI layout folder, in a tar of one.
//!
//! The grammar is that of the distribution-spec ("Pulling manifests") with the shorthands of Docker Hub:
//! `alpine` is `docker.io/library/alpine`, `grafana/grafana` is `docker.io/grafana/grafana`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

use crate::digest::{Digest, excerpt};
use crate::text::serde_as_text;

/// The registry that a reference without host means.
pub const DOCKER_HUB: &str = "docker.io";

/// A registry: `host` or `host:port`, lower case; an IPv6 address stands in brackets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(String);

/// A repository at a registry: `registry.example.com/team/app`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    host: Host,
    path: String,
}

/// A tag: at most 128 of `[A-Za-z0-9_.-]`, the first not `.` or `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

/// What names one manifest within a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// By tag: may move.
    Tag(Tag),
    /// By digest: never moves.
    Digest(Digest),
}

/// An image in a registry: `repository[:tag][@digest]`, with at least one of both once parsed (`latest` if neither
/// was given).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    /// Where it lies.
    pub repository: Repository,
    /// Its tag, if it was named by one.
    pub tag: Option<Tag>,
    /// Its digest, if it was pinned to one.
    pub digest: Option<Digest>,
}

/// An image in an OCI layout: `PATH[:NAME]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayoutRef {
    /// The folder, or the tar file.
    pub path: PathBuf,
    /// The value of `org.opencontainers.image.ref.name`; none means the only image there.
    pub name: Option<String>,
}

/// Where an image lies: what `copy` takes on both sides, and what a task names as source and destination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// `registry.example.com/team/app:1.2`
    Registry(ImageRef),
    /// `oci:PATH[:NAME]`: a layout folder.
    Layout(LayoutRef),
    /// `oci-archive:PATH[:NAME]`: a tar of a layout.
    Archive(LayoutRef),
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {why}")]
pub struct ReferenceError {
    what: &'static str,
    text: String,
    why: &'static str,
}

fn invalid(what: &'static str, text: &str, why: &'static str) -> ReferenceError {
    ReferenceError { what, text: excerpt(text), why }
}

impl Host {
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
        let lower = text.to_ascii_lowercase();
        Ok(Self(match lower.as_str() {
            "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB.to_owned(),
            _ => lower,
        }))
    }
}

impl Repository {
    /// The repository at `path` of `host`.
    ///
    /// # Errors
    /// `path` is not a repository name by the distribution-spec, or too long.
    pub fn new(host: Host, path: &str) -> Result<Self, ReferenceError> {
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(invalid("repository", path, "upper-case letters are not allowed in repository names"));
        }
        if !path.split('/').all(is_path_component) {
            return Err(invalid(
                "repository",
                path,
                "expected parts of lower-case letters and digits, joined by `.`, `_`, `__` or `-`, separated by `/`",
            ));
        }
        if host.0.len() + 1 + path.len() > 255 {
            return Err(invalid("repository", path, "registry and repository together exceed 255 characters"));
        }
        Ok(Self { host, path: path.to_owned() })
    }

    /// The registry.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The name within the registry, as in `library/alpine`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The image under `tag` here.
    pub fn tagged(&self, tag: Tag) -> ImageRef {
        ImageRef { repository: self.clone(), tag: Some(tag), digest: None }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` (distribution-spec, "Pulling manifests").
fn is_path_component(part: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let Some((first, last)) = part.bytes().next().zip(part.bytes().last()) else { return false };
    alphanumeric(first)
        && alphanumeric(last)
        && part
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (host, path) = match text.split_once('/') {
            Some((first, path)) if names_a_host(first) => (first.parse()?, path),
            _ => (Host(DOCKER_HUB.to_owned()), text),
        };
        if host.0 == DOCKER_HUB && !path.contains('/') {
            return Self::new(host, &format!("library/{path}"));
        }
        Self::new(host, path)
    }
}

/// Docker's rule for `a/b`: `a` is a registry if it cannot be a user's name at Docker Hub.
fn names_a_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':', '[']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

impl Tag {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let first_is_word = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
        let all_allowed = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if first_is_word && all_allowed && text.len() <= 128 {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid("tag", text, "expected at most 128 of `A-Z a-z 0-9 _ . -`, the first not `.` or `-`"))
        }
    }
}

impl Reference {
    /// The digest, if this names one.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Digest(digest) => Some(digest),
            Self::Tag(_) => None,
        }
    }
}

impl From<Digest> for Reference {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

impl From<Tag> for Reference {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl ImageRef {
    /// What to ask the registry for: the digest if there is one (a tag beside it is only a name), else the tag.
    pub fn reference(&self) -> Reference {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Reference::Digest(digest.clone()),
            (None, Some(tag)) => Reference::Tag(tag.clone()),
            (None, None) => Reference::Tag(Tag("latest".to_owned())),
        }
    }
}

impl FromStr for ImageRef {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if let Some(scheme) = ["docker://", "https://", "http://"].into_iter().find(|s| text.starts_with(s)) {
            let why = if scheme == "docker://" { "leave out `docker://`" } else { "a reference has no URL scheme" };
            return Err(invalid("image reference", text, why));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(|_| {
                    invalid("image reference", text, "after `@` stands `sha256:` and 64 lower-case hex digits")
                })?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        // A colon after the last slash starts the tag; one before it belongs to the host's port.
        let (name, tag) = match name.rsplit_once(':') {
            Some((before, tag)) if !tag.contains('/') && !tag.contains(']') => (before, Some(tag.parse::<Tag>()?)),
            _ => (name, None),
        };
        let tag = match (&digest, tag) {
            (None, None) => Some(Tag("latest".to_owned())),
            (_, tag) => tag,
        };
        Ok(Self { repository: name.parse()?, tag, digest })
    }
}

impl FromStr for LayoutRef {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (path, name) = match text.split_once(':') {
            Some((path, name)) => (path, Some(name)),
            None => (text, None),
        };
        if path.is_empty() || name == Some("") {
            return Err(invalid("layout reference", text, "expected `PATH` or `PATH:NAME`"));
        }
        Ok(Self { path: path.into(), name: name.map(str::to_owned) })
    }
}

impl FromStr for Location {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if let Some(rest) = text.strip_prefix("oci:") {
            rest.parse().map(Self::Layout)
        } else if let Some(rest) = text.strip_prefix("oci-archive:") {
            rest.parse().map(Self::Archive)
        } else {
            text.parse().map(Self::Registry)
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Display for LayoutRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match &self.name {
            Some(name) => write!(f, ":{name}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(image) => image.fmt(f),
            Self::Layout(layout) => write!(f, "oci:{layout}"),
            Self::Archive(layout) => write!(f, "oci-archive:{layout}"),
        }
    }
}

macro_rules! debug_as_text {
    ($($name:ty),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )+};
}

debug_as_text!(Host, Repository, Tag, ImageRef);
serde_as_text!(Host, Repository, Tag, ImageRef, LayoutRef, Location);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(text: &str) -> String {
        text.parse::<ImageRef>().map_or_else(|error| error.to_string(), |image| image.to_string())
    }

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn docker_hub_shorthands_are_written_out() {
        assert_eq!(image("alpine"), "docker.io/library/alpine:latest");
        assert_eq!(image("alpine:3.22"), "docker.io/library/alpine:3.22");
        assert_eq!(image("grafana/grafana:11"), "docker.io/grafana/grafana:11");
        assert_eq!(image("docker.io/alpine:3"), "docker.io/library/alpine:3");
        assert_eq!(image("index.docker.io/library/alpine:3"), "docker.io/library/alpine:3");
    }

    #[test]
    fn a_host_is_told_from_a_path_and_a_port_from_a_tag() {
        assert_eq!(image("localhost/app:1"), "localhost/app:1");
        assert_eq!(image("localhost:5000/a/b/c"), "localhost:5000/a/b/c:latest");
        assert_eq!(image("[::1]:5000/a"), "[::1]:5000/a:latest");
        assert_eq!(image("[::1]/a:2"), "[::1]/a:2");
        assert_eq!(image("127.0.0.1:5000/a/b:t"), "127.0.0.1:5000/a/b:t");
        assert_eq!(image("Quay.IO/a/b:t"), "quay.io/a/b:t");
    }

    #[test]
    fn a_digest_is_asked_for_before_the_tag_beside_it() {
        let pinned: ImageRef = format!("quay.io/a/b:1@{DIGEST}").parse().unwrap();
        assert_eq!(pinned.reference().to_string(), DIGEST);
        assert_eq!(pinned.tag.as_ref().unwrap().as_str(), "1");
        let untagged: ImageRef = format!("quay.io/a/b@{DIGEST}").parse().unwrap();
        assert_eq!(untagged.tag, None);
    }

    #[test]
    fn refused_references_say_why() {
        assert!(image("quay.io/Team/app").contains("upper-case"));
        assert!(image("docker://alpine").contains("leave out `docker://`"));
        assert!(image("quay.io/a//b").contains("separated by `/`"));
        assert!(image("quay.io/a:.x").contains("not a valid tag"));
        assert!(image("quay.io:99999/a").contains("port"));
        assert!(image("a@sha256:12").contains("64 lower-case hex digits"));
        for text in ["", ":", "/", "a/", "-a", "a_", "a..b", "a___b", "[::1/a", "exa mple.com/a"] {
            assert!(text.parse::<ImageRef>().is_err(), "{text}");
        }
    }

    #[test]
    fn layouts_keep_a_whole_reference_as_their_name() {
        let location: Location = "oci:/data/mirror:docker.io/library/alpine:3.22".parse().unwrap();
        let Location::Layout(layout) = &location else { panic!("{location}") };
        assert_eq!(layout.path.to_str(), Some("/data/mirror"));
        assert_eq!(layout.name.as_deref(), Some("docker.io/library/alpine:3.22"));
        assert_eq!(location.to_string(), "oci:/data/mirror:docker.io/library/alpine:3.22");
        assert!(matches!("oci-archive:x.tar".parse(), Ok(Location::Archive(_))));
        assert!("oci:".parse::<Location>().is_err());
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

    proptest! {
        #[test]
        fn any_text_is_refused_or_reads_back(text in "\\PC{0,80}") {
            if let Ok(image) = text.parse::<ImageRef>() {
                prop_assert_eq!(image.to_string().parse::<ImageRef>().unwrap(), image);
            }
        }

        #[test]
        fn a_well_formed_reference_is_kept_as_written(
            host in "[a-z][a-z0-9]{0,8}(\\.[a-z0-9]{1,5}){1,3}(:[1-9][0-9]{0,3})?",
            path in "[a-z0-9]{1,6}([._-][a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,6}){1,3}",
            tag in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}",
        ) {
            let text = format!("{host}/{path}:{tag}");
            prop_assert_eq!(text.parse::<ImageRef>().unwrap().to_string(), text);
        }
    }
}
