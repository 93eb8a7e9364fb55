//! One request to a service of identities, and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::is_nobody;
use crate::error::{Error, Kind, Told};
use crate::proxy::is_loopback;
use crate::wire::{Request, Wire};

/// Tokens are some kilobytes; a page of a listing is some hundred.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Sends one request. Nothing is followed: a redirect would take what the headers prove to another place.
///
/// # Errors
/// As from a registry, with `way` before it and the vendor's own code and message.
pub(super) async fn ask(wire: &Wire, way: &str, request: &Request) -> Result<Bytes, Error> {
    let asked = async {
        let mut answer = wire.exchange(request, &request.url, None).await?.ok_or_told(told).await?;
        answer.bytes(ANSWER_BYTES_MAX).await
    };
    let hint =
        "see whether it can be reached from here: the network, the proxy, a variable that names another endpoint";
    asked.await.map_err(|error| if is_nobody(&error) { error.hinting(hint) } else { error }.during(way))
}

/// As [`ask`], for an answer in JSON.
///
/// # Errors
/// As [`ask`], and `Refused`: the answer is another than expected. It is not quoted, since it may hold a secret.
pub(super) async fn ask_json<T: DeserializeOwned>(wire: &Wire, way: &str, request: &Request) -> Result<T, Error> {
    let body = ask(wire, way, request).await?;
    serde_json::from_slice(&body).map_err(|_| unreadable(wire, way, request))
}

/// The error for an answer that does not hold what it should.
pub(super) fn unreadable(wire: &Wire, way: &str, request: &Request) -> Error {
    wire.error(Kind::Refused, request).because("the answer does not hold what was asked for").during(way)
}

/// A request that posts a form.
pub(super) fn form(url: Url, fields: &[(&str, &str)]) -> Request {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    let mut request = Request::new(Method::POST, url).header(CONTENT_TYPE, kind);
    request.body = body.into();
    request
}

/// The value of a header that must not be shown.
///
/// # Errors
/// `Unauthorized`: the text, which is named by `what`, cannot be a header.
pub(super) fn hidden(what: &str, text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Error::new(Kind::Unauthorized, format!("send {what}")).because("it holds odd characters"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A header of a name that is known to be one.
pub(super) fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// The URL of a service in the world, as `named` by a variable or a file.
///
/// # Errors
/// `Unauthorized`: it is no URL, or what proves our identity would travel in the clear.
pub(super) fn service_url(named: &str, url: &str) -> Result<Url, Error> {
    let failed = |why| Error::new(Kind::Unauthorized, format!("read the URL of {named}")).because(why);
    let url = machine_url(named, url)?;
    if url.scheme() == "https" || is_loopback(&url) { Ok(url) } else { Err(failed("it is not HTTPS")) }
}

/// The URL of a service of this machine, which speaks plain HTTP.
///
/// # Errors
/// `Unauthorized`: it is no URL.
pub(super) fn machine_url(named: &str, url: &str) -> Result<Url, Error> {
    let failed = || {
        Error::new(Kind::Unauthorized, format!("read the URL of {named}"))
            .because("it is not a URL")
            .hinting(format!("correct {named}"))
    };
    Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(failed)
}

/// Seconds as number or as text: Azure's services do not agree.
pub(super) fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    Some(Duration::from_secs(seconds))
}

/// How long it is until `end` (RFC 3339).
pub(super) fn until(end: &str) -> Option<Duration> {
    let end: Timestamp = end.parse().ok()?;
    Some(Duration::try_from(end.duration_since(Timestamp::now())).unwrap_or_default())
}

/// What is between the tags `name` in an XML document without attributes, as AWS writes it.
pub(super) fn element(document: &str, name: &str) -> Option<String> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    Some(entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character)))
}

/// Reads the error bodies of AWS (JSON and XML), of OAuth2 (RFC 6749, 5.2), of GitHub and of registries.
fn told(body: &[u8]) -> Option<Told> {
    if let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(body) {
        let text = |names: [&str; 3]| names.iter().find_map(|name| fields.get(*name)?.as_str()).map(str::to_owned);
        let code = text(["__type", "error", "code"]).unwrap_or_default();
        let code = code.rsplit_once('#').map_or(code.as_str(), |(_, code)| code).to_owned();
        let message = text(["message", "Message", "error_description"]).unwrap_or_default();
        if !code.is_empty() || !message.is_empty() {
            return Some(Told { code, message, missing: Vec::new() });
        }
    }
    let text = String::from_utf8_lossy(body);
    if let (Some(code), Some(message)) = (element(&text, "Code"), element(&text, "Message")) {
        return Some(Told { code, message, missing: Vec::new() });
    }
    Told::parse(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_in_the_form_of_each_vendor() {
        for (body, code, message) in [
            (r#"{"__type":"com.amazon#AccessDeniedException","Message":"no"}"#, "AccessDeniedException", "no"),
            (r#"{"__type":"ThrottlingException","message":"slow"}"#, "ThrottlingException", "slow"),
            (r#"{"error":"invalid_grant","error_description":"bad JWT"}"#, "invalid_grant", "bad JWT"),
            (r#"{"message":"Not Found","documentation_url":"x"}"#, "", "Not Found"),
            (r#"{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}"#, "UNAUTHORIZED", "no"),
            (
                "<E><Error><Code>Expired</Code><Message>a &lt; b &amp;amp;</Message></Error></E>",
                "Expired",
                "a < b &amp;",
            ),
            ("no role", "", "no role"),
        ] {
            let expected = Told { code: code.to_owned(), message: message.to_owned(), missing: Vec::new() };
            assert_eq!(told(body.as_bytes()), Some(expected), "{body}");
        }
        assert_eq!(
            (told(b"<html>x</html>"), told(b"{}"), told(b"[1]").map(|told| told.code)),
            (None, None, Some(String::new()))
        );
    }

    #[test]
    fn what_proves_an_identity_goes_over_https_or_stays_on_this_machine() {
        for (url, good) in [
            ("https://sts.example/", true),
            ("http://127.0.0.1:1/", true),
            ("http://sts.example/", false),
            ("file:///etc", false),
            ("sts.example", false),
        ] {
            assert_eq!(service_url("`X`", url).is_ok(), good, "{url}");
        }
        assert!(machine_url("`X`", "http://169.254.169.254").is_ok());
    }

    #[test]
    fn seconds_are_read_as_number_and_as_text() {
        let read = |text: &str| seconds(&serde_json::from_str(text).unwrap());
        assert_eq!((read("60"), read("\"60\"")), (Some(Duration::from_secs(60)), Some(Duration::from_secs(60))));
        assert_eq!((read("-1"), read("null"), read("\"soon\"")), (None, None, None));
        assert_eq!((until("2001-01-01T00:00:00Z"), until("odd")), (Some(Duration::ZERO), None));
    }
}
