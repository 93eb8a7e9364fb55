//! Signatures of requests to AWS ("Signature Version 4", AWS General Reference).

use jiff::Timestamp;
use proto::Digest;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use ring::hmac;

use super::super::ask::{hidden, name};
use super::keys::Key;
use crate::error::{Error, Kind};
use crate::wire::Request;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Signs `request`, all its headers and its body, and adds what tells who did. The URL has no query.
///
/// # Errors
/// `Unauthorized`: the key holds what cannot be a header.
pub(super) fn sign(
    mut request: Request,
    key: &Key,
    region: &str,
    service: &str,
    now: Timestamp,
) -> Result<Request, Error> {
    let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = time.get(..8).unwrap_or_default();
    let value = HeaderValue::from_str(&time)
        .map_err(|error| Error::new(Kind::Internal, "write the time of a signature").caused_by(error))?;
    request.headers.insert(name("x-amz-date"), value);
    if let Some(session) = &key.session {
        request.headers.insert(name("x-amz-security-token"), hidden("the session token", session)?);
    }
    let (names, canonical) = canonical(&request);
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", Digest::of(canonical.as_bytes()).hex());
    let secret = format!("AWS4{}", key.secret).into_bytes();
    let signing = [day, region, service, "aws4_request"].iter().fold(secret, |key, part| mac(&key, part));
    let signature: String = mac(&signing, &to_sign).iter().map(|byte| format!("{byte:02x}")).collect();
    let id = &key.id;
    let text = format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
    request.headers.insert(AUTHORIZATION, hidden("the access key's id", &text)?);
    Ok(request)
}

/// The names of the signed headers, and the request as it is signed.
fn canonical(request: &Request) -> (String, String) {
    let mut headers: Vec<(&str, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).trim().to_owned()))
        .chain([("host", host(&request.url))])
        .collect();
    headers.sort_unstable();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    // What the path holds encoded is encoded once more.
    let path = request.url.path().replace('%', "%25");
    let body = Digest::of(&request.body);
    let canonical = format!("{}\n{path}\n\n{lines}\n{names}\n{}", request.method, body.hex());
    (names, canonical)
}

/// The `Host` header as it is sent.
fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use reqwest::header::CONTENT_TYPE;

    use super::*;

    /// Of the test suite that AWS publishes.
    const SESSION: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

    #[test]
    fn signatures_are_those_of_the_published_test_suite() {
        let form = Some(("application/x-www-form-urlencoded", "Param1=value1"));
        for (name, method, form, session, names, signature) in [
            (
                "get-vanilla",
                Method::GET,
                None,
                None,
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "post-vanilla",
                Method::POST,
                None,
                None,
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-x-www-form-urlencoded",
                Method::POST,
                form,
                None,
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "post-sts-header-before",
                Method::POST,
                None,
                Some(SESSION),
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            let mut request = Request::new(method, Url::parse("https://example.amazonaws.com/").unwrap());
            if let Some((kind, body)) = form {
                request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
                request.body = body.into();
            }
            let key = Key {
                id: "AKIDEXAMPLE".into(),
                secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
                session: session.map(str::to_owned),
            };
            let signed = sign(request, &key, "us-east-1", "service", "2015-08-30T12:36:00Z".parse().unwrap()).unwrap();
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={names}, Signature={signature}"
            );
            assert_eq!(signed.headers[AUTHORIZATION], expected, "{name}");
            assert!(!format!("{:?}", signed.headers).contains(signature), "{name}");
        }
    }
}
