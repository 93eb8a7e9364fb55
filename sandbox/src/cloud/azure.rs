//! Azure: access tokens for applications and managed identities, and their exchange at a registry.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde_json::json;

use super::{Fake, Fields, Issued, Vendor, header, issues, jwt, seconds, start};
use crate::answer::Answer;
use crate::{Account, Error};

/// For what a token must be asked.
const RESOURCE: &str = "https://containerregistry.azure.net";

/// What is asked of Azure, on one socket; the exchange is a registry's ([`Builder::exchange`]).
///
/// [`Builder::exchange`]: crate::Builder::exchange
#[derive(Debug, Default)]
pub struct Azure {
    issued: Arc<Issued>,
    /// Access tokens that are not over.
    access: Arc<Mutex<Vec<String>>>,
}

issues!(Azure);

impl Azure {
    /// The tenant and the application that it knows.
    pub const TENANT: &str = "tenant-1";
    /// The application.
    pub const CLIENT: &str = "client-1";
    /// The application's secret.
    pub const CLIENT_SECRET: &str = "secret-of-an-application";
    /// A token that the application trusts.
    pub const FEDERATED: &str = "token-of-a-workload";
    /// What an app must show to its own endpoint.
    pub const IDENTITY_HEADER: &str = "header-of-an-app";

    /// Starts it.
    ///
    /// # Errors
    /// No port can be listened on.
    pub async fn start() -> Result<Fake<Self>, Error> {
        start(Self::default()).await
    }

    pub(crate) fn exchange(&self) -> Exchange {
        Exchange { issued: self.issued.clone(), access: self.access.clone() }
    }

    fn token(&self) -> Answer {
        let token = self.issued.secret("entra");
        self.access.lock().unwrap_or_else(PoisonError::into_inner).push(token.clone());
        // The metadata says numbers as texts.
        Answer::json(StatusCode::OK, &json!({ "access_token": token, "expires_in": "3600", "resource": RESOURCE }))
    }

    fn application(&self, body: &[u8]) -> Answer {
        let ask = Fields::of(body);
        if ask.get("grant_type") != "client_credentials" || ask.get("scope") != format!("{RESOURCE}/.default") {
            return refuse("invalid_scope", "AADSTS70011: the scope is not valid");
        }
        let is_federated = ask.get("client_assertion") == Self::FEDERATED
            && ask.get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let is_known = is_federated || ask.get("client_secret") == Self::CLIENT_SECRET;
        if ask.get("client_id") != Self::CLIENT || !is_known {
            return refuse("invalid_client", "AADSTS7000215: Invalid client secret provided.");
        }
        self.token()
    }
}

impl Vendor for Azure {
    fn answer(&self, head: &Parts, body: &[u8], _: &str) -> Answer {
        if let Some((code, message)) = self.issued.refused() {
            return refuse(&code, &message);
        }
        let query = Fields::of(head.uri.query().unwrap_or_default().as_bytes());
        let is_for = |version: &str| query.get("api-version") == version && query.get("resource") == RESOURCE;
        let path = head.uri.path();
        match head.method.as_str() {
            "POST" if path == format!("/{}/oauth2/v2.0/token", Self::TENANT) => self.application(body),
            "GET" if path == "/metadata/identity/oauth2/token" => {
                let is_good = header(head, "metadata") == "true" && is_for("2018-02-01");
                if is_good { self.token() } else { refuse("invalid_request", "Required metadata header not specified") }
            }
            "GET" if path == "/msi/token" => {
                let is_good = header(head, "x-identity-header") == Self::IDENTITY_HEADER && is_for("2019-08-01");
                if is_good { self.token() } else { refuse("invalid_request", "wrong header") }
            }
            _ => Answer::new(StatusCode::NOT_FOUND),
        }
    }
}

/// The registry's side: a refresh token for an access token.
#[derive(Debug)]
pub(crate) struct Exchange {
    issued: Arc<Issued>,
    access: Arc<Mutex<Vec<String>>>,
}

impl Exchange {
    pub(crate) fn answer(&self, form: &[u8]) -> Answer {
        let ask = Fields::of(form);
        let known = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = known.iter().any(|token| token == ask.get("access_token"));
        if ask.get("grant_type") != "access_token" || ask.get("service").is_empty() || !is_known {
            return Answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
        }
        let now = seconds(SystemTime::now());
        let secret = self.issued.secret("refresh");
        let token = jwt::opaque(&secret, now, now + self.issued.lifetime().as_secs());
        self.issued.add(Account::new(&secret, &secret).identity_token(&token));
        Answer::json(StatusCode::OK, &json!({ "refresh_token": token }))
    }
}

fn refuse(code: &str, message: &str) -> Answer {
    Answer::json(StatusCode::BAD_REQUEST, &json!({ "error": code, "error_description": message }))
}
