//! GitHub: tokens of an app where it is installed.

use std::time::SystemTime;

use hyper::StatusCode;
use hyper::http::request::Parts;
use serde_json::json;

use super::{Fake, Issued, Vendor, header, issues, jwt, rfc3339, seconds, start};
use crate::answer::Answer;
use crate::{Account, Error};

/// Made for tests, and good for nothing else.
const KEY: &str = include_str!("keys/github.pem");

/// GitHub's API, as far as an app needs it, on one socket.
#[derive(Debug, Default)]
pub struct Github {
    issued: Issued,
}

issues!(Github);

impl Github {
    /// The app that it knows.
    pub const APP: u64 = 4711;
    /// Where the app is installed; each owner has a number, from 1.
    pub const OWNERS: [&str; 2] = ["team", "other"];
    /// The private key of the app.
    pub const KEY: &str = KEY;

    /// Starts it.
    ///
    /// # Errors
    /// No port can be listened on.
    pub async fn start() -> Result<Fake<Self>, Error> {
        start(Self::default()).await
    }

    fn is_app(head: &Parts) -> bool {
        let token = header(head, "authorization").strip_prefix("Bearer ").unwrap_or_default();
        let is_ours = |claims: &serde_json::Value| {
            claims["iss"].as_str() == Some(&Self::APP.to_string())
                && jwt::holds(claims, seconds(SystemTime::now()), 600)
        };
        jwt::verified(token, KEY).is_some_and(|claims| is_ours(&claims))
    }

    fn token(&self, owner: &str) -> Answer {
        let token = self.issued.secret("ghs");
        self.issued.add(Account::new("x-access-token", &token).may(&format!("{owner}/*"), "pull,push"));
        let end = rfc3339(SystemTime::now() + self.issued.lifetime());
        Answer::json(StatusCode::CREATED, &json!({ "token": token, "expires_at": end }))
    }
}

impl Vendor for Github {
    fn answer(&self, head: &Parts, _: &[u8], _: &str) -> Answer {
        let told = |status, message: &str| Answer::json(status, &json!({ "message": message }));
        if let Some((_, message)) = self.issued.refused() {
            return told(StatusCode::FORBIDDEN, &message);
        }
        if !Self::is_app(head) {
            return told(StatusCode::UNAUTHORIZED, "A JSON web token could not be decoded");
        }
        let parts: Vec<&str> = head.uri.path().split('/').skip(1).collect();
        let owners = || (1..).zip(Self::OWNERS);
        let found = match (head.method.as_str(), parts.as_slice()) {
            ("GET", ["users", owner, "installation"]) => owners()
                .find(|(_, name)| name == owner)
                .map(|(number, _)| Answer::json(StatusCode::OK, &json!({ "id": number }))),
            ("POST", ["app", "installations", number, "access_tokens"]) => {
                let asked = number.parse().unwrap_or(0);
                owners().find(|(number, _)| *number == asked).map(|(_, owner)| self.token(owner))
            }
            _ => None,
        };
        found.unwrap_or_else(|| told(StatusCode::NOT_FOUND, "Not Found"))
    }
}
