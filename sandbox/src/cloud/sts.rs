//! Where keys of AWS come from: STS for a web identity, an agent for containers, and the metadata of a machine.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use serde_json::json;

use super::aws::Aws;
use super::{Fields, header, rfc3339};
use crate::answer::Answer;

impl Aws {
    /// `AssumeRoleWithWebIdentity`, which is not signed and answered in XML.
    pub(super) fn sts(&self, body: &[u8]) -> Answer {
        let ask = Fields::of(body);
        let refuse = |code: &str, message: &str| {
            let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
            xml(StatusCode::BAD_REQUEST, format!("<ErrorResponse>\n  {error}\n</ErrorResponse>"))
        };
        if let Some((code, message)) = self.issued.refused() {
            return refuse(&code, &message);
        }
        if ask.get("Action") != "AssumeRoleWithWebIdentity" || ask.get("Version") != "2011-06-15" {
            return refuse("InvalidAction", "Could not find operation");
        }
        if ask.get("RoleArn") != Self::ROLE || ask.get("RoleSessionName").is_empty() {
            return refuse("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity");
        }
        if ask.get("WebIdentityToken") != Self::WEB_IDENTITY {
            return refuse("InvalidIdentityToken", "No OpenIDConnect provider found &amp; token not valid");
        }
        let (id, secret, session, end) = self.role_key();
        let key = format!(
            "<AccessKeyId>{id}</AccessKeyId>\n<SecretAccessKey>{secret}</SecretAccessKey>\n\
             <SessionToken>{session}</SessionToken>\n<Expiration>{}</Expiration>",
            rfc3339(end)
        );
        let name = "AssumeRoleWithWebIdentity";
        let result = format!("<{name}Result>\n<Credentials>\n{key}\n</Credentials>\n</{name}Result>");
        xml(StatusCode::OK, format!("<{name}Response xmlns=\"https://sts/doc\">\n{result}\n</{name}Response>"))
    }

    /// What an agent of ECS or EKS answers.
    pub(super) fn container(&self, head: &Parts) -> Answer {
        if header(head, "authorization") != Self::CONTAINER_TOKEN {
            let refusal = json!({ "code": "InvalidToken", "message": "the token is not known" });
            return Answer::json(StatusCode::UNAUTHORIZED, &refusal);
        }
        self.key()
    }

    /// The metadata, in its second version: only with a session.
    pub(super) fn metadata(&self, method: &str, path: &str, head: &Parts) -> Answer {
        let text = |text: String| Answer::new(StatusCode::OK).body(Bytes::from(text));
        let roles = "/latest/meta-data/iam/security-credentials/";
        if (method, path) == ("PUT", "/latest/api/token") {
            if header(head, "x-aws-ec2-metadata-token-ttl-seconds").parse::<u32>().is_err() {
                return Answer::new(StatusCode::BAD_REQUEST);
            }
            let session = self.issued.secret("metadata");
            self.keys().sessions.push(session.clone());
            return text(session);
        }
        let session = header(head, "x-aws-ec2-metadata-token");
        let (has_session, has_role) = {
            let keys = self.keys();
            (keys.sessions.iter().any(|known| known == session), keys.has_role)
        };
        match path.strip_prefix(roles) {
            _ if method != "GET" || !has_session => Answer::new(StatusCode::UNAUTHORIZED),
            Some("") if has_role => text("machine-role".into()),
            Some("machine-role") if has_role => self.key(),
            _ => Answer::new(StatusCode::NOT_FOUND),
        }
    }

    fn key(&self) -> Answer {
        let (id, secret, session, end) = self.role_key();
        let document = json!({
            "Code": "Success",
            "AccessKeyId": id,
            "SecretAccessKey": secret,
            "Token": session,
            "Expiration": rfc3339(end),
        });
        Answer::json(StatusCode::OK, &document)
    }
}

fn xml(status: StatusCode, text: String) -> Answer {
    Answer::new(status).with(CONTENT_TYPE, "text/xml").body(Bytes::from(text))
}
