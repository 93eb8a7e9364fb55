//! From a request to the handler that answers it, and to the rights it needs.

use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use proto::Digest;
use tokio::time::Instant;
use url::form_urlencoded;

use super::RegistryService;
use super::vendors::Call;
use crate::answer::{Answer, Handled, name};
use crate::auth::Need;
use crate::body::RequestBody;
use crate::serve::Service;

/// Where registries of Azure take access tokens.
const EXCHANGE: &str = "/oauth2/exchange";

/// What a path names (distribution-spec, "Endpoints").
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    Ping,
    Catalog,
    Tags { repository: &'a str },
    Manifest { repository: &'a str, reference: &'a str },
    Blob { repository: &'a str, digest: &'a str },
    Uploads { repository: &'a str },
    Upload { repository: &'a str, id: &'a str },
    Referrers { repository: &'a str, digest: &'a str },
}

impl<'a> Route<'a> {
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let rest = match path {
            "/v2" | "/v2/" => return Some(Self::Ping),
            "/v2/_catalog" => return Some(Self::Catalog),
            _ => path.strip_prefix("/v2/")?,
        };
        // Names of repositories have slashes, so paths are read from their end.
        if let Some(repository) = rest.strip_suffix("/tags/list") {
            return Some(Self::Tags { repository });
        }
        if let Some(repository) = rest.strip_suffix("/blobs/uploads/").or(rest.strip_suffix("/blobs/uploads")) {
            return Some(Self::Uploads { repository });
        }
        let (above, last) = rest.rsplit_once('/')?;
        if let Some(repository) = above.strip_suffix("/blobs/uploads") {
            return Some(Self::Upload { repository, id: last });
        }
        match above.rsplit_once('/')? {
            (repository, "manifests") => Some(Self::Manifest { repository, reference: last }),
            (repository, "blobs") => Some(Self::Blob { repository, digest: last }),
            (repository, "referrers") => Some(Self::Referrers { repository, digest: last }),
            _ => None,
        }
    }

    fn repository(&self) -> Option<&'a str> {
        match *self {
            Self::Ping | Self::Catalog => None,
            Self::Tags { repository }
            | Self::Manifest { repository, .. }
            | Self::Blob { repository, .. }
            | Self::Uploads { repository }
            | Self::Upload { repository, .. }
            | Self::Referrers { repository, .. } => Some(repository),
        }
    }

    fn needs(&self, method: &Method) -> Vec<Need<'a>> {
        let Some(repository) = self.repository() else { return Vec::new() };
        let is_upload = matches!(self, Self::Uploads { .. } | Self::Upload { .. });
        let actions: &[&'static str] = match *method {
            Method::DELETE if !is_upload => &["delete"],
            Method::GET | Method::HEAD if !is_upload => &["pull"],
            _ => &["pull", "push"],
        };
        actions.iter().map(|action| Need { repository, action }).collect()
    }
}

/// The query of a request.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(head: &Parts) -> Self {
        Self(form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect())
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

impl Service for RegistryService {
    fn admit(&self, head: &Parts) -> Result<(), Box<Answer>> {
        if let Some(bucket) = self.rate_limit().as_mut() {
            bucket.take(Instant::now())?;
        }
        if let Some(call) = Call::parse(self.features().vendor, head) {
            return self.admit_call(&call, head);
        }
        if self.exchange.is_some() && head.uri.path() == EXCHANGE {
            return Ok(());
        }
        let route = Route::parse(head.uri.path());
        let mut needs = route.as_ref().map(|route| route.needs(&head.method)).unwrap_or_default();
        let query = Query::of(head);
        if let (Some(Route::Uploads { .. }), Some(from), Some(_)) = (&route, query.get("from"), query.get("mount")) {
            needs.push(Need { repository: from, action: "pull" });
        }
        let described = |refused: Box<Answer>| Box::new(refused.with(name::API_VERSION, "registry/2.0"));
        self.door.admit(head, &needs).map_err(described)
    }

