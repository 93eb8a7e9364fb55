//! Destinations that want some platforms alone: an index written anew, or kept and sparse.

mod attempts;
mod odd;
mod sparse;

use proto::content::{IndexForm, Platforms, Referrers};
use proto::{Class, Code, Content, Digest};
use sandbox::{Image, Missing, Registry, content};
use serde_json::{Value, json};

use crate::bench::{Bench, digest, failure};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn only(platforms: &[&str], index: IndexForm) -> Content {
    let platforms = platforms.iter().map(|text| text.parse().unwrap()).collect();
    Content { platforms: Platforms::Only { platforms, index }, ..Content::default() }
}

fn rewrite(platforms: &[&str]) -> Content {
    only(platforms, IndexForm::Rewrite)
}

fn sparse(platforms: &[&str]) -> Content {
    only(platforms, IndexForm::Sparse)
}

/// A child of an index, for a platform such as `linux/arm/v7`.
fn child(media_type: &str, (digest, size): &(Digest, usize), platform: &str) -> Value {
    let mut parts = platform.split('/');
    let mut child = json!({ "mediaType": media_type, "digest": digest.as_str(), "size": size, "x-unknown": [null] });
    child["platform"] = json!({ "architecture": parts.nth(1), "os": platform.split('/').next() });
    if let Some(variant) = parts.next() {
        child["platform"]["variant"] = variant.into();
    }
    child
}

/// Puts an image at the source without a tag; it as a child of an index.
fn put_child(bench: &Bench, seed: u64, platform: &str) -> (Image, Value) {
    let image = content::image(seed).platform(&platform.parse().unwrap()).build();
    bench.source.store().put_image("team/app", None, &image);
    let entry = child(&image.media_type, &(image.digest(), image.raw.len()), platform);
    (image, entry)
}

fn index(children: &[&Value]) -> Value {
    json!({ "x-first": 1, "schemaVersion": 2, "manifests": children, "annotations": { "z": "1", "a": "2" }, "mediaType": INDEX })
}

/// What the destination holds under a digest.
fn raw(bench: &Bench, digest: &Digest) -> String {
    String::from_utf8(bench.destination.store().manifest("mirror/app", digest).unwrap().raw.to_vec()).unwrap()
}

/// The manifests that the destination holds.
fn held(bench: &Bench) -> Vec<Digest> {
    bench.destination.store().manifests("mirror/app").into_keys().collect()
}

fn sorted<const N: usize>(mut digests: [&Digest; N]) -> Vec<Digest> {
    digests.sort();
    digests.map(Digest::clone).to_vec()
}

fn was_asked_for(registry: &Registry, image: &Image) -> bool {
    let digests = std::iter::once(image.digest()).chain(image.blob_digests());
    digests.into_iter().any(|digest| registry.log().count("", digest.as_str()) > 0)
}

