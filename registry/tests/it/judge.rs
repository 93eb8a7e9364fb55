//! `oci-client`, a client that no one here wrote, reads what this one wrote.

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use proto::manifest::media_type;
use proto::{Manifest, Reference};
use sandbox::{Registry, content};

use crate::setup::{client, no_progress, repository, tag};

#[tokio::test]
async fn another_client_reads_the_same_bytes() {
    // That client takes the provider of the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let registry = Registry::builder().start().await.unwrap();
    let (ours, to) = (client(), repository(&registry, "team/app"));
    let index = content::multi_platform(1, &["linux/amd64", "linux/arm64"]);
    for child in &index.children {
        for (kind, bytes) in &child.blobs {
            let blob = proto::Descriptor::new(kind, proto::Digest::of(bytes), bytes.len() as u64);
            ours.push_blob(&to, &blob, None, bytes, &no_progress()).await.unwrap();
        }
        let manifest = Manifest::parse(child.raw.clone(), None).unwrap();
        ours.put_manifest(&to, &Reference::Digest(child.digest()), &manifest).await.unwrap();
    }
    ours.put_manifest(&to, &tag("1"), &Manifest::parse(index.raw.clone(), None).unwrap()).await.unwrap();

    let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    let theirs = oci_client::Client::new(config);
    let reference: oci_client::Reference = format!("{}/team/app:1", registry.host()).parse().unwrap();
    let auth = RegistryAuth::Anonymous;
    let (raw, digest) = theirs.pull_manifest_raw(&reference, &auth, &media_type::ACCEPTED).await.unwrap();
    assert_eq!((&raw[..], digest), (&index.raw[..], index.digest().to_string()));
    for child in &index.children {
        let by_digest = reference.clone_with_digest(child.digest().to_string());
        let (raw, _) = theirs.pull_manifest_raw(&by_digest, &auth, &media_type::ACCEPTED).await.unwrap();
        assert_eq!(raw[..], child.raw[..]);
        for (kind, bytes) in &child.blobs {
            let descriptor = OciDescriptor {
                media_type: kind.clone(),
                digest: proto::Digest::of(bytes).to_string(),
                size: bytes.len() as i64,
                ..OciDescriptor::default()
            };
            let mut read = Vec::new();
            theirs.pull_blob(&reference, &descriptor, &mut read).await.unwrap();
            assert!(read == bytes[..]);
        }
    }
}
