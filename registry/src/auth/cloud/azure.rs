//! Azure Container Registry: an access token of Entra ID, exchanged at the registry for a refresh token.

use std::time::Duration;

use proto::Host;
use reqwest::header::HeaderValue;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::Value;

use super::ask::{ask_json, form, hidden, machine_url, name, service_url, unreadable};
use super::kept::{Kept, Lease};
use super::{Doors, check_host, is_nobody, jwt, needed, no_identity, read};
use crate::auth::credentials::{Credentials, Found};
use crate::error::{Error, Kind};
use crate::wire::Request;

/// For what the access token is meant: the registries alone.
const RESOURCE: &str = "https://containerregistry.azure.net";

/// An identity of Azure.
pub(crate) struct Azure {
    host: Host,
    doors: Doors,
    pub(super) tokens: Kept<Found>,
}

#[derive(Deserialize)]
struct Access {
    access_token: String,
}

#[derive(Deserialize)]
struct Refresh {
    refresh_token: String,
}

/// Whether Azure runs this registry.
pub(crate) fn is_azure(host: &Host) -> bool {
    [".azurecr.io", ".azurecr.cn", ".azurecr.us"].iter().any(|domain| host.name().ends_with(domain))
}

impl Azure {
    pub(super) fn new(host: Host, doors: Doors) -> Self {
        Self { host, doors, tokens: Kept::default() }
    }

    /// The refresh token for the registry.
    pub(super) async fn find(&self) -> Result<Found, Error> {
        check_host(&self.host, "Azure", is_azure(&self.host), "`NAME.azurecr.io`")?;
        let fetch = async {
            let (access, origin) = access(&self.doors).await?;
            self.doors.note(&access);
            self.exchange(&access, origin).await
        };
        self.tokens.get(fetch).await
    }

    /// Exchanges an access token at the registry itself (Azure/acr, "Integration with Azure Active Directory").
    async fn exchange(&self, access: &str, origin: String) -> Result<Lease<Found>, Error> {
        let way = format!("exchange the token of {origin}");
        let url = format!("{}://{}/oauth2/exchange", self.doors.scheme, self.host);
        let url = Url::parse(&url).map_err(|error| Error::new(Kind::Internal, way.clone()).caused_by(error))?;
        let tenant = self.doors.env("AZURE_TENANT_ID");
        let mut fields =
            vec![("grant_type", "access_token"), ("service", self.host.as_str()), ("access_token", access)];
        fields.extend(tenant.as_deref().map(|tenant| ("tenant", tenant)));
        let request = form(url, &fields);
        let answer: Refresh = ask_json(&self.doors.registry, &way, &request).await.map_err(|error| {
            let hint = "give this identity a role at the registry: `AcrPull`, and `AcrPush` to write";
            if matches!(error.kind(), Kind::Unauthorized | Kind::Forbidden) { error.hinting(hint) } else { error }
        })?;
        self.doors.note(&answer.refresh_token);
        if answer.refresh_token.is_empty() {
            return Err(unreadable(&self.doors.registry, &way, &request));
        }
        // From its own two times, since this machine's clock may differ.
        let read = |claims: Value| claims["exp"].as_u64()?.checked_sub(claims["iat"].as_u64()?);
        let lifetime = jwt::claims(&answer.refresh_token).and_then(read).map(Duration::from_secs);
        let credentials = Credentials::IdentityToken(answer.refresh_token);
        Ok(Lease { value: Found { credentials, origin }, lifetime })
    }
}

/// An access token, and whose it is in words.
async fn access(doors: &Doors) -> Result<(String, String), Error> {
    if let Some(file) = doors.env("AZURE_FEDERATED_TOKEN_FILE") {
        let assertion = read("AZURE_FEDERATED_TOKEN_FILE", &file).await?;
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let proof = [("client_assertion_type", kind), ("client_assertion", assertion.as_str())];
        return by_application(doors, "workload identity", &assertion, &proof).await;
    }
    if let Some(secret) = doors.env("AZURE_CLIENT_SECRET") {
        return by_application(doors, "its secret", &secret, &[("client_secret", secret.as_str())]).await;
    }
    by_managed_identity(doors).await
}

