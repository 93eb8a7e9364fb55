//! The keys of an identity of AWS: from the environment, a web identity, the container, or the machine's metadata.

use reqwest::{Method, Url};
use serde::Deserialize;

use super::super::ask::{ask, ask_json, element, form, hidden, machine_url, name, unreadable, until};
use super::super::kept::Lease;
use super::super::{Doors, is_nobody, needed, no_identity, read};
use super::{endpoint, judged};
use crate::error::{Error, Kind};
use crate::proxy::is_loopback;
use crate::wire::Request;

/// Where the agents of ECS and EKS listen (AWS SDKs and Tools Reference, "Container credential provider").
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/// An access key. Has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) secret: String,
    /// Of keys that end.
    pub(super) session: Option<String>,
}

/// Who we are at AWS: a key, and where it comes from in words.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) key: Key,
    pub(super) origin: String,
}

/// A key as containers and machines are told it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

impl Answer {
    fn lease(self, doors: &Doors, origin: String) -> Lease<Identity> {
        let key = Key { id: self.access_key_id, secret: self.secret_access_key, session: self.token };
        doors.note(&key.secret);
        key.session.iter().for_each(|session| doors.note(session));
        Lease { value: Identity { key, origin }, lifetime: self.expiration.and_then(|end| until(&end)) }
    }
}

/// Looks for keys in the order of AWS's own programs. A way that is named by the environment is the only one.
///
/// # Errors
/// `Unauthorized`: no way leads to keys, or the one that is named does not.
pub(super) async fn find(doors: &Doors, region: &str) -> Result<Lease<Identity>, Error> {
    if let Some(id) = doors.env("AWS_ACCESS_KEY_ID") {
        let secret_access_key = needed(doors, "AWS_SECRET_ACCESS_KEY", "log in to AWS by `AWS_ACCESS_KEY_ID`")?;
        let token = doors.env("AWS_SESSION_TOKEN");
        let answer = Answer { access_key_id: id, secret_access_key, token, expiration: None };
        return Ok(answer.lease(doors, "AWS access key in the environment variable `AWS_ACCESS_KEY_ID`".into()));
    }
    if let Some(file) = doors.env("AWS_WEB_IDENTITY_TOKEN_FILE") {
        return by_web_identity(doors, region, &file).await;
    }
    if let Some(path) = doors.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        let url = format!("http://{}{path}", AGENTS[0]);
        return by_container(doors, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", &url).await;
    }
    if let Some(url) = doors.env("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
        return by_container(doors, "AWS_CONTAINER_CREDENTIALS_FULL_URI", &url).await;
    }
    by_metadata(doors).await
}

/// A role for a token of another issuer, as that of a service account in Kubernetes (STS,
/// `AssumeRoleWithWebIdentity`).
async fn by_web_identity(doors: &Doors, region: &str, file: &str) -> Result<Lease<Identity>, Error> {
    let way = "log in to AWS by web identity";
    let role = needed(doors, "AWS_ROLE_ARN", way)?;
    let token = read("AWS_WEB_IDENTITY_TOKEN_FILE", file).await?;
    doors.note(&token);
    let region = doors.env("AWS_REGION").or_else(|| doors.env("AWS_DEFAULT_REGION")).unwrap_or(region.to_owned());
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let url = endpoint(doors, "AWS_ENDPOINT_URL_STS", &format!("https://sts.{region}.{domain}"))?;
    let session = doors.env("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "image-factory".into());
    let request = form(
        url,
        &[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &role),
            ("RoleSessionName", &session),
            ("WebIdentityToken", &token),
        ],
    );
    let body = ask(&doors.world, way, &request).await.map_err(judged)?;
    let text = String::from_utf8_lossy(&body);
    let read = || {
        Some(Answer {
            access_key_id: element(&text, "AccessKeyId")?,
            secret_access_key: element(&text, "SecretAccessKey")?,
            token: Some(element(&text, "SessionToken")?),
            expiration: element(&text, "Expiration"),
        })
    };
    let answer = read().ok_or_else(|| unreadable(&doors.world, way, &request))?;
    Ok(answer.lease(doors, format!("AWS role `{role}`, by web identity")))
}

