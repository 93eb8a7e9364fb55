//! Referrers: what points to a manifest (signatures, SBOMs, attestations), by the API or by the fallback tag.

use proto::content::{ReferrerKind, Referrers};
use proto::manifest::media_type;
use proto::task::Sidecars;
use proto::{Descriptor, Digest, Manifest, Reference, Repository, Tag, limits};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::{Error, Kind};
use crate::pages;
use crate::transport::{Purpose, Registry};
use crate::wire::Request;

/// How often a fallback index is written again because somebody else wrote at the same time.
const FALLBACK_TRIES: usize = 5;

/// The tag under which referrers of `subject` are listed where there is no API (distribution-spec, "Referrers Tag
/// Schema").
pub fn fallback_tag(subject: &Digest) -> Option<Tag> {
    let hex = &subject.hex()[..subject.hex().len().min(64)];
    format!("{}-{hex}", subject.algorithm()).parse().ok()
}

/// The tags under which cosign keeps what of `wanted` refers to `subject`.
pub fn cosign_tags(subject: &Digest, wanted: &Referrers) -> Vec<Tag> {
    let kinds = ReferrerKind::ALL.iter().filter(|kind| wanted.wants(**kind));
    let names = kinds.map(|kind| format!("{}-{}.{}", subject.algorithm(), subject.hex(), kind.cosign_suffix()));
    names.filter_map(|name| name.parse().ok()).collect()
}

impl Client {
    /// What points to `subject` (distribution-spec, end-12a); nothing if the subject itself is not there. Not
    /// filtered: the entries of fallback tags do not always say what they are. Of each its types, digest and size; what
    /// else is noted of it may be long, and stands in the referrer itself.
    ///
    /// # Errors
    /// `Unsupported` if there are more than `limits::MANIFESTS_PER_IMAGE_MAX`, on more pages than that, or of types
    /// longer in all than `limits::MANIFEST_BYTES_MAX`, and those of any request.
    pub async fn referrers(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        self.referrers_among(repository, subject, &Sidecars::default()).await
    }

    /// The same where a listing of the repository tells its `sidecars`: a fallback tag that it does not have is not
    /// asked for.
    ///
    /// # Errors
    /// As [`referrers`](Self::referrers).
    pub async fn referrers_among(
        &self,
        repository: &Repository,
        subject: &Digest,
        sidecars: &Sidecars,
    ) -> Result<Vec<Descriptor>, Error> {
        if let Some(referrers) = self.referrers_by_api(repository, subject).await? {
            return Ok(referrers);
        }
        match fallback_tag(subject) {
            Some(tag) if sidecars.may_have(&tag) => self.referrers_by_tag(repository, subject).await,
            _ => Ok(Vec::new()),
        }
    }

    /// None if the registry does not answer the API. The first who asks finds that out for all.
    async fn referrers_by_api(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        let registry = self.registry(repository).await?;
        let mut first = None;
        let ask = async || first = Some(self.ask_for_referrers(&registry, repository, subject).await);
        registry.asked_for_referrers.get_or_init(ask).await;
        match first {
            Some(answer) => answer,
            None => self.ask_for_referrers(&registry, repository, subject).await,
        }
    }

