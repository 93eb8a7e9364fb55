//! Requests to AWS with the identity that the environment names.

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;

use crate::error::{Error, Kind};
use crate::options::Env;
use crate::wire::{Request, Wire};

/// Answers of listings.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A service of AWS.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Service {
    /// Registries of images.
    Ecr,
}

/// Calls `target` of a service.
///
/// # Errors
/// `Unauthorized`: there is no identity; and those of any request.
pub(crate) async fn call(
    wire: &Wire,
    env: &Env,
    region: &str,
    service: Service,
    target: &str,
    body: Value,
) -> Result<Value, Error> {
    let Service::Ecr = service;
    if env.get("AWS_ACCESS_KEY_ID").is_none() {
        return Err(Error::new(Kind::Unauthorized, "find an identity of AWS"));
    }
    let endpoint =
        env.get("AWS_ENDPOINT_URL_ECR").unwrap_or_else(|| format!("https://api.ecr.{region}.amazonaws.com/"));
    let url = Url::parse(&endpoint)
        .map_err(|error| Error::new(Kind::Refused, "read the URL of ECR's API").caused_by(error))?;
    let target = HeaderValue::from_str(target)
        .map_err(|error| Error::new(Kind::Internal, "name an action of AWS").caused_by(error))?;
    let mut request = Request::new(Method::POST, url)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"))
        .header(HeaderName::from_static("x-amz-target"), target);
    request.body = body.to_string().into();
    let mut answer = wire.send(&request, None).await?.ok().await?;
    let bytes = answer.bytes(ANSWER_BYTES_MAX).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| answer.error(Kind::Refused).because("the answer is not readable").caused_by(error))
}
