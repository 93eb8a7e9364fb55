//! What vendors offer beside the specification to list tags with their digests, each in its own shape.

mod ecr;
mod gcr;
mod harbor;
mod hub;
mod quay;
mod zot;

use hyper::StatusCode;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;

use super::routes::Query;
use super::{RegistryService, Vendor};
use crate::answer::{Answer, Handled};
use crate::auth::Need;
use crate::body::RequestBody;
use crate::store::Tagged;

/// The most that a vendor gives at once.
const PAGE_MAX: usize = 100;

/// What a path names at a vendor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    HarborProject(String),
    HarborArtifacts(String),
    QuayDiscovery,
    QuayTags(String),
    ZotExtensions,
    ZotSearch,
    HubTags(String),
    Ecr,
}

impl Call {
    pub(super) fn parse(vendor: Vendor, head: &Parts) -> Option<Self> {
        let path = head.uri.path();
        match vendor {
            Vendor::Plain | Vendor::Gcr => None,
            Vendor::Harbor => {
                let path = path.strip_prefix("/api/v2.0/projects/")?;
                let Some((project, rest)) = path.split_once('/') else {
                    return Some(Self::HarborProject(path.to_owned()));
                };
                let name = rest.strip_prefix("repositories/")?.strip_suffix("/artifacts")?;
                Some(Self::HarborArtifacts(format!("{project}/{}", name.replace("%252F", "/"))))
            }
            Vendor::Quay if path == "/api/v1/discovery" => Some(Self::QuayDiscovery),
            Vendor::Quay => {
                let path = path.strip_prefix("/api/v1/repository/")?.strip_suffix("/tag/")?;
                Some(Self::QuayTags(path.to_owned()))
            }
            Vendor::Zot => match path {
                "/v2/_oci/ext/discover" => Some(Self::ZotExtensions),
                "/v2/_zot/ext/search" => Some(Self::ZotSearch),
                _ => None,
            },
            Vendor::Hub => {
                let path = path.strip_prefix("/v2/repositories/")?.strip_suffix("/tags")?;
                Some(Self::HubTags(path.to_owned()))
            }
            Vendor::Ecr => (path == "/" && head.headers.contains_key("x-amz-target")).then_some(Self::Ecr),
        }
    }
}

impl RegistryService {
    pub(super) fn admit_call(&self, call: &Call, head: &Parts) -> Result<(), Box<Answer>> {
        let is_anonymous = !head.headers.contains_key(AUTHORIZATION);
        match call {
            Call::HarborProject(project) => self.door.admit_by_password(head, &format!("{project}/")),
            Call::HarborArtifacts(repository) => self.door.admit_by_password(head, repository),
            Call::ZotSearch => {
                let query = Query::of(head);
                let repository = zot::repository(query.get("query").unwrap_or_default()).unwrap_or_default();
                self.door.admit(head, &[Need { repository, action: "pull" }])
            }
            Call::QuayDiscovery | Call::ZotExtensions | Call::Ecr => Ok(()),
            Call::QuayTags(repository) if is_anonymous && self.door.lets_anyone_pull(repository) => Ok(()),
            Call::QuayTags(_) => {
                Err(Answer::error(StatusCode::UNAUTHORIZED, "insufficient_scope", "Requires authentication").into())
            }
            Call::HubTags(repository) if is_anonymous && self.door.lets_anyone_pull(repository) => Ok(()),
            Call::HubTags(_) => Err(hub::not_found()),
        }
    }

    pub(super) async fn answer_call(&self, call: &Call, head: &Parts, body: RequestBody) -> Handled {
        let query = Query::of(head);
        match call {
            Call::HarborProject(project) => Ok(harbor::project(project, &self.features())),
            Call::HarborArtifacts(repository) => self.list_artifacts(repository, &query),
            Call::QuayDiscovery => Ok(quay::discovery()),
            Call::QuayTags(repository) => self.list_quay_tags(repository, &query),
            Call::ZotExtensions => Ok(zot::extensions()),
            Call::ZotSearch => self.search(query.get("query").unwrap_or_default()),
            Call::HubTags(repository) => self.list_hub_tags(repository, &query),
            Call::Ecr => self.call_ecr(head, body).await,
        }
    }

    /// How many of `asked` a vendor gives at once.
    fn page_length(&self, asked: Option<&str>, max: usize) -> usize {
        let asked = asked.and_then(|asked| asked.parse().ok()).unwrap_or(10);
        asked.min(max).min(self.features().page_max.unwrap_or(max)).max(1)
    }
}

/// Which page, from 1 on.
fn page_number(query: &Query) -> usize {
    query.get("page").and_then(|page| page.parse().ok()).unwrap_or(1).max(1)
}

/// The entries on a page, and whether there are more.
fn cut<T>(entries: Vec<T>, number: usize, length: usize) -> (Vec<T>, bool) {
    let has_next = entries.len() > number * length;
    (entries.into_iter().skip((number - 1) * length).take(length).collect(), has_next)
}

/// What was set last comes first.
fn newest_first(mut tagged: Vec<Tagged>) -> Vec<Tagged> {
    tagged.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.name.cmp(&b.name)));
    tagged
}

/// Whether cosign put it there, for something else.
fn is_sidecar(tag: &Tagged) -> bool {
    tag.name.starts_with("sha256-") && [".sig", ".att", ".sbom"].iter().any(|suffix| tag.name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(vendor: Vendor, path: &str) -> Option<Call> {
        let request = hyper::Request::get(path).body(()).unwrap();
        Call::parse(vendor, &request.into_parts().0)
    }

    #[test]
    fn a_vendors_paths_are_its_own() {
        let artifacts = "/api/v2.0/projects/a/repositories/b%252Fc/artifacts";
        assert_eq!(call(Vendor::Harbor, artifacts), Some(Call::HarborArtifacts("a/b/c".into())));
        assert_eq!(call(Vendor::Plain, artifacts), None);
        let proxied = "http://hub.docker.com/v2/repositories/library/alpine/tags?page=2";
        assert_eq!(call(Vendor::Hub, proxied), Some(Call::HubTags("library/alpine".into())));
        assert_eq!(call(Vendor::Hub, "/v2/library/alpine/tags/list"), None);
        assert_eq!(call(Vendor::Quay, "/api/v1/repository/a/b/tag/"), Some(Call::QuayTags("a/b".into())));
    }

    #[test]
    fn pages_end_with_the_last_entry() {
        assert_eq!(cut(vec![1, 2, 3, 4], 1, 2), (vec![1, 2], true));
        assert_eq!(cut(vec![1, 2, 3, 4], 2, 2), (vec![3, 4], false));
        assert_eq!(cut(vec![1], 9, 2), (vec![], false));
    }
}
