//! Google Cloud: tokens for the key of a service account, and in a machine's metadata.

use std::time::SystemTime;

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::{Fake, Fields, Issued, Vendor, header, issues, jwt, seconds, start};
use crate::answer::Answer;
use crate::{Account, Error};

/// Made for tests, and good for nothing else.
const KEY: &str = include_str!("keys/google.pem");

const EMAIL: &str = "mirror@project.iam.gserviceaccount.com";

/// What is asked of Google Cloud, on one socket.
#[derive(Debug, Default)]
pub struct Gcp {
    issued: Issued,
}

issues!(Gcp);

impl Gcp {
    /// Starts it.
    ///
    /// # Errors
    /// No port can be listened on.
    pub async fn start() -> Result<Fake<Self>, Error> {
        start(Self::default()).await
    }

    fn token(&self) -> Answer {
        let token = self.issued.secret("ya29");
        self.issued.add(Account::new("oauth2accesstoken", &token));
        let lifetime = self.issued.lifetime().as_secs();
        Answer::json(StatusCode::OK, &json!({ "access_token": token, "expires_in": lifetime, "token_type": "Bearer" }))
    }

    fn exchange(&self, body: &[u8], url: &str) -> Answer {
        let ask = Fields::of(body);
        if ask.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
            return refuse("unsupported_grant_type", "Invalid grant_type");
        }
        let Some(claims) = jwt::verified(ask.get("assertion"), KEY) else {
            return refuse("invalid_grant", "Invalid JWT Signature.");
        };
        let is_ours = claims["iss"] == EMAIL && claims["aud"] == format!("{url}/token");
        if !is_ours || !jwt::holds(&claims, seconds(SystemTime::now()), 3600) {
            return refuse(
                "invalid_grant",
                "Invalid JWT: Token must be a short-lived token and in a reasonable timeframe",
            );
        }
        if claims["scope"] != "https://www.googleapis.com/auth/cloud-platform" {
            return refuse("invalid_scope", "Invalid OAuth scope or ID token audience provided.");
        }
        self.token()
    }
}

impl Fake<Gcp> {
    /// The JSON key of a service account that it knows.
    pub fn key_file(&self) -> Value {
        json!({
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "1",
            "private_key": KEY,
            "client_email": EMAIL,
            "token_uri": format!("{}/token", self.url()),
        })
    }
}

impl Vendor for Gcp {
    fn answer(&self, head: &Parts, body: &[u8], url: &str) -> Answer {
        if let Some((code, message)) = self.issued.refused() {
            return refuse(&code, &message);
        }
        match (head.method.as_str(), head.uri.path()) {
            ("POST", "/token") => self.exchange(body, url),
            ("GET", "/computeMetadata/v1/instance/service-accounts/default/token") => {
                if header(head, "metadata-flavor") == "Google" {
                    self.token()
                } else {
                    Answer::new(StatusCode::FORBIDDEN)
                }
            }
            _ => Answer::new(StatusCode::NOT_FOUND),
        }
    }
}

fn refuse(code: &str, message: &str) -> Answer {
    Answer::json(StatusCode::BAD_REQUEST, &json!({ "error": code, "error_description": message }))
}
