//! Manifests: asked for, read and written byte for byte.

use proto::manifest::{ManifestError, media_type};
use proto::{Digest, Manifest, Reference, Repository, limits};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};

use crate::client::Client;
use crate::error::{Error, Kind};
use crate::transport::{Purpose, Registry};
use crate::wire::{Answer, Request};

/// The header by which registries name the digest of what they send or took.
const CONTENT_DIGEST: &str = "Docker-Content-Digest";

/// What a `HEAD` says of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// Its digest.
    pub digest: Digest,
    /// Its media type, if the registry says it.
    pub media_type: Option<String>,
    /// Its length in bytes, if the registry says it.
    pub size: Option<u64>,
}

/// What became of a manifest that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reread {
    /// It is still the same.
    Same,
    /// Another one is there.
    Other(Box<Manifest>),
    /// Nothing is there.
    Gone,
}

/// What a registry says to a manifest that it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutAnswer {
    /// The digest under which it keeps the manifest, if it says so: then it is that of the manifest.
    pub digest: Option<Digest>,
}

impl Client {
    /// Asks for a manifest without reading it (distribution-spec, end-3); none if the registry has no such one. Where
    /// the answer names no digest, the manifest is read.
    ///
    /// # Errors
    /// See [`Kind`]; `Corrupt` if another digest is named than was asked for.
    pub async fn head_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Option<ManifestHead>, Error> {
        let registry = self.registry(repository).await?;
        let request = request(&registry, Method::HEAD, repository, reference).await?;
        let answer = match registry.call(&request, &Purpose::pull(repository)).await {
            Ok(answer) => answer,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        note_conditional(&registry, &answer);
        let digest = match (named_digest(&answer)?, reference) {
            (Some(named), Reference::Digest(asked)) if named.algorithm() == asked.algorithm() && named != *asked => {
                return Err(answer.error(Kind::Corrupt).because(format!("the registry names `{named}`")));
            }
            (_, Reference::Digest(asked)) => asked.clone(),
            (Some(named), Reference::Tag(_)) => named,
            (None, Reference::Tag(_)) => match self.manifest(repository, reference).await {
                Ok(manifest) => manifest.digest,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let media_type =
            answer.text(CONTENT_TYPE.as_str()).map(|text| text.split(';').next().unwrap_or(text).trim().to_owned());
        let size = answer.text(CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
        Ok(Some(ManifestHead { digest, media_type, size }))
    }

    /// Reads a manifest (distribution-spec, end-3). Its bytes have the digest that was asked for, and the one that the
    /// registry names.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt` (not the digest, or not readable), `Unsupported` (too large, or of a form that is not
    /// copied), and those of any request.
    pub async fn manifest(&self, repository: &Repository, reference: &Reference) -> Result<Manifest, Error> {
        let registry = self.registry(repository).await?;
        let request = request(&registry, Method::GET, repository, reference).await?;
        let purpose = Purpose::pull(repository);
        registry.retried(async || read(registry.call_once(&request, &purpose).await?, reference).await).await
    }

    /// Reads a manifest unless it is still `known` (RFC 9110, 13.1.2): one request, whatever came of it. Registries that
    /// count reads count this one.
    ///
    /// # Errors
    /// Those of [`Client::manifest`].
    pub async fn manifest_unless(
        &self,
        repository: &Repository,
        reference: &Reference,
        known: &Digest,
    ) -> Result<Reread, Error> {
        let registry = self.registry(repository).await?;
        let etag = HeaderValue::from_str(&format!("\"{known}\""))
            .map_err(|error| Error::new(Kind::Internal, "name what is known").caused_by(error))?;
        let request = request(&registry, Method::GET, repository, reference).await?.header(IF_NONE_MATCH, etag);
        let purpose = Purpose::pull(repository);
        let reread = async || {
            let answer = registry.call_once(&request, &purpose).await?;
            if answer.status() == 304 {
                // It may name what it has, and then that counts.
                let is_known = named_digest(&answer)?.is_none_or(|named| named == *known);
                return if is_known { Ok(Reread::Same) } else { Err(answer.error(Kind::Corrupt)) };
            }
            Ok(Reread::Other(Box::new(read(answer, reference).await?)))
        };
        match registry.retried(reread).await {
            Ok(Reread::Other(manifest)) if manifest.digest == *known => {
                registry.learned.note(|learned| learned.conditional = Some(false));
                Ok(Reread::Same)
            }
            Ok(Reread::Same) => {
                registry.learned.note(|learned| learned.conditional = Some(true));
                Ok(Reread::Same)
            }
            Err(error) if error.is_not_found() => Ok(Reread::Gone),
            answered => answered,
        }
    }

    /// Writes a manifest under a tag or under its digest (distribution-spec, end-7), with exactly its bytes. If it has
    /// a subject and the registry has no referrers API, the fallback tag of the subject is brought up to date.
    ///
    /// # Errors
    /// `Refused` with the registry's own code if it does not want the manifest, `Corrupt` if it keeps it under
    /// another digest, and those of any request.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<PutAnswer, Error> {
        let (answer, lists_referrers) = self.put_only(repository, reference, manifest).await?;
        if let Some(subject) = &manifest.subject
            && !lists_referrers
        {
            self.note_referrer(repository, &subject.digest, manifest).await?;
        }
        Ok(answer)
    }

    /// Writes a manifest; says also whether the registry took note of its subject.
    pub(crate) async fn put_only(
        &self,
        repository: &Repository,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<(PutAnswer, bool), Error> {
        let registry = self.registry(repository).await?;
        let url = registry.url(&format!("/v2/{}/manifests/{reference}", repository.path())).await?;
        let kind = HeaderValue::from_str(&manifest.media_type)
            .map_err(|error| Error::new(Kind::Internal, "name the manifest's media type").caused_by(error))?;
        let mut request = Request::new(Method::PUT, url).header(CONTENT_TYPE, kind);
        request.body = manifest.raw.clone();
        let purpose = Purpose::push(repository);
        let answer = registry.retried(async || registry.call_once(&request, &purpose).await.map_err(misread)).await?;
        let digest = named_digest(&answer)?;
        if let Some(kept) = digest.as_ref().filter(|kept| !kept.matches(&manifest.raw)) {
            return Err(answer.error(Kind::Corrupt).because(format!("the registry keeps it as `{kept}`")));
        }
        Ok((PutAnswer { digest }, answer.headers().contains_key("OCI-Subject")))
    }
}

/// Whether it is worth a try to read manifests by `If-None-Match`: only where the tag of the content is its digest is
/// it known what to ask for.
fn note_conditional(registry: &Registry, answer: &Answer) {
    let tag = answer.text(ETAG.as_str()).map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
    let names_digest = tag.is_some_and(|tag| answer.text(CONTENT_DIGEST) == Some(tag));
    if names_digest && registry.learned.get().conditional.is_none() {
        registry.learned.note(|learned| learned.conditional = Some(true));
    }
}

/// Our digest is right, so one that is called wrong may pass: distribution answers so while somebody else puts the same
/// content into the repository, since it then reads a file that is just being written.
fn misread(error: Error) -> Error {
    if error.status() == Some(400) && error.code() == Some("DIGEST_INVALID") {
        return error.with_kind(Kind::Unavailable).hinting("does something else push the same image now?");
    }
    error
}

async fn request(
    registry: &Registry,
    method: Method,
    repository: &Repository,
    reference: &Reference,
) -> Result<Request, Error> {
    let url = registry.url(&format!("/v2/{}/manifests/{reference}", repository.path())).await?;
    let accept = HeaderValue::from_str(&media_type::ACCEPTED.join(", "))
        .map_err(|error| Error::new(Kind::Internal, "list the media types").caused_by(error))?;
    Ok(Request::new(method, url).header(ACCEPT, accept))
}

async fn read(mut answer: Answer, reference: &Reference) -> Result<Manifest, Error> {
    let raw = answer.bytes(limits::MANIFEST_BYTES_MAX).await?;
    let manifest = Manifest::parse(raw.clone(), answer.text(CONTENT_TYPE.as_str()));
    // First of all, since a registry names another digest for these forms than that of their bytes.
    if let Err(error @ ManifestError::Unsupported(_)) = manifest {
        return Err(answer.error(Kind::Unsupported).caused_by(error));
    }
    let asked = match reference {
        Reference::Digest(digest) => Some(digest.clone()),
        Reference::Tag(_) => None,
    };
    for expected in asked.into_iter().chain(named_digest(&answer)?) {
        if !expected.matches(&raw) {
            return Err(answer.error(Kind::Corrupt).because(format!("the manifest is not `{expected}`")));
        }
    }
    manifest.map_err(|error| {
        let kind = if matches!(error, ManifestError::Malformed(_)) { Kind::Corrupt } else { Kind::Unsupported };
        answer.error(kind).caused_by(error)
    })
}

/// The digest in the answer's header.
///
/// # Errors
/// `Refused`: there is one that is none. To go on as if it was not there would be to check less than was offered.
fn named_digest(answer: &Answer) -> Result<Option<Digest>, Error> {
    match answer.headers().get(CONTENT_DIGEST) {
        None => Ok(None),
        Some(value) => match value.to_str().ok().and_then(|text| text.trim().parse().ok()) {
            Some(digest) => Ok(Some(digest)),
            None => Err(answer.error(Kind::Refused).because(format!("`{CONTENT_DIGEST}` is not a digest"))),
        },
    }
}
