//! Manifests: HEAD, GET, PUT, DELETE by tag or digest; bytes are kept as sent (distribution-spec, end-3, end-7, end-9).

use std::collections::BTreeSet;

use hyper::http::request::Parts;
use hyper::{Method, StatusCode, header};
use proto::manifest::media_type;
use proto::{Digest, limits};
use serde_json::{Value, json};

use super::routes::unsupported;
use super::{Features, Missing, RegistryService};
use crate::answer::{Answer, Handled, name};
use crate::body::RequestBody;
use crate::store::StoredManifest;

impl RegistryService {
    pub(super) fn get_manifest(&self, repository: &str, reference: &str, head: &Parts) -> Handled {
        let pull = self.count_pull(head.method == Method::GET)?;
        Ok(pull.describe(self.find_manifest(repository, reference, head)))
    }

    fn find_manifest(&self, repository: &str, reference: &str, head: &Parts) -> Answer {
        let digest = reference.parse().ok().or_else(|| self.store.tag(repository, reference));
        let found = digest.and_then(|digest| Some((self.store.manifest(repository, &digest)?, digest)));
        let Some((manifest, digest)) = found else { return unknown() };
        let features = self.features();
        if features.strict_accept && !accepts(head, &manifest.media_type) {
            return unknown();
        }
        let etag = format!("\"{digest}\"");
        let if_none_match = head.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let is_known = if_none_match.is_some_and(|known| known.contains(digest.as_str()) || known == "*");
        let answer = if features.conditional && is_known {
            Answer::new(StatusCode::NOT_MODIFIED)
        } else {
            Answer::new(StatusCode::OK).body(manifest.raw).with(header::CONTENT_TYPE, manifest.media_type)
        };
        let answer = if features.conditional { answer.with(header::ETAG, etag) } else { answer };
        let says_digest = features.head_digest || head.method == Method::GET;
        if says_digest { answer.with(name::DIGEST, digest.as_str()) } else { answer }
    }

    pub(super) async fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        head: &Parts,
        body: RequestBody,
    ) -> Handled {
        let too_large =
            || Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID", "manifest too large or cut");
        let raw = body.whole(limits::MANIFEST_BYTES_MAX).await.ok_or_else(too_large)?;
        let document: Value = serde_json::from_slice(&raw).map_err(|_| invalid("not JSON"))?;
        let features = self.features();
        let media_type = check_media_type(&document, head, &features)?;
        let by_digest = reference.parse::<Digest>().ok();
        let digest = match &by_digest {
            Some(digest) if digest.matches(&raw) => digest.clone(),
            Some(_) => return Err(bad("DIGEST_INVALID", "digest did not match content")),
            None if is_tag(reference) => Digest::of(&raw),
            None => return Err(bad("TAG_INVALID", "neither a tag nor a digest")),
        };
        self.check_references(repository, &document, features.missing)?;
        self.store.insert_manifest(repository, &digest, StoredManifest { media_type, raw });
        if by_digest.is_none() {
            self.store.put_tag(repository, reference, &digest);
        }
        let answer = Answer::new(StatusCode::CREATED).with(name::DIGEST, digest.as_str());
        let answer = answer.with(header::LOCATION, format!("/v2/{repository}/manifests/{digest}"));
        Ok(match document["subject"]["digest"].as_str().filter(|_| features.referrers && features.subject_header) {
            Some(subject) => answer.with(name::SUBJECT, subject),
            None => answer,
        })
    }

    /// DELETE: a tag alone, or a manifest with all its tags.
    pub(super) fn delete_manifest(&self, repository: &str, reference: &str) -> Handled {
        if !self.features().deletion {
            return Err(unsupported().into());
        }
        let deleted = match reference.parse::<Digest>() {
            Ok(digest) => self.store.delete_manifest(repository, &digest),
            Err(_) => self.store.delete_tag(repository, reference),
        };
        if deleted { Ok(Answer::new(StatusCode::ACCEPTED)) } else { Err(unknown().into()) }
    }

    /// Refuses a document that names content which is not there.
    fn check_references(&self, repository: &str, document: &Value, missing: Missing) -> Result<(), Box<Answer>> {
        let list = |key: &str| document[key].as_array().cloned().unwrap_or_default();
        let mut lacking = BTreeSet::new();
        for blob in list("layers").iter().chain(document.get("config")) {
            let digest = digest_of(blob)?;
            let is_foreign = blob["urls"].as_array().is_some_and(|urls| !urls.is_empty());
            if !is_foreign && !self.store.has_blob(repository, &digest) {
                lacking.insert(digest);
            }
        }
        for child in list("manifests") {
            let digest = digest_of(&child)?;
            // A build cache lists layers here, and distribution is content with those too.
            if self.store.manifest(repository, &digest).is_none() && !self.store.has_blob(repository, &digest) {
                lacking.insert(digest);
            }
        }
        match missing {
            _ if lacking.is_empty() => Ok(()),
            Missing::Accepted => Ok(()),
            Missing::Unnamed => Err(invalid("manifest invalid")),
            Missing::Listed => {
                let error = |digest: &Digest| {
                    let detail = json!({ "Digest": digest.as_str() });
                    json!({ "code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry", "detail": detail })
                };
                let errors: Vec<_> = lacking.iter().map(error).collect();
                Err(Answer::errors(StatusCode::BAD_REQUEST, &errors).into())
            }
        }
    }
}

/// Whether the request names this media type in one of its `Accept` headers.
fn accepts(head: &Parts, media_type: &str) -> bool {
    let lists = head.headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let mut named = lists.flat_map(|list| list.split(',')).map(|part| part.split(';').next().unwrap_or(part).trim());
    named.any(|named| named == media_type || named == "*/*")
}

fn digest_of(descriptor: &Value) -> Result<Digest, Box<Answer>> {
    let digest = descriptor["digest"].as_str().and_then(|text| text.parse().ok());
    digest.ok_or_else(|| invalid("a descriptor has no valid digest"))
}

fn unknown() -> Answer {
    Answer::error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown to registry")
}

fn invalid(message: &str) -> Box<Answer> {
    bad("MANIFEST_INVALID", message)
}

fn bad(code: &str, message: &str) -> Box<Answer> {
    Answer::error(StatusCode::BAD_REQUEST, code, message).into()
}

/// The media type of a manifest: the header's, which must agree with the document's.
fn check_media_type(document: &Value, head: &Parts, features: &Features) -> Result<String, Box<Answer>> {
    let sent = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let sent = sent.map(|value| value.split(';').next().unwrap_or(value).trim());
    let said = document["mediaType"].as_str();
    if sent.zip(said).is_some_and(|(sent, said)| sent != said) {
        return Err(invalid("the media types of header and document differ"));
    }
    let media_type = sent.or(said).unwrap_or(media_type::OCI_MANIFEST);
    if !features.docker_types && media_type.starts_with("application/vnd.docker.") {
        let why = "unsupported media type";
        return Err(Answer::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "MANIFEST_INVALID", why).into());
    }
    Ok(media_type.to_owned())
}

/// distribution-spec, "Pulling manifests": `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}
