//! ECR: signed requests to its API, and from there user and password for 12 hours.

mod keys;
mod sigv4;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use proto::Host;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::ask::{ask_json, name, service_url, unreadable};
use super::kept::{Kept, Lease};
use super::{Doors, check_host};
use crate::auth::credentials::{Credentials, Found};
use crate::error::{Error, Kind};
use crate::wire::Request;
use keys::Identity;

/// A registry of AWS, and the identity that speaks to it.
pub(crate) struct Aws {
    host: Host,
    doors: Doors,
    identities: Kept<Identity>,
    pub(super) logins: Kept<Found>,
}

/// The API that a registry belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Service {
    Ecr,
    EcrPublic,
}

impl Service {
    /// The name that is signed.
    fn name(self) -> &'static str {
        match self {
            Self::Ecr => "ecr",
            Self::EcrPublic => "ecr-public",
        }
    }

    /// What stands before each action in `X-Amz-Target`.
    fn target(self) -> &'static str {
        match self {
            Self::Ecr => "AmazonEC2ContainerRegistry_V20150921",
            Self::EcrPublic => "SpencerFrontendService",
        }
    }
}

/// Where the API of a registry is.
#[derive(PartialEq, Eq, Debug)]
struct Place {
    service: Service,
    region: String,
    /// Unless the environment names another.
    endpoint: String,
}

impl Place {
    /// Of `ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com[.cn]` and `public.ecr.aws`; none of others.
    fn of(host: &str) -> Option<Self> {
        if host == "public.ecr.aws" {
            let endpoint = "https://api.ecr-public.us-east-1.amazonaws.com".to_owned();
            return Some(Self { service: Service::EcrPublic, region: "us-east-1".into(), endpoint });
        }
        let (account, rest) = host.split_once(".dkr.")?;
        let (name, rest) = rest.split_once('.')?;
        let (region, domain) = rest.split_once('.')?;
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_region = region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !is_account || !is_region || !matches!(domain, "amazonaws.com" | "amazonaws.com.cn") {
            return None;
        }
        let endpoint = match name {
            "ecr" => format!("https://api.ecr.{region}.{domain}"),
            "ecr-fips" => format!("https://ecr-fips.{region}.{domain}"),
            _ => return None,
        };
        Some(Self { service: Service::Ecr, region: region.to_owned(), endpoint })
    }
}

impl Aws {
    pub(super) fn new(host: Host, doors: Doors) -> Self {
        Self { host, doors, identities: Kept::default(), logins: Kept::default() }
    }

    /// User and password for the registry.
    pub(super) async fn find(&self) -> Result<Found, Error> {
        self.logins.get(self.log_in()).await
    }

    async fn log_in(&self) -> Result<Lease<Found>, Error> {
        let place = self.place()?;
        let answer = self.call("GetAuthorizationToken", &json!({})).await?;
        let data = &answer["authorizationData"];
        // One for each registry, but a single one where there is only one registry.
        let data = if place.service == Service::Ecr { &data[0] } else { data };
        let read = || {
            let token = data["authorizationToken"].as_str()?;
            let text = String::from_utf8(STANDARD.decode(token).ok()?).ok()?;
            self.doors.note(token);
            let (username, password) = text.split_once(':')?;
            self.doors.note(password);
            Some(Credentials::Password { username: username.to_owned(), password: password.to_owned() })
        };
        let credentials = read().ok_or_else(|| {
            Error::new(Kind::Refused, format!("get a password for `{}` from {}", self.host, place.service.name()))
                .because("the answer holds none")
        })?;
        let end = data["expiresAt"].as_f64().and_then(|seconds| Timestamp::from_second(seconds as i64).ok());
        let lifetime = end.map(|end| Duration::try_from(end.duration_since(Timestamp::now())).unwrap_or_default());
        let origin = self.identity(&place).await?.origin;
        Ok(Lease { value: Found { credentials, origin }, lifetime })
    }

    /// Calls an action of the API of this registry, as in `ListImages` (JSON 1.1, signed). An identity that is not
    /// accepted any more is renewed once.
    ///
    /// # Errors
    /// What AWS says, by its code: `Forbidden` for `AccessDeniedException`, `RateLimited` for `ThrottlingException`,
    /// `NotFound` for `RepositoryNotFoundException`; and all that can go wrong with an identity.
    pub(crate) async fn call(&self, action: &str, body: &Value) -> Result<Value, Error> {
        let place = self.place()?;
        let identity = self.identity(&place).await?;
        let answer = self.send(&place, action, body, &identity).await;
        let Err(error) = &answer else { return answer };
        if !is_of_the_identity(error) {
            return answer;
        }
        self.identities.forget(|kept| *kept == identity).await;
        let other = self.identity(&place).await?;
        if other == identity { answer } else { self.send(&place, action, body, &other).await }
    }

    async fn identity(&self, place: &Place) -> Result<Identity, Error> {
        self.identities.get(keys::find(&self.doors, &place.region)).await
    }

