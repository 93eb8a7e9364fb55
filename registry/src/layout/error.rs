//! The errors of layouts: what was tried on which file, and what a person can do.

use std::io;
use std::path::{Path, PathBuf};

use proto::Digest;

use super::index::{Ambiguous, name_of};
use crate::error::{Error, Kind};

/// Names that an error lists: about what fits on a line.
const NAMES_TOLD_MAX: usize = 4;

/// For `map_err`: the operating system refused `action` (a verb) on `path`.
pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| {
        let error = Error::new(Kind::Io, format!("{action} `{}`", path.display()));
        let error = match source.kind() {
            io::ErrorKind::StorageFull => error.hinting("free space on that disk; what was completed is kept"),
            io::ErrorKind::QuotaExceeded => error.hinting("raise the quota; what was completed is kept"),
            io::ErrorKind::PermissionDenied => error.hinting("give this user the right to read and write there"),
            io::ErrorKind::NotFound => error.with_kind(Kind::NotFound).hinting("check the path"),
            _ => error,
        };
        error.caused_by(source)
    }
}

/// The folder or tar at `path` is not of the form that the image-spec asks for, or not safe to read.
pub(super) fn unusable(path: &Path, why: impl AsRef<str>) -> Error {
    Error::new(Kind::Unsupported, format!("read layout `{}`", path.display())).because(why)
}

/// The content of `digest` in the layout at `path` is not what it should be.
pub(super) fn corrupt(path: &Path, digest: &Digest, why: impl AsRef<str>) -> Error {
    Error::new(Kind::Corrupt, format!("check `{digest}` in layout `{}`", path.display())).because(why)
}

/// The layout at `path` has no blob or manifest `digest`.
pub(super) fn missing(path: &Path, digest: &Digest) -> Error {
    Error::new(Kind::NotFound, format!("read `{digest}` in layout `{}`", path.display())).because("it is not there")
}

/// A JSON document of the layout at `path` is not one.
pub(super) fn unreadable(path: &Path, document: &str, source: serde_json::Error) -> Error {
    unusable(path, format!("its `{document}` is not readable")).caused_by(source)
}

/// Several images of the layout at `path` answer to what was asked for.
pub(super) fn ambiguous(path: &Path, asked: &str, Ambiguous(found): &Ambiguous) -> Error {
    let names: Vec<&str> = found.iter().map(|one| name_of(one).unwrap_or(one.digest.as_str())).collect();
    let more = if names.len() > NAMES_TOLD_MAX { ", …" } else { "" };
    let told = names[..names.len().min(NAMES_TOLD_MAX)].join(", ");
    Error::new(Kind::Unsupported, format!("find {asked} in layout `{}`", path.display()))
        .because(format!("{} images answer to it: {told}{more}", names.len()))
        .hinting("name one of them: `oci:PATH:NAME`")
}
