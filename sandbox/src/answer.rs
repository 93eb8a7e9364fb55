//! An answer before it is sent: status, headers, and content that is read as it leaves.

use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::store::Content;

/// What a handler answers, or how it refuses.
pub(crate) type Handled = Result<Answer, Box<Answer>>;

/// What a handler answers; [`crate::body`] turns it into a response, with the faults that were asked for.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
    /// Where in the content the body starts.
    pub(crate) start: u64,
    /// Length of the body, also said in answer to a HEAD.
    pub(crate) length: u64,
}

impl Answer {
    pub(crate) fn new(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), content: Content::Kept(Bytes::new()), start: 0, length: 0 }
    }

    pub(crate) fn json(status: StatusCode, document: &Value) -> Self {
        Self::new(status).with(header::CONTENT_TYPE, "application/json").body(Bytes::from(document.to_string()))
    }

    /// One error in the form of the distribution-spec, "Error Codes".
    pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Self {
        Self::errors(status, &[json!({ "code": code, "message": message })])
    }

    pub(crate) fn errors(status: StatusCode, errors: &[Value]) -> Self {
        Self::json(status, &json!({ "errors": errors }))
    }

    /// Adds a header; a value that cannot be one is left out.
    pub(crate) fn with(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(crate) fn body(self, bytes: Bytes) -> Self {
        let length = bytes.len() as u64;
        self.part(Content::Kept(bytes), 0, length)
    }

    /// Answers with `length` bytes of `content` from `start`.
    pub(crate) fn part(mut self, content: Content, start: u64, length: u64) -> Self {
        (self.content, self.start, self.length) = (content, start, length);
        self
    }
}

/// Names of headers that the distribution-spec adds to HTTP.
pub(crate) mod name {
    use hyper::header::HeaderName;

    pub(crate) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
    pub(crate) const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
    pub(crate) const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
    pub(crate) const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
    pub(crate) const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
    pub(crate) const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
}
