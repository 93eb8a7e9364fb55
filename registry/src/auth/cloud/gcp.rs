//! Artifact Registry and Container Registry of Google: an access token as password, for the key of a service account
//! or from the metadata of the machine.

use jiff::Timestamp;
use proto::Host;
use reqwest::header::HeaderValue;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::{ask_json, form, machine_url, name, seconds, service_url};
use super::kept::{Kept, Lease};
use super::{Doors, check_host, is_nobody, jwt, no_identity, read};
use crate::auth::credentials::{Credentials, Found};
use crate::error::{Error, Kind};
use crate::wire::Request;

const KEY_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// The only scope that allows to write to Artifact Registry.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// An identity of Google Cloud.
pub(crate) struct Gcp {
    host: Host,
    doors: Doors,
    pub(super) tokens: Kept<Found>,
}

/// What a file of `GOOGLE_APPLICATION_CREDENTIALS` holds. Has no `Debug`.
#[derive(Deserialize)]
struct KeyFile {
    r#type: String,
    client_email: Option<String>,
    private_key: Option<String>,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    expires_in: Value,
}

impl Answer {
    fn lease(self, doors: &Doors, origin: String) -> Lease<Found> {
        doors.note(&self.access_token);
        let credentials = Credentials::Password { username: "oauth2accesstoken".into(), password: self.access_token };
        let value = Found { credentials, origin };
        Lease { value, lifetime: seconds(&self.expires_in) }
    }
}

impl Gcp {
    pub(super) fn new(host: Host, doors: Doors) -> Self {
        Self { host, doors, tokens: Kept::default() }
    }

    /// User and password for the registry.
    pub(super) async fn find(&self) -> Result<Found, Error> {
        let host = self.host.name();
        let is_google = host == "gcr.io" || host.ends_with(".gcr.io") || host.ends_with(".pkg.dev");
        check_host(&self.host, "Google Cloud", is_google, "`REGION-docker.pkg.dev` or `gcr.io`")?;
        let fetch = async {
            match self.doors.env(KEY_FILE) {
                Some(file) => by_key(&self.doors, &file).await,
                None => by_metadata(&self.doors).await,
            }
        };
        self.tokens.get(fetch).await
    }
}

/// For a service account whose key is in `file` (Google, "Using OAuth 2.0 for Server to Server Applications").
async fn by_key(doors: &Doors, file: &str) -> Result<Lease<Found>, Error> {
    let named = format!("`{file}`, which `{KEY_FILE}` names");
    let failed = |why: String| {
        Error::new(Kind::Unauthorized, format!("read {named}"))
            .because(why)
            .hinting("name the JSON key of a service account, or unset it where the machine has an identity")
    };
    let text = read(KEY_FILE, file).await?;
    // The parser's message could quote the key.
    let key: KeyFile = serde_json::from_str(&text)
        .map_err(|error| failed(format!("not readable at line {}, column {}", error.line(), error.column())))?;
    if key.r#type != "service_account" {
        let kind: String = key.r#type.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect();
        return Err(failed(format!("credentials of type `{kind}` are not supported, only `service_account`")));
    }
    let (Some(email), Some(private)) = (key.client_email, key.private_key) else {
        return Err(failed("it has no `client_email` or no `private_key`".into()));
    };
    let uri = key.token_uri.unwrap_or_else(|| "https://oauth2.googleapis.com/token".into());
    let url = service_url(&format!("`token_uri` in {named}"), &uri)?;
    let now = Timestamp::now().as_second();
    let claims = json!({ "iss": email, "scope": SCOPE, "aud": uri, "iat": now, "exp": now + 3600 });
    let assertion =
        jwt::signed(&claims, key.private_key_id.as_deref(), &private, &format!("`private_key` in {named}"))?;
    doors.note(&assertion);
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let request = form(url, &[("grant_type", grant), ("assertion", &assertion)]);
    let way = format!("log in to Google Cloud as `{email}`");
    let answer = ask_json::<Answer>(&doors.world, &way, &request).await.map_err(|error| {
        let is_refused = matches!(error.kind(), Kind::Refused | Kind::Unauthorized | Kind::Forbidden);
        let hint = "the key may be deleted, or this machine's clock wrong: check both";
        if is_refused { error.hinting(hint) } else { error }
    })?;
    Ok(answer.lease(doors, format!("Google Cloud service account `{email}`, by its key in `{file}`")))
}

/// For the service account of this machine (Compute Engine, "Access VM metadata").
async fn by_metadata(doors: &Doors) -> Result<Lease<Found>, Error> {
    let way = "log in to Google Cloud by the machine's metadata";
    let variable = "GCE_METADATA_HOST";
    let host = doors.env(variable).unwrap_or_else(|| "metadata.google.internal".into());
    let path = "/computeMetadata/v1/instance/service-accounts/default/token";
    let url: Url = machine_url(&format!("`{variable}`"), &format!("http://{host}{path}"))?;
    let flavor = HeaderValue::from_static("Google");
    let request = Request::new(Method::GET, url).header(name("metadata-flavor"), flavor);
    let answer = ask_json::<Answer>(&doors.machine, way, &request).await.map_err(|error| {
        let hint = "give the machine or its workload a service account, or name the key of one in \
                    `GOOGLE_APPLICATION_CREDENTIALS`";
        let is_absent = is_nobody(&error) || error.kind() == Kind::NotFound;
        if is_absent { no_identity("Google Cloud", &error, hint) } else { error }
    })?;
    Ok(answer.lease(doors, "Google Cloud service account of this machine".into()))
}
