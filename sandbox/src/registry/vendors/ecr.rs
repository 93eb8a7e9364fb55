//! ECR's `ListImages` (AWS API reference), by a JSON request to `/`.

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::super::RegistryService;
use crate::answer::{Answer, Handled};
use crate::body::RequestBody;

/// The most that ECR gives at once.
const PAGE_MAX: usize = 1000;

const LIST_IMAGES: &str = "AmazonEC2ContainerRegistry_V20150921.ListImages";

impl RegistryService {
    pub(super) async fn call_ecr(&self, head: &Parts, body: RequestBody) -> Handled {
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        if target != Some(LIST_IMAGES) {
            return Err(refused("UnknownOperationException", "no such operation"));
        }
        let body = body.whole(64 * 1024).await.unwrap_or_default();
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        let repository = asked["repositoryName"].as_str().unwrap_or_default();
        let Some(tags) = self.store.tagged(repository) else {
            return Err(refused("RepositoryNotFoundException", "the repository does not exist in the registry"));
        };
        let offset: usize = asked["nextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0);
        let asked = asked["maxResults"].as_u64().map_or_else(|| "100".to_owned(), |max| max.to_string());
        let length = self.page_length(Some(&asked), PAGE_MAX);
        let page = tags.iter().skip(offset).take(length);
        let images: Vec<_> =
            page.map(|tag| json!({ "imageTag": tag.name, "imageDigest": tag.digest.as_str() })).collect();
        let mut answer = json!({ "imageIds": images });
        if tags.len() > offset + length {
            answer["nextToken"] = (offset + length).to_string().into();
        }
        Ok(Answer::json(StatusCode::OK, &answer))
    }
}

fn refused(kind: &str, message: &str) -> Box<Answer> {
    Answer::json(StatusCode::BAD_REQUEST, &json!({ "__type": kind, "message": message })).into()
}
