//! Certificates made when a server starts: an authority, what it signs, or one that signs itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::Error;

/// How a server shows who it is. Its certificate is for `localhost`, `127.0.0.1` and `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// By a certificate that an authority, made at start, has signed.
    SignedByAuthority,
    /// As above, and clients must show a certificate of that authority.
    ClientCertificate,
    /// By a certificate that signed itself and calls itself an authority, as plain `openssl req -x509` makes it.
    SelfSigned,
}

/// What a client needs to speak to a server over TLS, as PEM.
#[derive(Clone)]
pub struct Trust {
    /// The certificate to trust: of the authority, or the self-signed one.
    pub ca_pem: String,
    /// A client's certificate and key, where the server asks for one.
    pub client: Option<ClientIdentity>,
}

/// A client's certificate and its private key, as PEM.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key (PKCS#8).
    pub key_pem: String,
}

/// Makes the certificates and the server's settings.
pub(crate) fn set_up(tls: Tls) -> Result<(Arc<ServerConfig>, Trust), Error> {
    let key = KeyPair::generate().map_err(Error::Certificate)?;
    if tls == Tls::SelfSigned {
        let mut params = server_params()?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).map_err(Error::Certificate)?;
        let trust = Trust { ca_pem: certificate.pem(), client: None };
        return Ok((server_config(certificate.der().clone(), &key, None)?, trust));
    }
    let authority = authority()?;
    let certificate = server_params()?.signed_by(&key, &authority).map_err(Error::Certificate)?;
    let ca_pem = authority.pem();
    if tls == Tls::SignedByAuthority {
        return Ok((server_config(certificate.der().clone(), &key, None)?, Trust { ca_pem, client: None }));
    }
    let client_key = KeyPair::generate().map_err(Error::Certificate)?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "sandbox client");
    let client = params.signed_by(&client_key, &authority).map_err(Error::Certificate)?;
    let identity = ClientIdentity { certificate_pem: client.pem(), key_pem: client_key.serialize_pem() };
    let config = server_config(certificate.der().clone(), &key, Some(authority.der()))?;
    Ok((config, Trust { ca_pem, client: Some(identity) }))
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "sandbox authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(Error::Certificate)?;
    CertifiedIssuer::self_signed(params, key).map_err(Error::Certificate)
}

fn server_params() -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).map_err(Error::Certificate)?;
    params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    params.subject_alt_names.push(SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    params.distinguished_name.push(DnType::CommonName, "sandbox");
    Ok(params)
}

fn server_config(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    client_authority: Option<&CertificateDer<'static>>,
) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(Error::Tls)?;
    let builder = match client_authority {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.clone()).map_err(Error::Tls)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(Error::ClientVerifier)?)
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    builder.with_single_cert(vec![certificate], key).map(Arc::new).map_err(Error::Tls)
}
