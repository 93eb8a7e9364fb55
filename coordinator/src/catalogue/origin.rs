//! Where job files come from, as it is written on a command line.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proto::ImageRef;
use proto::image::ReferenceError;

/// How an artifact is told from a path.
const SCHEME: &str = "oci://";

/// Where job files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A folder, of which each `*.yaml` and `*.yml` at its top is a job file, or a single file. It may lie in a work tree
    /// of Git, and be a symlink that something else moves on.
    Path(PathBuf),
    /// An artifact in a registry, whose layers are files: `oci://registry.example.com/team/jobs:main`.
    Artifact(ImageRef),
}

/// Why a text names no place of job files.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// It begins as an artifact does.
    #[error("read what follows `{SCHEME}`, expected `REGISTRY/REPOSITORY:TAG`")]
    Artifact(#[source] ReferenceError),
    /// It is that of something else.
    #[error("`{0}` is neither a path nor `{SCHEME}REGISTRY/REPOSITORY:TAG`")]
    Scheme(String),
    /// It is no path.
    #[error("find the path of the job files")]
    Path(#[source] io::Error),
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if let Some(reference) = text.strip_prefix(SCHEME) {
            return reference.parse().map(Self::Artifact).map_err(OriginError::Artifact);
        }
        // What follows may hold credentials.
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(OriginError::Scheme(format!("{scheme}://…")));
        }
        if text.starts_with("oci:") || text.starts_with("oci-archive:") {
            return Err(OriginError::Scheme(text.to_owned()));
        }
        std::path::absolute(Path::new(text)).map(Self::Path).map_err(OriginError::Path)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Artifact(image) => write!(f, "{SCHEME}{image}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_a_path_or_an_artifact_and_is_told_again_in_full() {
        for (text, told) in [
            ("/etc/jobs", "/etc/jobs"),
            ("oci://registry.example.com/team/jobs:main", "oci://registry.example.com/team/jobs:main"),
            ("oci://localhost:5000/jobs", "oci://localhost:5000/jobs:latest"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), told);
        }
        let path = std::env::current_dir().unwrap().join("jobs");
        assert_eq!("jobs".parse::<Origin>().unwrap(), Origin::Path(path));
    }

    #[test]
    fn what_is_neither_is_refused_and_secrets_in_it_are_not_told() {
        for text in
            ["", "oci:mirror", "oci-archive:a.tar", "https://me:hush@git.example.com/jobs", "oci://me:hush@x/Y:1"]
        {
            let error = text.parse::<Origin>().unwrap_err();
            let told = daemon::ErrorChain(&error).to_string();
            assert!(!told.contains("hush"), "{told}");
        }
    }
}
