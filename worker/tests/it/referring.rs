//! Destinations that want only some of what refers to an image.

use ReferrerKind::{Attestation, Sbom, Signature};
use proto::content::{ReferrerKind, Referrers};
use proto::task::{Mirror, Sidecars, TaskKind};
use proto::{Content, Digest, Task};
use sandbox::{Image, content};
use serde_json::{Value, json};

use crate::bench::{Bench, digest};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

fn only(kinds: &[ReferrerKind]) -> Content {
    Content { referrers: Referrers::Only(kinds.iter().copied().collect()), ..Content::default() }
}

/// What refers to an image, one of a kind in each form.
struct Around {
    signatures: Vec<Image>,
    sboms: Vec<Image>,
    attestations: Vec<Image>,
}

/// Puts an image with children at the source, and everything around it and around its first child.
fn put(bench: &Bench) -> (Image, Around) {
    let index = content::multi_platform(1, &["linux/amd64", "linux/arm64"]);
    bench.put("1.0", &index);
    let mut around = Around { signatures: Vec::new(), sboms: Vec::new(), attestations: Vec::new() };
    for image in [&index, &index.children[0]] {
        let tagged = |kind: &str, artifact: Image| {
            bench.put(&content::cosign_tag(&image.digest(), kind), &artifact);
            artifact
        };
        let referring = |artifact_type: &str, annotations: Value| {
            let artifact = content::referrer(image, artifact_type, image.digest().as_str().as_bytes());
            let mut document: Value = serde_json::from_slice(&artifact.raw).unwrap();
            document["annotations"] = annotations;
            let artifact = Image { raw: document.to_string().into(), ..artifact };
            bench.source.store().put_image("team/app", None, &artifact);
            artifact
        };
        let bundle = |predicate: &str| referring(BUNDLE, json!({ "dev.sigstore.bundle.predicateType": predicate }));
        around.signatures.push(tagged("sig", content::cosign_signature(image)));
        around.signatures.push(referring("application/vnd.cncf.notary.signature", json!({})));
        around.signatures.push(bundle("https://sigstore.dev/cosign/sign/v1"));
        around.sboms.push(tagged("sbom", content::artifact("text/spdx", image.digest().as_str().as_bytes())));
        around.sboms.push(referring("application/vnd.cyclonedx+json", json!({})));
        around.attestations.push(tagged("att", content::artifact(BUNDLE, image.digest().as_str().as_bytes())));
        around.attestations.push(referring("application/vnd.example.scan", json!({})));
        around.attestations.push(bundle("https://slsa.dev/provenance/v1"));
    }
    (index, around)
}

/// What lies at the destination besides the image.
fn travelled(bench: &Bench, image: &Image) -> Vec<Digest> {
    let own: Vec<_> = std::iter::once(image).chain(&image.children).map(Image::digest).collect();
    let held = bench.destination.store().manifests("mirror/app");
    assert!(own.iter().all(|digest| held.contains_key(digest)));
    held.into_keys().filter(|digest| !own.contains(digest)).collect()
}

fn digests(images: &[Image]) -> Vec<Digest> {
    let mut digests: Vec<_> = images.iter().map(Image::digest).collect();
    digests.sort();
    digests
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_that_refers_to_an_image_is_wanted_it_is_not_asked_for() {
    let bench = Bench::new().await;
    let (index, _) = put(&bench);
    for none in [Referrers::None, Referrers::Only([].into())] {
        let content = Content { referrers: none, ..Content::default() };
        assert_eq!(digest(&bench.run(&bench.task_for("1.0", &content)).await), &index.digest());
    }
    assert_eq!(travelled(&bench, &index), []);
    assert_eq!(
        (bench.source.log().count("", "/referrers/"), bench.source.log().count("", "/manifests/sha256-")),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_sboms_and_attestations_travel_as_they_are_wanted_those_of_children_too() {
    for (kind, suffix) in [(Signature, "sig"), (Sbom, "sbom"), (Attestation, "att")] {
        let bench = Bench::new().await;
        let (index, around) = put(&bench);
        let wanted = match kind {
            Signature => around.signatures,
            Sbom => around.sboms,
            Attestation => around.attestations,
        };
        digest(&bench.run(&bench.task_for("1.0", &only(&[kind]))).await);
        assert_eq!(travelled(&bench, &index), digests(&wanted), "{kind}");
        let asked = bench.source.requests().into_iter().filter(|request| request.is("HEAD", "/manifests/sha256-"));
        let asked: Vec<_> = asked.map(|request| request.path).collect();
        assert!(!asked.is_empty() && asked.iter().all(|path| path.ends_with(&format!(".{suffix}"))), "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_type_tells_to_be_unwanted_is_not_read() {
    let bench = Bench::new().await;
    let (_, around) = put(&bench);
    digest(&bench.run(&bench.task_for("1.0", &only(&[Sbom]))).await);
    let reads = |image: &Image| bench.source.log().count("GET", &format!("/manifests/{}", image.digest()));
    assert_eq!((reads(&around.signatures[1]), reads(&around.attestations[1])), (0, 0));
    assert_eq!((reads(&around.signatures[2]), reads(&around.sboms[1])), (1, 1), "a bundle may hold an SBOM");
}

fn with_listed(task: Task, tags: &[&str]) -> Task {
    let TaskKind::Mirror(mirror) = task.kind;
    let tags = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    let sidecars = Sidecars { tags, is_complete: false };
    Task { kind: TaskKind::Mirror(Mirror { sidecars, ..mirror }), ..task }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_is_not_wanted_is_never_missing() {
    let bench = Bench::new().await;
    let image = content::image(1).build();
    let top = bench.put("1.0", &image);
    let task = bench.task_for("1.0", &only(&[Sbom]));
    let first = bench.run(&task).await;
    let (signature, sbom) = (content::cosign_tag(&top, "sig"), content::cosign_tag(&top, "sbom"));
    bench.put(&signature, &content::cosign_signature(&image));
    bench.put(&sbom, &content::artifact("text/spdx", b"late"));

    let again = with_listed(bench.again(&task, &first), &[&signature]);
    bench.run(&again).await;
    assert_eq!((bench.source.requests().len(), bench.destination.requests().len()), (1, 1));

    let again = with_listed(bench.again(&task, &first), &[&signature, &sbom]);
    bench.run(&again).await;
    assert_eq!(bench.placed(&sbom), bench.source.store().tag("team/app", &sbom));
    assert_eq!(bench.placed(&signature), None);
}
