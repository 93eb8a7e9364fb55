//! References to images: in a registry, in an OCI layout folder, in a tar of one.
//!
//! The grammar is that of the distribution-spec ("Pulling manifests") with the shorthands of Docker Hub:
//! `alpine` is `docker.io/library/alpine`, `grafana/grafana` is `docker.io/grafana/grafana`.

mod credentials;
mod host;
mod location;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::digest::{Digest, excerpt};
use crate::text::serde_as_text;

pub use credentials::without_credentials;
pub use host::{DOCKER_HUB, Host};
pub use location::{LayoutRef, Location};

/// A repository at a registry: `registry.example.com/team/app`. Clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    host: Host,
    path: Arc<str>,
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

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {why}")]
pub struct ReferenceError {
    what: &'static str,
    text: String,
    why: &'static str,
}

fn invalid(what: &'static str, text: &str, why: &'static str) -> ReferenceError {
    ReferenceError { what, text: excerpt(&without_credentials(text)), why }
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
        if host.as_str().len() + 1 + path.len() > 255 {
            return Err(invalid("repository", path, "registry and repository together exceed 255 characters"));
        }
        Ok(Self { host, path: path.into() })
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
            // Docker would look for it at Docker Hub, where no such name is; a person left something out.
            None if text == "localhost" || text.contains(['.', ':', '[']) && text.parse::<Host>().is_ok() => {
                return Err(invalid("repository", text, "it names a registry alone; write `HOST/team/app`"));
            }
            _ => (Host::docker_hub(), text),
        };
        if host.as_str() == DOCKER_HUB && !path.contains('/') {
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
serde_as_text!(Repository, Tag, ImageRef);

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
        assert!(image("127.0.0.1:5000").contains("names a registry alone"));
        assert!(image("quay.io").contains("names a registry alone"));
        assert!(image("docker://alpine").contains("leave out `docker://`"));
        for text in ["https://me:hush@quay.io/a", "me:hush@quay.io/a", "me:hush@quay.io", "me:hush@quay.io:1/A:1"] {
            assert!(image(text).contains("`***@") || image(text).contains("//***@"), "{}", image(text));
            assert!(!image(text).contains("hush"), "{}", image(text));
        }
        assert!(image("quay.io/a//b").contains("separated by `/`"));
        assert!(image("quay.io/a:.x").contains("not a valid tag"));
        assert!(image("quay.io:99999/a").contains("port"));
        assert!(image("a@sha256:12").contains("64 lower-case hex digits"));
        for text in ["", ":", "/", "a/", "-a", "a_", "a..b", "a___b", "[::1/a", "exa mple.com/a"] {
            assert!(text.parse::<ImageRef>().is_err(), "{text}");
        }
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
