//! TLS: whom we trust, how we make ourselves known, and where plain HTTP is taken instead.

use proto::Class;
use proto::settings::{Access, ClientCertificate, Network, RegistrySettings, Secret, Tls as TlsSettings};
use registry::{Client, Error, Kind, Trust};
use sandbox::{Registry, Tls, content};

use crate::setup::{client, client_for, client_with, file, options, repository, settings, tag};

async fn registry(tls: Tls) -> Registry {
    let registry = Registry::builder().tls(tls).start().await.unwrap();
    registry.store().put_image("a", Some("1"), &content::image(1).build());
    registry
}

async fn head(client: &Client, registry: &Registry) -> Result<(), Error> {
    client.head_manifest(&repository(registry, "a"), &tag("1")).await.map(|head| assert!(head.is_some()))
}

fn with_tls(registry: &Registry, tls: TlsSettings) -> Client {
    client_for([RegistrySettings { tls, ..settings(&registry.host()) }])
}

async fn trust(client: &Client, registry: &Registry) -> Option<Trust> {
    let image = format!("{}/a:1", registry.host()).parse().unwrap();
    client.check(&image, false).await.unwrap().tls.map(|tls| {
        assert_eq!(tls.version, "TLS 1.3");
        tls.trust
    })
}

#[tokio::test]
async fn an_own_ca_is_trusted_for_one_registry_or_for_all() {
    let registry = registry(Tls::SignedByAuthority).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = file(&folder, "ca.pem", registry.ca_pem().unwrap());
    let for_one = with_tls(&registry, TlsSettings { ca_file: Some(ca.clone()), ..TlsSettings::default() });
    let network = Network { ca_file: Some(ca), ..Network::default() };
    let for_all = client_with(&Access { network, ..Access::default() }, options());
    for client in [for_one, for_all] {
        head(&client, &registry).await.unwrap();
        assert_eq!(trust(&client, &registry).await, Some(Trust::OwnCa));
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_untrusted_and_plain_http_is_not_tried() {
    for tls in [Tls::SignedByAuthority, Tls::SelfSigned] {
        let registry = registry(tls).await;
        let error = head(&client(), &registry).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (Kind::Untrusted, Class::Reject), "{error}");
        assert!(error.to_string().starts_with("GET https://") && error.hint().unwrap().contains("ca_file"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let other = Registry::builder().tls(tls).start().await.unwrap();
        let ca_file = Some(file(&folder, "other.pem", other.ca_pem().unwrap()));
        let error = head(&with_tls(&registry, TlsSettings { ca_file, ..TlsSettings::default() }), &registry).await;
        assert_eq!(error.unwrap_err().kind(), Kind::Untrusted);
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_accepted_when_it_is_the_very_one_of_the_ca_file() {
    let registry = registry(Tls::SelfSigned).await;
    let folder = tempfile::tempdir().unwrap();
    let ca_file = Some(file(&folder, "server.pem", registry.ca_pem().unwrap()));
    let client = with_tls(&registry, TlsSettings { ca_file, ..TlsSettings::default() });
    head(&client, &registry).await.unwrap();
    assert_eq!(trust(&client, &registry).await, Some(Trust::Pinned));
}

#[tokio::test]
async fn checking_can_be_switched_off_for_one_registry() {
    let registry = registry(Tls::SelfSigned).await;
    let client = with_tls(&registry, TlsSettings { skip_verify: true, ..TlsSettings::default() });
    head(&client, &registry).await.unwrap();
    assert_eq!(trust(&client, &registry).await, Some(Trust::Unchecked));
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let registry = registry(Tls::ClientCertificate).await;
    let folder = tempfile::tempdir().unwrap();
    let identity = registry.client_identity().unwrap();
    let ca_file = Some(file(&folder, "ca.pem", registry.ca_pem().unwrap()));
    let certificate = file(&folder, "me.pem", &identity.certificate_pem);
    let key = Secret::File(file(&folder, "me.key", &identity.key_pem));
    let tls = |key| {
        let client = Some(ClientCertificate { certificate: certificate.clone(), key });
        TlsSettings { ca_file: ca_file.clone(), client, skip_verify: false }
    };
    head(&with_tls(&registry, tls(key)), &registry).await.unwrap();

    let without = TlsSettings { ca_file: ca_file.clone(), ..TlsSettings::default() };
    let error = head(&with_tls(&registry, without), &registry).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Untrusted, "{error:?}");
    assert!(error.hint().unwrap().contains("client certificate"), "{error}");

    let no_key = Secret::File(file(&folder, "no.key", "hush, no key"));
    let error = head(&with_tls(&registry, tls(no_key)), &registry).await.unwrap_err();
    assert!(error.to_string().contains("me.pem") && !format!("{error:?}").contains("hush"), "{error:?}");
}

#[tokio::test]
async fn a_file_without_certificates_is_named() {
    let registry = registry(Tls::SelfSigned).await;
    let folder = tempfile::tempdir().unwrap();
    let empty = file(&folder, "empty.pem", "");
    let absent = folder.path().join("absent.pem");
    for (path, kind) in [(empty, Kind::Untrusted), (absent, Kind::Io)] {
        let tls = TlsSettings { ca_file: Some(path.clone()), ..TlsSettings::default() };
        let error = head(&with_tls(&registry, tls), &registry).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn on_loopback_plain_http_is_found_out_once_and_elsewhere_it_must_be_said() {
    let registry = Registry::builder().start().await.unwrap();
    registry.store().put_image("a", Some("1"), &content::image(1).build());
    let client = client();
    head(&client, &registry).await.unwrap();
    head(&client, &registry).await.unwrap();
    assert_eq!(trust(&client, &registry).await, None);
    let hellos = registry.requests().iter().filter(|request| request.path == "/v2/").count();
    assert_eq!(hellos, 1);

    let settings = RegistrySettings { plain_http: true, ..settings(&registry.host()) };
    head(&client_for([settings]), &registry).await.unwrap();

    // With TLS settings, TLS is what is wanted, on loopback too.
    let wanted = with_tls(&registry, TlsSettings { skip_verify: true, ..TlsSettings::default() });
    let error = head(&wanted, &registry).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
    assert!(error.hint().unwrap().contains("plain_http"), "{error:?}");
}
