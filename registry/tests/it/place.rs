//! An image goes around through every kind of place and comes back the same, with all that belongs to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::content::Referrers;
use proto::manifest::Manifest;
use proto::settings::Access;
use proto::task::Sidecars;
use proto::{Digest, Location, Reference};
use registry::{Client, Kind, Options, Place, Places};
use sandbox::{Registry, content};

fn places() -> Places {
    Places::new(Client::new(&Access::default(), Options::default()).unwrap())
}

fn location(text: &str) -> Location {
    text.parse().unwrap()
}

/// Copies what `from` shows, with all that is below it and all that refers to it.
async fn copy(from: &Place, to: &Place) -> Digest {
    let shown = from.resolve().await.unwrap().expect("there is an image");
    let top = below(from, to, &Reference::Digest(shown.digest.clone())).await;
    for (tag, _) in from.cosign_tags(&shown.digest, &Referrers::All, &Sidecars::default()).await.unwrap() {
        let sidecar = below(from, to, &Reference::Tag(tag.clone())).await;
        to.put_manifest(&Reference::Tag(tag), &sidecar).await.unwrap();
    }
    to.tag(&top).await.unwrap();
    to.finish().await.unwrap();
    shown.digest
}

/// Copies a manifest by digest, with what it needs and what refers to it.
async fn below(from: &Place, to: &Place, reference: &Reference) -> Manifest {
    let manifest = from.manifest(reference).await.unwrap();
    for child in manifest.children() {
        Box::pin(below(from, to, &Reference::Digest(child.digest.clone()))).await;
    }
    for blob in manifest.blobs() {
        assert_eq!(from.blob_size(&blob.digest).await.unwrap(), Some(blob.size));
        to.push_blob(blob, None, from, &(Arc::new(|_| {}) as _)).await.unwrap();
    }
    to.put_manifest(&Reference::Digest(manifest.digest.clone()), &manifest).await.unwrap();
    for referrer in from.referrers(&manifest.digest, &Sidecars::default()).await.unwrap() {
        Box::pin(below(from, to, &Reference::Digest(referrer.digest))).await;
    }
    manifest
}

/// Everything that a place holds of what `digest` names: manifests with their bytes, and blobs.
async fn held(place: &Place, reference: Reference) -> BTreeSet<String> {
    let manifest = place.manifest(&reference).await.unwrap();
    let mut all = BTreeSet::from([format!("manifest {} {}", manifest.digest, manifest.raw.len())]);
    for blob in manifest.blobs() {
        all.insert(format!("blob {} {:?}", blob.digest, place.blob_size(&blob.digest).await.unwrap()));
    }
    for child in manifest.children() {
        all.append(&mut Box::pin(held(place, child.digest.clone().into())).await);
    }
    for referrer in place.referrers(&manifest.digest, &Sidecars::default()).await.unwrap() {
        all.insert(format!("referrer {} of {}", referrer.digest, manifest.digest));
        all.append(&mut Box::pin(held(place, referrer.digest.into())).await);
    }
    for (tag, head) in place.cosign_tags(&manifest.digest, &Referrers::All, &Sidecars::default()).await.unwrap() {
        all.insert(format!("tag {tag} {}", head.digest));
        all.append(&mut Box::pin(held(place, head.digest.into())).await);
    }
    all
}

#[tokio::test]
async fn an_image_goes_around_all_kinds_of_places_and_comes_back_the_same() {
    let first = Registry::builder().start().await.unwrap();
    let last = Registry::builder().features(|features| features.referrers = false).start().await.unwrap();
    let image = content::multi_platform(1, &["linux/amd64", "linux/arm64"]);
    let image = image.clone().with_referrer(content::sbom(&image));
    first.store().put_image("library/app", Some("1.2"), &image);
    let signature = content::cosign_signature(&image);
    first.store().put_image("library/app", Some(&content::cosign_tag(&image.digest(), "sig")), &signature);

    let folder = tempfile::tempdir().unwrap();
    let at =
        |scheme: &str, name: &str| format!("{scheme}:{}:{}", folder.path().join(name).display(), "quay.io/app:1.2");
    let stations = [
        format!("{}/library/app:1.2", first.host()),
        at("oci", "layout"),
        at("oci-archive", "app.tar"),
        at("oci", "other"),
        format!("{}/mirror/app:1.2", last.host()),
    ];
    let places = places();
    let start = places.source(&location(&stations[0])).await.unwrap();
    let expected = held(&start, image.digest().into()).await;
    assert!(expected.len() > 8, "{expected:#?}");
    for leg in stations.windows(2) {
        let from = places.source(&location(&leg[0])).await.unwrap();
        let to = places.destination(&location(&leg[1])).await.unwrap();
        assert_eq!(to.resolve().await.unwrap(), None, "{}", leg[1]);
        assert_eq!(copy(&from, &to).await, image.digest());
        assert_eq!(to.resolve().await.unwrap().unwrap().digest, image.digest());
        assert_eq!(held(&to, image.digest().into()).await, expected, "{}", leg[1]);
    }
}

#[tokio::test]
async fn what_is_not_there_is_none_to_look_at_and_an_error_to_read() {
    let registry = Registry::builder().start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let places = places();
    let layout = format!("oci:{}:quay.io/app:1", folder.path().join("layout").display());
    let archive = format!("oci-archive:{}:quay.io/app:1", folder.path().join("a.tar").display());
    for text in [format!("{}/app:1", registry.host()), layout, archive] {
        let place = places.destination(&location(&text)).await.unwrap();
        let nothing = Digest::of(b"nothing");
        assert_eq!(place.resolve().await.unwrap(), None, "{text}");
        assert_eq!(place.head(&nothing.clone().into()).await.unwrap(), None, "{text}");
        assert_eq!(place.blob_size(&nothing).await.unwrap(), None, "{text}");
        assert_eq!(place.referrers(&nothing, &Sidecars::default()).await.unwrap(), [], "{text}");
        assert_eq!(place.cosign_tags(&nothing, &Referrers::All, &Sidecars::default()).await.unwrap(), [], "{text}");
        let tag = Reference::Tag("1".parse().unwrap());
        for reference in [nothing.into(), tag] {
            assert_eq!(place.manifest(&reference).await.unwrap_err().kind(), Kind::NotFound, "{text}");
        }
    }
}

#[tokio::test]
async fn a_layout_entry_whose_manifest_is_gone_shows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let places = places();
    let place = places.destination(&location(&format!("oci:{}:a:1", folder.path().display()))).await.unwrap();
    let image = content::image(1).build();
    let manifest = Manifest::parse(image.raw.clone(), None).unwrap();
    place.tag(&manifest).await.unwrap();
    assert!(place.resolve().await.unwrap().is_some());
    std::fs::remove_file(folder.path().join("blobs/sha256").join(manifest.digest.hex())).unwrap();
    assert_eq!(place.resolve().await.unwrap(), None);
}
