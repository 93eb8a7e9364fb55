//! What a registry can do; each point can be switched while it runs, to stand for the registries out there.

/// The abilities of a registry. The default is all that the distribution-spec describes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Features {
    /// Blobs are mounted from the repository in `from` (else the answer is an open upload, 202).
    pub mount: bool,
    /// Blobs are mounted from any repository that the caller may read when there is no `from`.
    pub mount_without_from: bool,
    /// A POST with `digest` and a body stores the blob (else: 202, and the body is not read).
    pub single_post: bool,
    /// PATCH is supported (else: 405).
    pub chunked: bool,
    /// The largest body that the closing PUT of an upload may have, in bytes; more is refused with 413.
    pub put_body_max: Option<u64>,
    /// The least length of a chunk but the last, in bytes, said in `OCI-Chunk-Min-Length` and enforced.
    pub chunk_min: Option<u64>,
    /// Locations of uploads are full URLs (else: paths).
    pub absolute_locations: bool,
    /// The referrers API is there (else: 404, and clients keep the fallback tag).
    pub referrers: bool,
    /// `OCI-Subject` answers a manifest with a subject.
    pub subject_header: bool,
    /// `ETag` is sent and `If-None-Match` heeded for manifests.
    pub conditional: bool,
    /// `Docker-Content-Digest` is in the answer to HEAD of a manifest.
    pub head_digest: bool,
    /// `Accept` is heeded: a manifest of another type than it names is not found (else: it is ignored).
    pub strict_accept: bool,
    /// `Range` is heeded for blobs.
    pub range: bool,
    /// Manifests of Docker types are taken (else: 415).
    pub docker_types: bool,
    /// Manifests, tags and blobs can be deleted (else: 405).
    pub deletion: bool,
    /// `/v2/_catalog` is there.
    pub catalog: bool,
    /// What happens to a manifest that names missing content.
    pub missing: Missing,
    /// How tags are listed.
    pub tag_paging: TagPaging,
    /// The longest page of tags, repositories or referrers, whatever is asked for.
    pub page_max: Option<usize>,
    /// Blobs are served by another host and port, to which their GET is redirected (307).
    pub redirect_blobs: bool,
    /// Whose interfaces stand beside that of the specification. How the registry asks for tokens is fixed at its start.
    pub vendor: Vendor,
    /// The projects of a [`Vendor::Harbor`] are caches of another registry.
    pub harbor_cache: bool,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            mount: true,
            mount_without_from: false,
            single_post: true,
            chunked: true,
            put_body_max: None,
            chunk_min: None,
            absolute_locations: false,
            referrers: true,
            subject_header: true,
            conditional: true,
            head_digest: true,
            strict_accept: false,
            range: true,
            docker_types: true,
            deletion: true,
            catalog: true,
            missing: Missing::Listed,
            tag_paging: TagPaging::Links,
            page_max: None,
            redirect_blobs: false,
            vendor: Vendor::Plain,
            harbor_cache: false,
        }
    }
}

/// Who made a registry: each has an interface of its own that lists tags with their digests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Vendor {
    /// Nobody in particular: there is none.
    #[default]
    Plain,
    /// GCR and Artifact Registry: `tags/list` has a map of manifests, of at most 10,000.
    Gcr,
    /// Harbor: artifacts, by user and password. Signatures under tags of their own are not among them.
    Harbor,
    /// Quay: for nobody in particular only.
    Quay,
    /// zot: a search by GraphQL, without signatures and Docker types.
    Zot,
    /// Docker Hub: for nobody in particular only.
    Hub,
    /// ECR: `ListImages`. Signatures of requests are not checked.
    Ecr,
}

impl Vendor {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Plain, Self::Gcr, Self::Harbor, Self::Quay, Self::Zot, Self::Hub, Self::Ecr];

    /// The name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gcr => "gcr",
            Self::Harbor => "harbor",
            Self::Quay => "quay",
            Self::Zot => "zot",
            Self::Hub => "hub",
            Self::Ecr => "ecr",
        }
    }

    /// For which service tokens are asked.
    pub(crate) fn token_service(self) -> &'static str {
        if self == Self::Harbor { "harbor-registry" } else { "sandbox" }
    }

    /// Where the token service has them.
    pub(crate) fn token_path(self) -> &'static str {
        if self == Self::Quay { "/v2/auth" } else { "/token" }
    }
}

/// What happens to a manifest that names content which the repository lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Refused with one `MANIFEST_BLOB_UNKNOWN` per missing digest.
    Listed,
    /// Refused with `MANIFEST_INVALID`, without a digest.
    Unnamed,
    /// Taken.
    Accepted,
}

/// How a registry lists tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagPaging {
    /// Pages by `n` and `last`, with a `Link` to the next.
    Links,
    /// Pages by `n` and `last`, without a `Link`.
    Silent,
    /// All tags at once, whatever `n` is.
    AtOnce,
}