/// An index for two platforms, of which `linux/amd64` is first, with what refers to it and to its children.
fn signed(bench: &Bench) -> (Image, [Digest; 3]) {
    let images = [(1, "linux/amd64"), (2, "linux/arm64")].map(|(seed, platform)| put_child(bench, seed, platform).0);
    let images = images.map(|image| image.clone().with_referrer(content::sbom(&image)));
    let index = content::index(&images);
    let index = index.clone().with_referrer(content::sbom(&index));
    let signatures = [&index, &images[0], &images[1]].map(|image| {
        let signature = content::cosign_signature(image);
        bench.put(&content::cosign_tag(&image.digest(), "sig"), &signature);
        signature.digest()
    });
    bench.put("1.0", &index);
    (index, signatures)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_written_anew_with_the_wanted_platforms_and_all_its_other_fields() {
    let bench = Bench::new().await;
    let (arm, arm_entry) = put_child(&bench, 1, "linux/arm64/v8");
    let (power, power_entry) = put_child(&bench, 2, "linux/ppc64le");
    let (intel, intel_entry) = put_child(&bench, 3, "linux/amd64");
    let (theirs, _) = bench.put_document(Some("1.0"), &index(&[&arm_entry, &power_entry, &intel_entry]));
    let task = bench.task_for("1.0", &rewrite(&["linux/amd64", "linux/arm64"]));
    let result = bench.run(&task).await;

    let expected = index(&[&arm_entry, &intel_entry]).to_string();
    let ours = Digest::of(expected.as_bytes());
    assert_eq!((digest(&result), result.source_digest.as_ref()), (&ours, Some(&theirs)), "the result has both");
    assert_eq!(bench.placed("1.0"), Some(ours.clone()));
    assert_eq!(raw(&bench, &ours), expected);
    assert_eq!(held(&bench), sorted([&ours, &arm.digest(), &intel.digest()]));
    assert!(!was_asked_for(&bench.source, &power) && !was_asked_for(&bench.destination, &power));
    assert_eq!(result.warnings, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_which_all_is_wanted_keeps_its_bytes() {
    let bench = Bench::new().await;
    let (_, first) = put_child(&bench, 1, "linux/amd64");
    let (_, second) = put_child(&bench, 2, "linux/arm/v7");
    let document = format!(" {:#}\n", index(&[&first, &second]));
    let top = bench.source.store().put_manifest("team/app", INDEX, document.clone().into());
    bench.source.store().put_tag("team/app", "1.0", &top);
    for form in [IndexForm::Rewrite, IndexForm::Sparse] {
        let result = bench.run(&bench.task_for("1.0", &only(&["linux/amd64", "linux/arm"], form))).await;
        assert_eq!((digest(&result), raw(&bench, &top)), (&top, document.clone()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attestations_of_the_build_go_with_the_child_that_they_are_about() {
    let bench = Bench::new().await;
    let (intel, intel_entry) = put_child(&bench, 1, "linux/amd64");
    let (power, power_entry) = put_child(&bench, 2, "linux/ppc64le");
    let attests = |seed: u64, image: &Image| {
        let (attestation, mut entry) = put_child(&bench, seed, "unknown/unknown");
        entry["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest().as_str(),
        });
        (attestation, entry)
    };
    let (kept, kept_entry) = attests(3, &intel);
    let (left, left_entry) = attests(4, &power);
    bench.put_document(Some("1.0"), &index(&[&left_entry, &kept_entry, &power_entry, &intel_entry]));
    let result = bench.run(&bench.task_for("1.0", &rewrite(&["linux/amd64"]))).await;
    assert_eq!(raw(&bench, digest(&result)), index(&[&kept_entry, &intel_entry]).to_string());
    assert_eq!(held(&bench), sorted([digest(&result), &intel.digest(), &kept.digest()]));
    assert!(!was_asked_for(&bench.source, &left));
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_in_an_index_are_narrowed_too() {
    let bench = Bench::new().await;
    let (intel, intel_entry) = put_child(&bench, 1, "linux/amd64");
    let (_, power_entry) = put_child(&bench, 2, "linux/ppc64le");
    let nested = |children: &[&Value]| {
        let put = bench.put_document(None, &index(children));
        let mut entry = child(INDEX, &put, "any/any");
        entry.as_object_mut().unwrap().remove("platform");
        (put, entry)
    };
    let (kept, kept_entry) = nested(&[&intel_entry]);
    let (mixed, mut mixed_entry) = nested(&[&power_entry, &intel_entry]);
    let (_, dropped_entry) = nested(&[&power_entry]);
    mixed_entry["data"] = "e30=".into();
    bench.put_document(Some("1.0"), &index(&[&dropped_entry, &mixed_entry, &kept_entry]));

    let result = bench.run(&bench.task_for("1.0", &rewrite(&["linux/amd64"]))).await;
    // Without the other child, the second is the same as the first.
    let expected = index(&[&kept_entry, &kept_entry]).to_string();
    assert_eq!(raw(&bench, digest(&result)), expected);
    assert_eq!(held(&bench), sorted([digest(&result), &kept.0, &intel.digest()]));

    bench.destination.features(|features| features.missing = Missing::Accepted);
    let result = bench.run(&bench.task_for("1.0", &sparse(&["linux/amd64"]))).await;
    assert_eq!(Some(digest(&result)), result.source_digest.as_ref());
    assert!(held(&bench).contains(&mixed.0), "it is carried, but not all that it names");
    assert_eq!(held(&bench).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_without_a_wanted_platform_is_refused_with_those_that_it_has() {
    let bench = Bench::new().await;
    bench.put("1.0", &content::multi_platform(1, &["linux/arm64", "windows/amd64"]));
    for form in [IndexForm::Rewrite, IndexForm::Sparse] {
        let result = bench.run(&bench.task_for("1.0", &only(&["linux/amd64", "linux/s390x"], form))).await;
        let failure = failure(&result);
        assert_eq!((failure.code, failure.class), (Code::PlatformAbsent, Class::Reject));
        let expected =
            "the image's index has none of `linux/amd64`, `linux/s390x`; it has `linux/arm64`, `windows/amd64`";
        assert_eq!(failure.message, expected);
    }
    assert_eq!(held(&bench), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wanted_platform_that_only_some_images_have_is_missed_aloud() {
    let bench = Bench::new().await;
    let top = bench.put("1.0", &content::multi_platform(1, &["linux/amd64"]));
    let result = bench.run(&bench.task_for("1.0", &rewrite(&["linux/amd64", "linux/arm64"]))).await;
    assert_eq!(digest(&result), &top);
    assert_eq!(result.warnings, [format!("the index {top} has nothing for `linux/arm64`")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_image_is_copied_whatever_it_is_for_and_another_platform_is_named() {
    let bench = Bench::new().await;
    let (image, _) = put_child(&bench, 1, "linux/s390x");
    let artifact = content::artifact("application/vnd.example.chart", b"chart");
    for (content, warns) in [(rewrite(&["linux/amd64"]), true), (sparse(&["linux/s390x"]), false)] {
        let top = bench.put("1.0", &image);
        let result = bench.run(&bench.task_for("1.0", &content)).await;
        assert_eq!(digest(&result), &top);
        let expected = format!("{top} is no index but one image, for `linux/s390x`; it was copied all the same");
        assert_eq!(result.warnings, if warns { vec![expected] } else { Vec::new() });
    }
    bench.put("2.0", &artifact);
    assert_eq!(bench.run(&bench.task_for("2.0", &rewrite(&["linux/amd64"]))).await.warnings, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_refers_to_a_rewritten_index_stays_behind_and_is_counted() {
    let bench = Bench::new().await;
    let (index, [_, signature, _]) = signed(&bench);
    let result = bench.run(&bench.task_for("1.0", &rewrite(&["linux/amd64"]))).await;
    let intel = &index.children[0];
    let expected = sorted([digest(&result), &intel.digest(), &intel.referrers[0].digest(), &signature]);
    assert_eq!(held(&bench), expected, "what refers to an unchanged child travels");
    assert_eq!(bench.placed(&content::cosign_tag(&index.digest(), "sig")), None);
    let [warning] = &result.warnings[..] else { panic!("{:?}", result.warnings) };
    let counted = format!(": 2 signatures and other referrers of {} do not fit it", index.digest());
    assert!(warning.contains(&counted), "{warning}");

    // With nothing of the kind wanted, nobody misses it.
    let content = Content { referrers: Referrers::None, ..rewrite(&["linux/amd64"]) };
    assert_eq!(bench.run(&bench.task_for("1.0", &content)).await.warnings, [""; 0]);
}
