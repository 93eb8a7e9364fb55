//! Tells why a request got no answer, from the errors below it.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;

use crate::dns::DnsError;
use crate::error::{Error, Kind};
use crate::proxy::Proxy;

/// Why there is no answer, in the words of the lowest cause: those between say nothing that a person needs.
pub(crate) fn not_answered(tried: &str, proxy: Option<&Proxy>, error: &reqwest::Error) -> Error {
    let through = proxy.map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
    let new = |kind| Error::new(kind, tried);
    let mut cause: &(dyn StdError + 'static) = error;
    loop {
        if let Some(dns) = cause.downcast_ref::<DnsError>() {
            let why = dns.source().map(|source| format!("{dns}: {source}")).unwrap_or_else(|| dns.to_string());
            let hint = if proxy.is_some() { "check the proxy's name" } else { "check the registry's name" };
            return new(Kind::Unavailable).because(format!("{why}{through}")).hinting(hint);
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return tls_error(new(Kind::Untrusted), tls);
        }
        // An `io::Error` shows what is inside it only by `get_ref`.
        let inside = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match inside.map(|inside| inside as &(dyn StdError + 'static)).or(cause.source()) {
            Some(below) => cause = below,
            None => break,
        }
    }
    new(Kind::Unavailable).because(if error.is_timeout() {
        format!("no connection in time{through}")
    } else if error.is_connect() {
        format!("cannot connect{through}: {cause}")
    } else {
        format!("the connection broke{through}: {cause}")
    })
}

fn tls_error(error: Error, tls: &rustls::Error) -> Error {
    match tls {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            error.because("the server's certificate is not signed by an authority that is trusted here")
        }
        // No authority of ours would mend these.
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidForName
            | CertificateError::NotValidForNameContext { .. },
        ) => error
            .because(tls.to_string())
            .hinting("the server needs another certificate; until then `tls: { skip_verify: true }` goes without"),
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
