//! Checks signatures of AWS as its services do: from the request as it came, with the secret that was given out.

use std::time::{Duration, SystemTime};

use hyper::header::{AUTHORIZATION, HeaderName};
use hyper::http::request::Parts;
use proto::Digest;
use ring::hmac;

use super::{header, rfc3339};

/// How far the times of the two sides may be apart.
const SKEW_MAX: Duration = Duration::from_secs(5 * 60);

/// Headers that must be signed where they are sent, beside all `x-amz-…`.
const SIGNED_ALWAYS: [&str; 3] = ["host", "content-type", "x-amz-date"];

/// What the `Authorization` of a signed request says.
pub(super) struct Claim<'a> {
    pub(super) key: &'a str,
    scope: &'a str,
    names: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Claim<'a> {
    pub(super) fn of(head: &'a Parts) -> Option<Self> {
        let rest = header(head, AUTHORIZATION.as_str()).strip_prefix("AWS4-HMAC-SHA256 ")?;
        let field = |name: &str| rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let (key, scope) = field("Credential")?.split_once('/')?;
        let names = field("SignedHeaders")?.split(';').collect();
        Some(Self { key, scope, names, signature: field("Signature")? })
    }

    /// Checks everything that the signature covers.
    ///
    /// # Errors
    /// The code and the message with which AWS refuses.
    pub(super) fn check(
        &self,
        head: &Parts,
        body: &[u8],
        secret: &str,
        service: &str,
        now: SystemTime,
    ) -> Result<(), (&'static str, String)> {
        let wrong = |why: &str| Err(("InvalidSignatureException", why.to_owned()));
        let time = header(head, "x-amz-date");
        if !is_near(time, now) {
            return wrong(&format!("Signature expired: {time} is not within 5 min of {}", basic(now)));
        }
        let scope: Vec<&str> = self.scope.split('/').collect();
        let [day, region, "aws4_request"] = [scope[0], scope.get(1).unwrap_or(&""), scope.last().unwrap_or(&"")] else {
            return wrong("Credential should be scoped with a valid terminator");
        };
        if scope.len() != 4 || scope[2] != service || !time.starts_with(day) || day.len() != 8 {
            return wrong("Credential should be scoped to the right day, region and service");
        }
        let must = |name: &&str| SIGNED_ALWAYS.contains(name) || name.starts_with("x-amz-");
        if head.headers.keys().map(HeaderName::as_str).filter(must).any(|name| !self.names.contains(&name)) {
            return wrong("'Host' and all 'X-Amz-' headers must be 'SignedHeaders'");
        }
        if !self.names.is_sorted() || self.names.iter().any(|name| !head.headers.contains_key(*name)) {
            return wrong("SignedHeaders are not sorted or name what was not sent");
        }
        let text =
            format!("AWS4-HMAC-SHA256\n{time}\n{}\n{}", self.scope, sha256(self.canonical(head, body).as_bytes()));
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, ["AWS4", secret].concat().as_bytes());
        for part in [day, region, service, "aws4_request"] {
            key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
        }
        let signature: Option<Vec<u8>> = (0..self.signature.len() / 2)
            .map(|at| u8::from_str_radix(self.signature.get(2 * at..2 * at + 2)?, 16).ok())
            .collect();
        match hmac::verify(&key, text.as_bytes(), &signature.unwrap_or_default()) {
            Ok(()) => Ok(()),
            Err(_) => wrong("The request signature we calculated does not match the signature you provided."),
        }
    }

    fn canonical(&self, head: &Parts, body: &[u8]) -> String {
        let mut pairs: Vec<&str> =
            head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
        pairs.sort_unstable();
        let mut lines = vec![head.method.to_string(), head.uri.path().replace('%', "%25"), pairs.join("&")];
        lines.extend(self.names.iter().map(|name| format!("{name}:{}", header(head, name).trim())));
        lines.extend([String::new(), self.names.join(";"), sha256(body)]);
        lines.join("\n")
    }
}

fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).hex().to_owned()
}

/// As in `20150830T123600Z`.
fn basic(time: SystemTime) -> String {
    rfc3339(time).replace(['-', ':'], "")
}

/// Whether the time in `text` is one of the seconds around `now`.
fn is_near(text: &str, now: SystemTime) -> bool {
    let skew = SKEW_MAX;
    // Texts of this form sort as the times do.
    (basic(now - skew)..=basic(now + skew)).contains(&text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const BODY: &[u8] = b"Param1=value1";

    /// `post-x-www-form-urlencoded` of the test suite that AWS publishes, with more headers.
    fn request(more: &[(&str, &str)]) -> Parts {
        let signature = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
        );
        let mut request = hyper::Request::post("/")
            .header("host", "example.amazonaws.com")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-amz-date", "20150830T123600Z")
            .header("authorization", authorization);
        for (name, value) in more {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn check(head: &Parts, body: &[u8], secret: &str, service: &str, now: &str) -> bool {
        let now = httpdate::parse_http_date(now).unwrap();
        Claim::of(head).unwrap().check(head, body, secret, service, now).is_ok()
    }

    #[test]
    fn a_published_signature_is_taken_and_nothing_that_differs_from_it() {
        let (now, late) = ("Sun, 30 Aug 2015 12:40:00 GMT", "Sun, 30 Aug 2015 12:42:00 GMT");
        let good = request(&[]);
        assert!(check(&good, BODY, SECRET, "service", now));
        assert!(!check(&good, b"Param1=value2", SECRET, "service", now), "another body");
        assert!(!check(&good, BODY, "other", "service", now), "another secret");
        assert!(!check(&good, BODY, SECRET, "ecr", now), "another service");
        assert!(!check(&good, BODY, SECRET, "service", late), "too late");
        assert!(!check(&request(&[("x-amz-target", "A.B")]), BODY, SECRET, "service", now), "a header not signed");
        let mut other = request(&[]);
        other.method = hyper::Method::PUT;
        assert!(!check(&other, BODY, SECRET, "service", now), "another method");
        other = request(&[]);
        other.headers.insert("host", "other.amazonaws.com".parse().unwrap());
        assert!(!check(&other, BODY, SECRET, "service", now), "another host");
    }
}
