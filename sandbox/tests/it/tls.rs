//! Clients that trust what they are given get in, and others do not.

use reqwest::{Certificate, Identity};
use sandbox::{Auth, Effect, Fault, Registry, Tls, Tokens};

use crate::help::client_builder;

async fn status(registry: &Registry, client: reqwest::ClientBuilder) -> Option<u16> {
    let answer = client.build().unwrap().get(format!("{}/v2/", registry.url())).send().await;
    answer.ok().map(|answer| answer.status().as_u16())
}

fn trusting(registry: &Registry) -> reqwest::ClientBuilder {
    client_builder().tls_certs_only([Certificate::from_pem(registry.ca_pem().unwrap().as_bytes()).unwrap()])
}

#[tokio::test]
async fn a_certificate_of_the_authority_is_trusted_by_those_who_trust_it() {
    let registry = Registry::builder().tls(Tls::SignedByAuthority).start().await.unwrap();
    assert_eq!(status(&registry, trusting(&registry)).await, Some(200));
    assert_eq!(status(&registry, client_builder()).await, None);
    let other = Registry::builder().tls(Tls::SignedByAuthority).start().await.unwrap();
    assert_eq!(status(&registry, trusting(&other)).await, None);
}

#[tokio::test]
async fn a_self_signed_certificate_is_what_it_says_is_to_be_trusted() {
    let registry = Registry::builder().tls(Tls::SelfSigned).start().await.unwrap();
    assert_eq!(status(&registry, client_builder()).await, None);
    let unchecked = client_builder().tls_danger_accept_invalid_certs(true).tls_info(true).build().unwrap();
    let answer = unchecked.get(format!("{}/v2/", registry.url())).send().await.unwrap();
    let shown = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap().peer_certificate().unwrap().to_vec();
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let told = CertificateDer::from_pem_slice(registry.ca_pem().unwrap().as_bytes()).unwrap();
    assert_eq!(shown, told.as_ref());
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_asked_for() {
    let registry = Registry::builder().tls(Tls::ClientCertificate).start().await.unwrap();
    assert_eq!(status(&registry, trusting(&registry)).await, None);
    let identity = registry.client_identity().unwrap();
    let pem = format!("{}{}", identity.certificate_pem, identity.key_pem);
    let client = trusting(&registry).identity(Identity::from_pem(pem.as_bytes()).unwrap());
    assert_eq!(status(&registry, client).await, Some(200));
}

#[tokio::test]
async fn a_cut_falls_on_the_named_byte_over_tls_too() {
    let registry = Registry::builder().tls(Tls::SignedByAuthority).start().await.unwrap();
    let digest = registry.store().put_blob("a", vec![7; 3_000_000].into());
    registry.fault(Fault::on("GET", "/blobs/", Effect::CutBody { after: 2_000_001 }));
    let client = trusting(&registry).build().unwrap();
    let mut cut = client.get(format!("{}/v2/a/blobs/{digest}", registry.url())).send().await.unwrap();
    let mut read = 0;
    while let Ok(Some(bytes)) = cut.chunk().await {
        read += bytes.len();
    }
    assert_eq!(read, 2_000_001);
}

#[tokio::test]
async fn the_token_service_speaks_tls_under_the_same_authority() {
    let auth = Auth::Tokens(Tokens::new([]));
    let registry = Registry::builder().tls(Tls::SignedByAuthority).auth(auth).start().await.unwrap();
    let client = trusting(&registry).build().unwrap();
    let refused = client.get(format!("{}/v2/", registry.url())).send().await.unwrap();
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap();
    let realm = challenge.split('"').nth(1).unwrap();
    assert!(realm.starts_with("https://"));
    assert_eq!(client.get(realm).send().await.unwrap().status(), 401);
}