    async fn ask_for_referrers(
        &self,
        registry: &Registry,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, Error> {
        if registry.learned.get().referrers == Some(false) {
            return Ok(None);
        }
        let mut url = Some(registry.url(&format!("/v2/{}/referrers/{subject}", repository.path())).await?);
        let (mut found, mut pages, mut bytes) = (Vec::new(), 0, 0);
        while let Some(page) = url {
            let request =
                Request::new(Method::GET, page).header(ACCEPT, HeaderValue::from_static(media_type::OCI_INDEX));
            let page = registry.retried(|| read_page(registry, repository, &request)).await;
            let (entries, next) = match page {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(None),
                Err(error) if is_without_api(&error) => {
                    // With another code it may be about this repository only; and one that answered it once has it.
                    if matches!(error.code(), None | Some("UNSUPPORTED")) {
                        registry.learned.note(|learned| learned.referrers = learned.referrers.or(Some(false)));
                    }
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            pages += 1;
            bytes += entries.iter().map(types_bytes).sum::<usize>();
            found.extend(entries);
            // Without an end to pages, empty ones could lead in a circle.
            if found.len().max(pages) > limits::MANIFESTS_PER_IMAGE_MAX || bytes > limits::MANIFEST_BYTES_MAX {
                return Err(too_many(&registry.wire.tried(&request)));
            }
            url = next;
        }
        registry.learned.note(|learned| learned.referrers = Some(true));
        Ok(Some(found))
    }

    async fn referrers_by_tag(&self, repository: &Repository, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let Some(tag) = fallback_tag(subject) else { return Ok(Vec::new()) };
        match self.manifest(repository, &Reference::Tag(tag)).await {
            Ok(index) if index.children().len() > limits::MANIFESTS_PER_IMAGE_MAX => {
                Err(too_many(&format!("read the referrers of `{repository}@{subject}`")))
            }
            Ok(index) => Ok(index.children().iter().map(bare).collect()),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Lists `referrer` in the fallback tag of `subject`, unless the registry has the API or it is listed already.
    /// Other entries stay as they are. In this process one writer at a time; against others, what was written is read
    /// back and written again if it was lost.
    pub(crate) async fn note_referrer(
        &self,
        repository: &Repository,
        subject: &Digest,
        referrer: &Manifest,
    ) -> Result<(), Error> {
        if self.referrers_by_api(repository, subject).await?.is_some() {
            return Ok(());
        }
        let Some(tag) = fallback_tag(subject) else { return Ok(()) };
        let tag = Reference::Tag(tag);
        let lock = self.subject(repository, subject);
        let _only_writer = lock.lock().await;
        for _ in 0..FALLBACK_TRIES {
            let index = match self.manifest(repository, &tag).await {
                Ok(index) if index.children().iter().any(|entry| entry.digest == referrer.digest) => return Ok(()),
                Ok(index) => Some(index),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            };
            self.put_only(repository, &tag, &with_entry(index.as_ref(), referrer)?).await?;
        }
        Err(Error::new(Kind::Refused, format!("list a referrer under `{repository}:{tag}`"))
            .because(format!("it was lost {FALLBACK_TRIES} times: others write at the same time")))
    }
}

/// One page of the API, and where the next one is; none if the answer is no list of referrers: some servers have a
/// page for people there.
async fn read_page(
    registry: &Registry,
    repository: &Repository,
    request: &Request,
) -> Result<Option<(Vec<Descriptor>, Option<Url>)>, Error> {
    let mut answer = registry.call_once(request, &Purpose::pull(repository)).await?;
    if !answer.text(CONTENT_TYPE.as_str()).unwrap_or_default().starts_with(media_type::OCI_INDEX) {
        return Ok(None);
    }
    let raw = answer.bytes(limits::MANIFEST_BYTES_MAX).await?;
    let index = Manifest::parse(raw, Some(media_type::OCI_INDEX)).map_err(|error| {
        answer.error(Kind::Refused).because("the list of referrers is not readable").caused_by(error)
    })?;
    Ok(Some((index.children().iter().map(bare).collect(), pages::next(&answer, &request.url)?)))
}

/// Without what others noted.
fn bare(entry: &Descriptor) -> Descriptor {
    let bare = Descriptor::new(entry.media_type.clone(), entry.digest.clone(), entry.size);
    Descriptor { artifact_type: entry.artifact_type.clone(), ..bare }
}

fn types_bytes(entry: &Descriptor) -> usize {
    entry.media_type.len() + entry.artifact_type.as_ref().map_or(0, String::len)
}

/// Whether an error of the API means that there is none; a token service that fails is another matter.
fn is_without_api(error: &Error) -> bool {
    matches!(error.kind(), Kind::NotFound | Kind::Refused)
        && matches!(error.status(), Some(400 | 404 | 405 | 406 | 501))
}

/// The index with `referrer` added, all that it holds kept as it is.
fn with_entry(index: Option<&Manifest>, referrer: &Manifest) -> Result<Manifest, Error> {
    let failed = || Error::new(Kind::Internal, "add to a list of referrers");
    let empty = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [] });
    let mut document: Value = match index {
        Some(index) => serde_json::from_slice(&index.raw).map_err(|error| failed().caused_by(error))?,
        None => empty,
    };
    let mut entry = referrer.descriptor();
    entry.artifact_type.clone_from(&referrer.artifact_type);
    entry.annotations.clone_from(&referrer.annotations);
    let entry = serde_json::to_value(entry).map_err(|error| failed().caused_by(error))?;
    let Some(entries) = document.get_mut("manifests").and_then(Value::as_array_mut) else {
        let occupied = Error::new(Kind::Refused, "add to a list of referrers");
        return Err(occupied.because("the fallback tag does not hold an index"));
    };
    entries.push(entry);
    Manifest::parse(document.to_string().into(), Some(media_type::OCI_INDEX)).map_err(|error| failed().caused_by(error))
}

fn too_many(tried: &str) -> Error {
    Error::new(Kind::Unsupported, tried)
        .because(format!("more than {} referrers, or larger than they may be", limits::MANIFESTS_PER_IMAGE_MAX))
}