    async fn send(&self, place: &Place, action: &str, body: &Value, identity: &Identity) -> Result<Value, Error> {
        let service = place.service;
        let variable = match service {
            Service::Ecr => "AWS_ENDPOINT_URL_ECR",
            Service::EcrPublic => "AWS_ENDPOINT_URL_ECR_PUBLIC",
        };
        let url = endpoint(&self.doors, variable, &place.endpoint)?;
        let mut request = Request::new(Method::POST, url);
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        let target = format!("{}.{action}", service.target());
        let target = HeaderValue::from_str(&target)
            .map_err(|error| Error::new(Kind::Internal, format!("name the action `{action}`")).caused_by(error))?;
        request.headers.insert(name("x-amz-target"), target);
        request.body = body.to_string().into();
        let request = sigv4::sign(request, &identity.key, &place.region, service.name(), Timestamp::now())?;
        let way = format!("{action} as {}", identity.origin);
        let answer = ask_json::<Value>(&self.doors.world, &way, &request).await.map_err(judged)?;
        if answer.is_object() { Ok(answer) } else { Err(unreadable(&self.doors.world, &way, &request)) }
    }

    fn place(&self) -> Result<Place, Error> {
        let place = Place::of(self.host.name());
        let expected = "`ACCOUNT.dkr.ecr.REGION.amazonaws.com` or `public.ecr.aws`";
        check_host(&self.host, "AWS", place.is_some(), expected)?;
        place.ok_or_else(|| Error::new(Kind::Internal, format!("read the name of `{}`", self.host)))
    }
}

/// The endpoint that the environment names, as for AWS's own programs, or `usual`.
fn endpoint(doors: &Doors, variable: &'static str, usual: &str) -> Result<reqwest::Url, Error> {
    let named = [variable, "AWS_ENDPOINT_URL"].into_iter().find_map(|name| Some((name, doors.env(name)?)));
    let (name, url) = named.unwrap_or((variable, usual.to_owned()));
    service_url(&format!("`{name}`"), &url)
}

/// The kind that the code of an error of AWS means: its statuses say little (400 for almost all).
fn judged(error: Error) -> Error {
    let (kind, hint) = match error.code().unwrap_or_default() {
        "AccessDeniedException" | "AccessDenied" | "KmsException" => {
            (Kind::Forbidden, "allow it by a policy of this identity; the message names the action")
        }
        "ThrottlingException" | "Throttling" | "TooManyRequestsException" | "RequestLimitExceeded" => {
            (Kind::RateLimited, "wait, or have the quota of this action raised")
        }
        "RepositoryNotFoundException" | "ImageNotFoundException" => {
            (Kind::NotFound, "create the repository, or correct its name")
        }
        "ExpiredTokenException" | "ExpiredToken" | "UnrecognizedClientException" | "InvalidClientTokenId" => {
            (Kind::Unauthorized, "these keys are not, or no longer, known to AWS: give the machine others")
        }
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "RequestExpired" | "IncompleteSignature" => {
            (Kind::Unauthorized, "check the secret key and this machine's clock, which must be right to five minutes")
        }
        "InvalidIdentityToken" | "ExpiredIdentityTokenException" | "IDPRejectedClaim" => {
            (Kind::Unauthorized, "the role must trust who issued the token in `AWS_WEB_IDENTITY_TOKEN_FILE`")
        }
        _ => return error,
    };
    error.with_kind(kind).hinting(hint)
}

/// Whether other keys of the same identity may do better.
fn is_of_the_identity(error: &Error) -> bool {
    error.kind() == Kind::Unauthorized && error.code().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_and_endpoint_are_read_from_the_registrys_name() {
        let place = |service, region: &str, endpoint: &str| {
            Some(Place { service, region: region.to_owned(), endpoint: endpoint.to_owned() })
        };
        for (host, expected) in [
            (
                "111122223333.dkr.ecr.eu-west-1.amazonaws.com",
                place(Service::Ecr, "eu-west-1", "https://api.ecr.eu-west-1.amazonaws.com"),
            ),
            (
                "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn",
                place(Service::Ecr, "cn-north-1", "https://api.ecr.cn-north-1.amazonaws.com.cn"),
            ),
            (
                "111122223333.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                place(Service::Ecr, "us-gov-west-1", "https://ecr-fips.us-gov-west-1.amazonaws.com"),
            ),
            (
                "public.ecr.aws",
                place(Service::EcrPublic, "us-east-1", "https://api.ecr-public.us-east-1.amazonaws.com"),
            ),
            ("1111.dkr.ecr.eu-west-1.amazonaws.com", None),
            ("111122223333.dkr.ecr.eu-west-1.amazonaws.com.evil.example", None),
            ("111122223333.dkr.ecr.evil.example/x.amazonaws.com", None),
            ("111122223333.dkr.s3.eu-west-1.amazonaws.com", None),
            ("docker.io", None),
        ] {
            assert_eq!(Place::of(host), expected, "{host}");
        }
    }
}
