//! TLS with one registry: whom we trust, how we make ourselves known, and what was seen of the other side.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use proto::settings::Tls;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{Error, Kind};

/// Who vouches for a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A CA that the system trusts.
    System,
    /// A CA of `ca_file`.
    OwnCa,
    /// `ca_file` holds the server's very certificate.
    Pinned,
    /// Nobody: the settings say not to check.
    Unchecked,
}

/// What a handshake showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLS 1.2` or `TLS 1.3`.
    pub version: &'static str,
    /// Who vouches for the server.
    pub trust: Trust,
}

/// Remembers the first handshake with the registry itself (redirects and token services may be elsewhere).
#[derive(Default)]
pub(crate) struct Seen(Mutex<(Option<Trust>, Option<&'static str>)>);

impl Seen {
    pub(crate) fn facts(&self) -> Option<TlsFacts> {
        let (trust, version) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some(TlsFacts { version: version?, trust: trust? })
    }

    fn note_trust(&self, trust: Trust) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.get_or_insert(trust);
    }

    /// The signature comes after the certificate in each handshake.
    fn note_version(&self, version: &'static str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.0.is_some() {
            seen.1.get_or_insert(version);
        }
    }
}

/// Builds the TLS configuration for the registry `host`; `key` is the PEM key of `settings.client`.
///
/// # Errors
/// A PEM file cannot be read (`Io`) or is not what it should be (`Untrusted`).
pub(crate) fn config(
    host: &str,
    settings: &Tls,
    network_ca: Option<&Path>,
    key: Option<&str>,
    seen: Arc<Seen>,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let mut own = Vec::new();
    for file in network_ca.into_iter().chain(settings.ca_file.as_deref()) {
        own.extend(certificates(file)?);
    }
    let verifier = Verifier {
        host: host.to_owned(),
        system: system_verifier(&provider),
        own: own_verifier(&own, &provider),
        pinned: own,
        unchecked: settings.skip_verify,
        provider: provider.clone(),
        seen,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(Kind::Internal, "set up TLS").caused_by(error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let (Some(client), Some(key)) = (&settings.client, key) else { return Ok(builder.with_no_client_auth()) };
    let tried = format!("read the client certificate `{}`", client.certificate.display());
    let chain = certificates(&client.certificate)?;
    // The error is left out: it could quote the key's file.
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| Error::new(Kind::Untrusted, tried.clone()).because("its key is not a PEM private key"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        Error::new(Kind::Untrusted, tried).because("certificate and key do not fit together").caused_by(error)
    })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let tried = format!("read the certificates in `{}`", file.display());
    let pem = std::fs::read(file).map_err(|error| Error::new(Kind::Io, tried.clone()).caused_by(error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Error::new(Kind::Untrusted, tried).because("expected PEM with at least one `BEGIN CERTIFICATE`")),
    }
}

/// The system's roots are read once: it costs milliseconds and they do not change within a run.
fn system_verifier(provider: &Arc<CryptoProvider>) -> Option<Arc<WebPkiServerVerifier>> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let loaded = rustls_native_certs::load_native_certs();
        for error in &loaded.errors {
            tracing::warn!(%error, "cannot read some of the system's certificates");
        }
        roots.add_parsable_certificates(loaded.certs);
        Arc::new(roots)
    });
    // Without roots there is nobody to vouch, and the builder refuses.
    WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone()).build().ok()
}

fn own_verifier(own: &[CertificateDer<'static>], provider: &Arc<CryptoProvider>) -> Option<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(own.iter().cloned());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok()
}

struct Verifier {
    host: String,
    system: Option<Arc<WebPkiServerVerifier>>,
    own: Option<Arc<WebPkiServerVerifier>>,
    pinned: Vec<CertificateDer<'static>>,
    unchecked: bool,
    provider: Arc<CryptoProvider>,
    seen: Arc<Seen>,
}

impl Verifier {
    /// Who vouches for the certificate. One that was handed over itself needs no CA, and no name: plain
    /// `openssl req -x509` makes it a CA of itself, which the usual check refuses as a server's certificate.
    fn trust(
        &self,
        end_entity: &CertificateDer<'_>,
        check: impl Fn(&WebPkiServerVerifier) -> Result<ServerCertVerified, rustls::Error>,
    ) -> Result<Trust, rustls::Error> {
        if self.unchecked {
            return Ok(Trust::Unchecked);
        }
        if self.pinned.iter().any(|pinned| pinned.as_ref() == end_entity.as_ref()) {
            return Ok(Trust::Pinned);
        }
        let mut refusal = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for (trust, verifier) in [(Trust::System, &self.system), (Trust::OwnCa, &self.own)] {
            match verifier.as_deref().map(&check) {
                Some(Ok(_)) => return Ok(trust),
                // Whoever knows the issuer has the better reason.
                Some(Err(error)) if !is_unknown_issuer(&error) => refusal = error,
                _ => {}
            }
        }
        Err(refusal)
    }
}

fn is_unknown_issuer(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let trust = self.trust(end_entity, |verifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        })?;
        if server_name.to_str() == self.host.as_str() {
            self.seen.note_trust(trust);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.seen.note_version("TLS 1.2");
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.seen.note_version("TLS 1.3");
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("unchecked", &self.unchecked).finish_non_exhaustive()
    }
}