/// Keys from an agent beside the container (ECS, EKS Pod Identity).
async fn by_container(doors: &Doors, variable: &str, url: &str) -> Result<Lease<Identity>, Error> {
    let way = "log in to AWS by the container's credentials";
    let url = machine_url(&format!("`{variable}`"), url)?;
    let is_agent = url.host_str().is_some_and(|host| AGENTS.contains(&host)) || is_loopback(&url);
    if url.scheme() != "https" && !is_agent {
        return Err(Error::new(Kind::Unauthorized, way.to_owned())
            .because(format!("`{variable}` names neither HTTPS nor an agent of this machine"))
            .hinting(format!("correct `{variable}`")));
    }
    let mut request = Request::new(Method::GET, url);
    let token = match doors.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => Some(read("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &file).await?),
        None => doors.env("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    if let Some(token) = token {
        doors.note(&token);
        request.headers.insert(reqwest::header::AUTHORIZATION, hidden("the container's token", &token)?);
    }
    let answer = ask_json::<Answer>(&doors.machine, way, &request).await;
    let answer = answer.map_err(|error| if is_nobody(&error) { none(&error) } else { judged(error) })?;
    Ok(answer.lease(doors, "AWS role of this container".into()))
}

/// Keys of the role of this machine (EC2, "Instance Metadata Service Version 2").
async fn by_metadata(doors: &Doors) -> Result<Lease<Identity>, Error> {
    let way = "log in to AWS by the machine's metadata";
    if doors.env("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Err(none(&Error::new(Kind::Unauthorized, "`AWS_EC2_METADATA_DISABLED` is set")));
    }
    let variable = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    let base = doors.env(variable).unwrap_or_else(|| "http://169.254.169.254".into());
    let base = machine_url(&format!("`{variable}`"), &base)?;
    let url = |path: &str| -> Result<Url, Error> {
        base.join(path).map_err(|error| Error::new(Kind::Internal, "name the metadata").caused_by(error))
    };
    let mut request = Request::new(Method::PUT, url("/latest/api/token")?);
    request.headers.insert(name("x-aws-ec2-metadata-token-ttl-seconds"), 300.into());
    let session = ask(&doors.machine, way, &request).await;
    let session = session.map_err(|error| if is_nobody(&error) { none(&error) } else { error })?;
    let session = String::from_utf8_lossy(&session).trim().to_owned();
    doors.note(&session);
    let get = |path: &str| -> Result<Request, Error> {
        let request = Request::new(Method::GET, url(path)?);
        Ok(request.header(name("x-aws-ec2-metadata-token"), hidden("the session of the metadata", &session)?))
    };
    let roles = "/latest/meta-data/iam/security-credentials/";
    let request = get(roles)?;
    let names = match ask(&doors.machine, way, &request).await {
        Err(error) if error.kind() == Kind::NotFound => return Err(none(&error)),
        names => names?,
    };
    let role = String::from_utf8_lossy(&names).lines().next().unwrap_or_default().trim().to_owned();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
    if role.is_empty() || role.starts_with('.') || !role.bytes().all(is_name) {
        return Err(unreadable(&doors.machine, way, &request));
    }
    let answer: Answer = ask_json(&doors.machine, way, &get(&format!("{roles}{role}"))?).await?;
    Ok(answer.lease(doors, format!("AWS role `{role}` of this machine")))
}

fn none(error: &Error) -> Error {
    let hint = "give it a role (of the machine, the task or the service account), or set `AWS_ACCESS_KEY_ID` and \
                `AWS_SECRET_ACCESS_KEY`";
    no_identity("AWS", error, hint)
}
