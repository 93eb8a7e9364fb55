//! Tells why a request got no answer, from the errors below it.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;

use crate::dns::DnsError;
use crate::error::{Error, Kind};

/// Why there is no answer. The cause lies below several layers, of which `io::Error` shows its inside only by
/// `get_ref`; what they say themselves, that a request was being sent, helps nobody.
pub(crate) fn not_answered(tried: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let new = |kind| Error::new(kind, tried);
    let mut cause: &(dyn StdError + 'static) = &error;
    loop {
        if let Some(dns) = cause.downcast_ref::<DnsError>() {
            let failed = new(Kind::Unavailable).because(dns.to_string()).hinting("check the registry's name");
            return failed.caused_by(dns.source.to_string());
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return tls_error(new(Kind::Untrusted), tls);
        }
        let inside = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match inside.map(|inside| inside as &(dyn StdError + 'static)).or_else(|| cause.source()) {
            Some(below) => cause = below,
            None => break,
        }
    }
    let what = if error.is_timeout() {
        "no connection in time"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection broke"
    };
    new(Kind::Unavailable).because(what).caused_by(cause.to_string())
}

fn tls_error(error: Error, tls: &rustls::Error) -> Error {
    match tls {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            error.because("the server's certificate is not signed by an authority that is trusted here")
        }
        rustls::Error::InvalidCertificate(_) => error
            .because(tls.to_string())
            .hinting("the server needs another certificate; until then `tls: { skip_verify: true }` goes without"),
        rustls::Error::AlertReceived(_) => {
            error.because(tls.to_string()).hinting("the server may want a client certificate: `tls.client`")
        }
        _ => error
            .because(tls.to_string())
            .with_kind(Kind::Unavailable)
            .hinting("the server may speak plain HTTP: `plain_http: true`"),
    }
}