    async fn answer(&self, head: &Parts, body: RequestBody) -> Answer {
        if let Some(call) = Call::parse(self.features().vendor, head) {
            return self.answer_call(&call, head, body).await.unwrap_or_else(|refused| *refused);
        }
        if let Some(exchange) = self.exchange.as_ref().filter(|_| head.uri.path() == EXCHANGE) {
            return exchange.answer(&body.whole(64 * 1024).await.unwrap_or_default());
        }
        let answer = match Route::parse(head.uri.path()) {
            Some(route) if !route.repository().is_none_or(is_name) => {
                Answer::error(StatusCode::BAD_REQUEST, "NAME_INVALID", "invalid repository name")
            }
            Some(route) => self.route(&route, head, body).await.unwrap_or_else(|refused| *refused),
            None => Answer::error(StatusCode::NOT_FOUND, "UNSUPPORTED", "no such endpoint"),
        };
        answer.with(name::API_VERSION, "registry/2.0")
    }
}

impl RegistryService {
    async fn route(&self, route: &Route<'_>, head: &Parts, body: RequestBody) -> Handled {
        let query = Query::of(head);
        match (route, head.method.as_str()) {
            (Route::Ping, "GET" | "HEAD") => Ok(Answer::json(StatusCode::OK, &serde_json::json!({}))),
            (Route::Catalog, "GET") => self.list_repositories(&query),
            (Route::Tags { repository }, "GET") => self.list_tags(repository, &query),
            (Route::Referrers { repository, digest }, "GET") => self.list_referrers(repository, digest, &query),
            (Route::Manifest { repository, reference }, "GET" | "HEAD") => {
                self.get_manifest(repository, reference, head)
            }
            (Route::Manifest { repository, reference }, "PUT") => {
                self.put_manifest(repository, reference, head, body).await
            }
            (Route::Manifest { repository, reference }, "DELETE") => self.delete_manifest(repository, reference),
            (Route::Blob { repository, digest }, "GET" | "HEAD") => self.get_blob(repository, digest, head),
            (Route::Blob { repository, digest }, "DELETE") => self.delete_blob(repository, digest),
            (Route::Uploads { repository }, "POST") => self.start_upload(repository, head, &query, body).await,
            (Route::Upload { repository, id }, "GET") => self.upload_status(repository, id).await,
            (Route::Upload { repository, id }, "PATCH") => self.take_chunk(repository, id, head, body).await,
            (Route::Upload { repository, id }, "PUT") => self.end_upload(repository, id, head, &query, body).await,
            (Route::Upload { repository, id }, "DELETE") => self.cancel_upload(repository, id),
            _ => Err(unsupported().into()),
        }
    }
}

pub(super) fn unsupported() -> Answer {
    Answer::error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported")
}

pub(super) fn parse_digest(text: &str) -> Result<Digest, Box<Answer>> {
    let invalid = |_| Answer::error(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "invalid digest").into();
    text.parse().map_err(invalid)
}

fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let is_ok = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        part.bytes().all(is_ok) && part.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
    };
    name.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_from_their_end() {
        assert_eq!(Route::parse("/v2/"), Some(Route::Ping));
        let tags = Route::Tags { repository: "a/manifests/b" };
        assert_eq!(Route::parse("/v2/a/manifests/b/tags/list"), Some(tags));
        let upload = Route::Upload { repository: "a/b", id: "7" };
        assert_eq!(Route::parse("/v2/a/b/blobs/uploads/7"), Some(upload));
        let blob = Route::Blob { repository: "a", digest: "sha256:0" };
        assert_eq!(Route::parse("/v2/a/blobs/sha256:0"), Some(blob));
        assert_eq!(Route::parse("/v2/a"), None);
        assert_eq!(Route::parse("/v1/a/tags/list"), None);
    }

    #[test]
    fn names_in_upper_case_or_with_empty_parts_are_refused() {
        assert!(is_name("library/alpine_1.x"));
        for name in ["Library", "a//b", "", "-a", "a/"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
