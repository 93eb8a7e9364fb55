//! What kind of request one is: registries limit each kind for itself, or all together.

use std::fmt;

use reqwest::Method;

use crate::wire::Request;

/// A kind of requests, as registries count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Manifests are asked for or read.
    ManifestRead,
    /// Manifests are written, or taken away.
    ManifestWrite,
    /// Blobs are asked for or read.
    BlobRead,
    /// Uploads are opened, fed, closed or cancelled; blobs are mounted.
    BlobWrite,
    /// Tags, referrers, and what else is listed.
    Listing,
}

impl Action {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::ManifestRead, Self::ManifestWrite, Self::BlobRead, Self::BlobWrite, Self::Listing];

    /// The name in logs, traces and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ManifestRead => "manifest_read",
            Self::ManifestWrite => "manifest_write",
            Self::BlobRead => "blob_read",
            Self::BlobWrite => "blob_write",
            Self::Listing => "listing",
        }
    }

    /// From method and path (distribution-spec, "Endpoints"). Where an upload goes on is up to the registry, so what
    /// writes to an unknown place is taken for one.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        // Names of repositories have slashes, so paths are read from their end.
        let mut from_end = path.rsplit('/');
        let (last, before) = (from_end.next(), from_end.next());
        match (last, before, reads) {
            (_, Some("manifests"), true) => Self::ManifestRead,
            (_, Some("manifests"), false) => Self::ManifestWrite,
            (Some(digest), Some("blobs"), true) if digest.contains(':') => Self::BlobRead,
            (_, _, true) => Self::Listing,
            (_, _, false) => Self::BlobWrite,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ManifestRead => "manifests read",
            Self::ManifestWrite => "manifests written",
            Self::BlobRead => "blobs read",
            Self::BlobWrite => "blobs written",
            Self::Listing => "listings",
        })
    }
}

/// What the budget needs to know of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) action: Action,
    /// Whether it takes a slot of those that read.
    pub(super) reads: bool,
    /// Whether it counts as a pull: a `GET` of a manifest, as Docker Hub counts.
    pub(super) is_pull: bool,
    /// What its time can be compared with; none if it depends on how much there is to send, to store or to list.
    pub(super) likeness: Option<Likeness>,
}

/// Requests that take about the same time: of one action, with or without a body in the answer.
pub(super) type Likeness = (Action, bool);

impl Call {
    pub(super) fn of(request: &Request) -> Self {
        let method = &request.method;
        let action = Action::of(method, request.url.path());
        let is_alike = match action {
            Action::ManifestRead | Action::BlobRead => true,
            Action::ManifestWrite => *method == Method::PUT,
            Action::BlobWrite => *method == Method::POST && request.body.is_empty(),
            Action::Listing => false,
        };
        Self {
            action,
            reads: matches!(*method, Method::GET | Method::HEAD),
            is_pull: action == Action::ManifestRead && *method == Method::GET,
            likeness: is_alike.then_some((action, *method == Method::HEAD)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_its_method_and_the_end_of_its_path() {
        for (method, path, action) in [
            (Method::GET, "/v2/library/alpine/manifests/3.20", Action::ManifestRead),
            (Method::HEAD, "/v2/a/manifests/sha256:0", Action::ManifestRead),
            (Method::PUT, "/v2/a/manifests/1", Action::ManifestWrite),
            (Method::DELETE, "/v2/a/manifests/1", Action::ManifestWrite),
            (Method::GET, "/v2/manifests/blobs/blobs/sha256:0", Action::BlobRead),
            (Method::HEAD, "/v2/a/blobs/sha256:0", Action::BlobRead),
            (Method::POST, "/v2/a/blobs/uploads/", Action::BlobWrite),
            (Method::PUT, "/uploads/7", Action::BlobWrite),
            (Method::DELETE, "/v2/a/blobs/uploads/7", Action::BlobWrite),
            (Method::GET, "/v2/a/manifests/tags/list", Action::Listing),
            (Method::GET, "/v2/a/referrers/sha256:0", Action::Listing),
            (Method::GET, "/v2/", Action::Listing),
            (Method::GET, "/api/v2.0/projects/a/repositories", Action::Listing),
        ] {
            assert_eq!(Action::of(&method, path), action, "{method} {path}");
        }
    }

    #[test]
    fn only_the_get_of_a_manifest_is_a_pull() {
        for (method, path, is_pull) in [
            (Method::GET, "/v2/a/manifests/1", true),
            (Method::HEAD, "/v2/a/manifests/1", false),
            (Method::GET, "/v2/a/referrers/sha256:0", false),
            (Method::GET, "/v2/a/blobs/sha256:0", false),
            (Method::PUT, "/v2/a/manifests/1", false),
        ] {
            let url = format!("https://registry.test{path}").parse().unwrap();
            assert_eq!(Call::of(&Request::new(method.clone(), url)).is_pull, is_pull, "{method} {path}");
        }
    }
}