/// As an application that shows `proof` (Microsoft identity platform, "OAuth 2.0 client credentials flow").
async fn by_application(
    doors: &Doors,
    means: &str,
    secret: &str,
    proof: &[(&str, &str)],
) -> Result<(String, String), Error> {
    doors.note(secret);
    let way = format!("log in to Azure by {means}");
    let client = needed(doors, "AZURE_CLIENT_ID", &way)?;
    let tenant = needed(doors, "AZURE_TENANT_ID", &way)?;
    let authority = doors.env("AZURE_AUTHORITY_HOST").unwrap_or_else(|| "https://login.microsoftonline.com".into());
    let url = format!("{}/{tenant}/oauth2/v2.0/token", authority.trim_end_matches('/'));
    let scope = format!("{RESOURCE}/.default");
    let mut fields = vec![("grant_type", "client_credentials"), ("client_id", client.as_str()), ("scope", &scope)];
    fields.extend_from_slice(proof);
    let request = form(service_url("`AZURE_AUTHORITY_HOST` and `AZURE_TENANT_ID`", &url)?, &fields);
    let answer: Access = ask_json(&doors.world, &way, &request).await.map_err(|error| {
        let is_refused = matches!(error.kind(), Kind::Refused | Kind::Unauthorized | Kind::Forbidden);
        let hint = "check `AZURE_CLIENT_ID` and `AZURE_TENANT_ID`, and that the application trusts what was shown";
        if is_refused { error.hinting(hint) } else { error }
    })?;
    Ok((answer.access_token, format!("Azure application `{client}`, by {means}")))
}

/// As the machine or the app that this runs in ("How to use managed identities to acquire an access token").
async fn by_managed_identity(doors: &Doors) -> Result<(String, String), Error> {
    let way = "log in to Azure by managed identity";
    let client = doors.env("AZURE_CLIENT_ID");
    let with_query = |mut url: Url, version: &str| {
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", RESOURCE);
        url.query_pairs_mut().extend_pairs(client.iter().map(|client| ("client_id", client)));
        Request::new(Method::GET, url)
    };
    let request = match (doors.env("IDENTITY_ENDPOINT"), doors.env("IDENTITY_HEADER")) {
        (Some(url), Some(secret)) => {
            doors.note(&secret);
            let request = with_query(machine_url("`IDENTITY_ENDPOINT`", &url)?, "2019-08-01");
            request.header(name("x-identity-header"), hidden("`IDENTITY_HEADER`", &secret)?)
        }
        _ => {
            let variable = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
            let base = doors.env(variable).unwrap_or_else(|| "http://169.254.169.254".into());
            let url = format!("{}/metadata/identity/oauth2/token", base.trim_end_matches('/'));
            let request = with_query(machine_url(&format!("`{variable}`"), &url)?, "2018-02-01");
            request.header(name("metadata"), HeaderValue::from_static("true"))
        }
    };
    let answer: Access = ask_json(&doors.machine, way, &request).await.map_err(|error| {
        let hint = "give the machine or its workload a managed identity, or set `AZURE_CLIENT_ID`, `AZURE_TENANT_ID` \
                    and `AZURE_CLIENT_SECRET`";
        // 400 is what machines without an identity answer.
        let is_absent = is_nobody(&error) || matches!(error.kind(), Kind::NotFound | Kind::Refused);
        if is_absent { no_identity("Azure", &error, hint) } else { error }
    })?;
    let which = client.map_or_else(String::new, |client| format!(" `{client}`"));
    Ok((answer.access_token, format!("Azure managed identity{which} of this machine")))
}
