//! AWS: the API of ECR, and the keys to sign with: by STS, beside a container, and in a machine's metadata.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::StatusCode;
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::sigv4::Claim;
use super::{Fake, Issued, Vendor, header, issues, seconds, start};
use crate::Account;
use crate::Error;
use crate::answer::Answer;

/// What is asked of AWS, on one socket. Passwords hold for 12 hours unless a lifetime is set.
#[derive(Debug)]
pub struct Aws {
    pub(super) issued: Issued,
    pub(super) keys: Mutex<Keys>,
}

/// Access keys, and what the services that give them know.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// By id: the secret, the session token, and whether they still hold.
    known: HashMap<String, (String, Option<String>, bool)>,
    pub(super) lifetime: Option<Duration>,
    /// How far the clock of AWS is ahead of ours.
    ahead: Duration,
    /// The sessions of the metadata.
    pub(super) sessions: Vec<String>,
    pub(super) has_role: bool,
}

issues!(Aws);

impl Aws {
    /// The role that is given to those who show who they are.
    pub const ROLE: &str = "arn:aws:iam::111122223333:role/mirror";
    /// The token of a web identity that STS trusts.
    pub const WEB_IDENTITY: &str = "token-of-a-service-account";
    /// What a container must show.
    pub const CONTAINER_TOKEN: &str = "token-of-a-container";

    /// Starts it, without any key.
    ///
    /// # Errors
    /// No port can be listened on.
    pub async fn start() -> Result<Fake<Self>, Error> {
        let keys = Mutex::new(Keys { has_role: true, ..Keys::default() });
        let aws = start(Self { issued: Issued::default(), keys }).await?;
        aws.set_lifetime(Duration::from_secs(12 * 60 * 60));
        Ok(aws)
    }

    /// A key of a user: id and secret. It has no end.
    pub fn user_key(&self) -> (String, String) {
        let secret = self.issued.secret("secret");
        let mut keys = self.keys();
        let id = format!("AKIASANDBOX{}", keys.known.len());
        keys.known.insert(id.clone(), (secret.clone(), None, true));
        (id, secret)
    }

    /// How long the keys of roles hold that are given out from now on.
    pub fn set_key_lifetime(&self, lifetime: Duration) {
        self.keys().lifetime = Some(lifetime);
    }

    /// Ends all keys given out so far.
    pub fn end_keys(&self) {
        self.keys().known.values_mut().for_each(|(_, _, holds)| *holds = false);
    }

    /// Sets how far the clock of AWS is ahead of ours.
    pub fn set_clock_ahead(&self, by: Duration) {
        self.keys().ahead = by;
    }

    /// Whether the machine has a role.
    pub fn set_machine_role(&self, has: bool) {
        self.keys().has_role = has;
    }

    pub(super) fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key of a role: id, secret, session, end.
    pub(super) fn role_key(&self) -> (String, String, String, SystemTime) {
        let (secret, session) = (self.issued.secret("secret"), self.issued.secret("session"));
        let mut keys = self.keys();
        let id = format!("ASIASANDBOX{}", keys.known.len());
        keys.known.insert(id.clone(), (secret.clone(), Some(session.clone()), true));
        let end = SystemTime::now() + keys.lifetime.unwrap_or(Duration::from_secs(3600));
        (id, secret, session, end)
    }

    /// Who signed the request, or how it is refused.
    fn check(&self, head: &Parts, body: &[u8], service: &str) -> Result<(), (&'static str, String)> {
        let Some(claim) = Claim::of(head) else {
            return Err(("MissingAuthenticationTokenException", "Missing Authentication Token".into()));
        };
        let (known, ahead) = {
            let keys = self.keys();
            (keys.known.get(claim.key).cloned(), keys.ahead)
        };
        let Some((secret, session, holds)) = known else {
            let message = "The security token included in the request is invalid.";
            return Err(("UnrecognizedClientException", message.into()));
        };
        if session.as_deref().unwrap_or_default() != header(head, "x-amz-security-token") {
            let message = "The security token included in the request is invalid.";
            return Err(("UnrecognizedClientException", message.into()));
        }
        claim.check(head, body, &secret, service, SystemTime::now() + ahead)?;
        if holds { Ok(()) } else { Err(("ExpiredTokenException", "The security token is expired".into())) }
    }

    /// An action of the API (JSON 1.1).
    fn api(&self, head: &Parts, body: &[u8], target: &str) -> Answer {
        let refuse = |code: &str, message: &str| {
            let document = json!({ "__type": format!("com.amazonaws.ecr#{code}"), "message": message });
            Answer::json(StatusCode::BAD_REQUEST, &document)
        };
        let (service, action) = match target.split_once('.') {
            Some(("AmazonEC2ContainerRegistry_V20150921", action)) => ("ecr", action),
            Some(("SpencerFrontendService", action)) => ("ecr-public", action),
            _ => return refuse("UnknownOperationException", "no such target"),
        };
        if let Err((code, message)) = self.check(head, body, service) {
            return refuse(code, &message);
        }
        if let Some((code, message)) = self.issued.refused() {
            return refuse(&code, &message);
        }
        if action != "GetAuthorizationToken" || serde_json::from_slice::<Value>(body).is_err() {
            return refuse("UnknownOperationException", "only GetAuthorizationToken is served here");
        }
        let password = self.issued.secret("password");
        self.issued.add(Account::new("AWS", &password));
        let end = seconds(SystemTime::now() + self.issued.lifetime());
        let token = BASE64_STANDARD.encode(format!("AWS:{password}"));
        let data = json!({ "authorizationToken": token, "expiresAt": end as f64 + 0.25 });
        let data = if service == "ecr" { json!([data]) } else { data };
        Answer::json(StatusCode::OK, &json!({ "authorizationData": data }))
    }
}

impl Vendor for Aws {
    fn answer(&self, head: &Parts, body: &[u8], _: &str) -> Answer {
        match (head.method.as_str(), header(head, "x-amz-target"), head.uri.path()) {
            ("POST", "", "/") => self.sts(body),
            ("POST", target, "/") => self.api(head, body, target),
            ("GET", _, "/container") => self.container(head),
            (method, _, path) => self.metadata(method, path, head),
        }
    }
}
