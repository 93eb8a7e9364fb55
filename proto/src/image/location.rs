//! Where an image lies: at a registry, in an OCI layout folder, or in a tar of one.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{ImageRef, ReferenceError, invalid};
use crate::text::serde_as_text;

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

serde_as_text!(LayoutRef, Location);

#[cfg(test)]
mod tests {
    use super::*;

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
}
