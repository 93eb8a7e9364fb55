//! Tells why a request got no answer, from the errors below it.

use std::error::Error as StdError;
use std::io;

use crate::dns::DnsError;
use crate::error::{Error, Kind};

/// Why there is no answer. The cause lies below several layers, of which `io::Error` shows its inside only by
/// `get_ref`.
pub(crate) fn not_answered(tried: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let new = |kind| Error::new(kind, tried);
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    let mut result = None;
    while let Some(current) = cause {
        if let Some(dns) = current.downcast_ref::<DnsError>() {
            result = Some(new(Kind::Unavailable).because(dns.to_string()).hinting("check the registry's name"));
        } else if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            result = Some(tls_error(new(Kind::Untrusted), tls));
        }
        if result.is_some() {
            break;
        }
        let inside = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = inside.map(|inside| inside as &(dyn StdError + 'static)).or_else(|| current.source());
    }
    let what = if error.is_timeout() {
        "no connection in time"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    result.unwrap_or_else(|| new(Kind::Unavailable).because(what)).caused_by(error)
}

fn tls_error(error: Error, tls: &rustls::Error) -> Error {
    match tls {
        rustls::Error::InvalidCertificate(_) => error.because(tls.to_string()),
        rustls::Error::AlertReceived(_) => {
            error.because(tls.to_string()).hinting("the server may want a client certificate: `tls.client`")
        }
        _ => error
            .because(tls.to_string())
            .with_kind(Kind::Unavailable)
            .hinting("the server may speak plain HTTP: `plain_http: true`"),
    }
}
