//! `verify`: what was placed is read back, and mended.

use proto::Digest;
use sandbox::{Effect, Fault, Image, Registry, content};
use serde_json::Value;

use crate::mirror::Mirror;
use crate::support::{Ended, Workshop, failures, totals};

const PATIENT: [&str; 3] = ["--retry-after=50ms,100ms", "--repeat-after=20ms", "--stall-timeout=1s"];

async fn verify(workshop: &Workshop, args: &[&str]) -> Ended {
    workshop.program(&[&["verify", "job.yaml"], args, &PATIENT].concat()).await
}

/// The repository of the destination.
const APP: &str = "mirror/team/app";

/// Five images in their place, and both logs empty.
async fn placed() -> Mirror {
    let mirror = Mirror::new().await;
    mirror.workshop.run().await.expect(0);
    mirror.source.log().clear();
    mirror.destination.log().clear();
    mirror
}

fn document(registry: &Registry, repository: &str, digest: &Digest) -> Value {
    serde_json::from_slice(&registry.store().manifest(repository, digest).unwrap().raw).unwrap()
}

fn digest(value: &Value) -> Digest {
    value["digest"].as_str().unwrap().parse().unwrap()
}

/// The manifest for the first platform of an image, and its first layer.
fn child_and_layer(mirror: &Mirror, tag: &str) -> (Digest, Digest) {
    let top = mirror.destination.store().tag(APP, tag).unwrap();
    let child = digest(&document(&mirror.destination, APP, &top)["manifests"][0]);
    let layer = digest(&document(&mirror.destination, APP, &child)["layers"][0]);
    (child, layer)
}

/// The SBOM and the signature of the image that has them.
fn referring(mirror: &Mirror) -> (Digest, Digest) {
    let store = mirror.destination.store();
    let top = store.tag(APP, "1.5").unwrap();
    let refers = |digest: &&Digest| document(&mirror.destination, APP, digest)["subject"]["digest"] == top.as_str();
    let manifests = store.manifests(APP);
    let sbom = manifests.keys().find(refers).unwrap().clone();
    (sbom, store.tag(APP, &content::cosign_tag(&top, "sig")).unwrap())
}

fn warnings(report: &Value) -> Vec<&str> {
    report["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap()).collect()
}

#[track_caller]
fn expect_warning(report: &Value, parts: &[&str]) {
    let found = warnings(report).iter().any(|warning| parts.iter().all(|part| warning.contains(part)));
    assert!(found, "no warning has {parts:?}: {:#?}", warnings(report));
}

/// How often anything was written.
fn writes(registry: &Registry) -> usize {
    ["PUT", "POST", "PATCH"].iter().map(|method| registry.log().count(method, "")).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_at_the_destination_is_found_told_and_sent_again() {
    let mirror = placed().await;
    let store = mirror.destination.store();
    let (_, layer) = child_and_layer(&mirror, "1.1");
    let (child, _) = child_and_layer(&mirror, "1.2");
    let (sbom, signature) = referring(&mirror);
    assert!(store.delete_blob(APP, &layer));
    assert!(store.delete_manifest(APP, &child));
    assert!(store.delete_tag(APP, "1.3"));
    let other = store.tag(APP, "1.5").unwrap();
    store.put_tag(APP, "1.4", &other);
    assert!(store.delete_manifest(APP, &sbom));
    let cosign = content::cosign_tag(&other, "sig");
    assert!(store.delete_tag(APP, &cosign), "its manifest stays, where nobody finds it");

    let told = verify(&mirror.workshop, &["--all"]).await.expect(0);
    mirror.expect_all_tags();
    let report = mirror.workshop.report().await;
    assert_eq!(totals(&report), "3 up_to_date, 2 pushed");
    assert_eq!(report["run"]["only"], "what was placed, read back");
    let host = mirror.destination.host();
    let at = |tag: &str| format!("{host}/{APP}:{tag} ");
    for (tag, said) in [
        ("1.1", format!("lacked {layer}, which belongs to what was placed there")),
        ("1.2", format!("lacked {child}")),
        ("1.3", "was gone; it was set again".to_owned()),
        ("1.4", format!("showed {other}, which is not what was placed there; it was replaced")),
        ("1.5", sbom.to_string()),
        ("1.5", signature.to_string()),
    ] {
        expect_warning(&report, &[&at(tag), &said]);
    }
    assert!(told.stdout.contains("warning  ") && told.stdout.contains(&at("1.1")), "{}", told.stdout);
    assert_eq!(mirror.source.log().count("GET", "/tags/list") + mirror.destination.log().count("GET", "/tags/list"), 0);

    mirror.destination.log().clear();
    verify(&mirror.workshop, &["--all"]).await.expect(0);
    let report = mirror.workshop.report().await;
    assert_eq!((totals(&report).as_str(), warnings(&report)), ("5 up_to_date", vec![]));
    assert_eq!(writes(&mirror.destination), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_for_good_is_a_failure_and_nothing_is_touched() {
    let mirror = placed().await;
    let (source, store) = (mirror.source.store(), mirror.destination.store());
    let (_, layer) = child_and_layer(&mirror, "1.1");
    let (child, _) = child_and_layer(&mirror, "1.2");
    let (sbom, _) = referring(&mirror);
    assert!(store.delete_blob(APP, &layer));
    assert!(store.delete_manifest(APP, &child));
    assert!(store.delete_tag(APP, "1.3"));
    assert!(store.delete_manifest(APP, &sbom), "nothing at either side names it any more");
    for digest in source.manifests("team/app").keys() {
        assert!(source.delete_manifest("team/app", digest));
    }

    let told = verify(&mirror.workshop, &["--all"]).await.expect(1);
    let report = mirror.workshop.report().await;
    assert_eq!(totals(&report), "1 up_to_date, 4 failed");
    let failed = failures(&report);
    for tag in ["1.1", "1.2", "1.3", "1.5"] {
        let found = failed.iter().any(|line| line.contains(&format!("team/app:{tag}@")) && line.ends_with("_drifted"));
        assert!(found, "{tag}: {failed:#?}");
    }
    let all = report.to_string();
    for said in [layer.as_str(), child.as_str(), "its tag shows nothing", " manifests and blobs are there"] {
        assert!(all.contains(said), "no `{said}`: {all}");
    }
    expect_warning(&report, &[":1.4 is whole, and could not be mended: the source no longer has sha256:"]);
    assert_eq!(writes(&mirror.destination), 0);
    assert!(told.stdout.contains(" × destination_drifted at "), "{}", told.stdout);

    let run = report["run"]["id"].as_str().unwrap();
    let failures = mirror.workshop.program(&["failures", &run[run.len() - 8..]]).await.expect(0).stdout;
    assert!(failures.contains("4 × destination_drifted"), "{failures}");
    let image = format!("{}/team/app:1.1", mirror.source.host());
    let why = mirror.workshop.program(&["why", &image]).await.expect(0).stdout;
    assert!(why.contains("destination_drifted"), "{why}");
    let status = mirror.workshop.program(&["status"]).await.expect(0).stdout;
    assert!(status.contains("1 up to date · 4 failed"), "{status}");
    // It is read back once more: a source may come back, and nothing is told to be well that is not.
    let retried = mirror.workshop.program(&[&["retry", "--failed"], &PATIENT[..]].concat()).await.expect(1);
    assert!(retried.stderr.contains("retrying run "), "{}", retried.stderr);
    let report = mirror.workshop.report().await;
    assert_eq!(totals(&report), "4 failed");
    assert!(report["run"]["only"].as_str().unwrap().starts_with("what was placed of what failed in run "), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_answer_proves_nothing() {
    let mirror = placed().await;
    let (sbom, _) = referring(&mirror);
    assert!(mirror.destination.store().delete_manifest(APP, &sbom));
    mirror.source.fault(Fault::on("", "/v2/team/app/", Effect::status(503)));
    verify(&mirror.workshop, &["--all"]).await.expect(1);
    let report = mirror.workshop.report().await;
    assert_eq!(totals(&report), "5 failed");
    assert!(failures(&report).iter().all(|line| line.ends_with("source_unavailable")), "{:?}", failures(&report));

    // What could not be read back is in doubt, and the next run looks after it.
    mirror.source.clear_faults();
    mirror.workshop.run().await.expect(0);
    mirror.expect_all_tags();
    let report = mirror.workshop.report().await;
    assert_eq!(totals(&report), "5 up_to_date");
    expect_warning(&report, &[":1.5 lacked ", sbom.as_str()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_missing_each_part_and_each_tag_is_asked_for_once_and_nothing_is_pulled() {
    let source = Registry::builder().start().await.unwrap();
    let images: Vec<Image> = (1..=20).map(|seed| content::multi_platform(seed, &["linux/amd64"])).collect();
    for (tag, image) in images.iter().enumerate() {
        source.store().put_image("team/app", Some(&format!("1.{tag}")), image);
    }
    let mirror = Mirror::of(source, &["team/app"]).await;
    mirror.workshop.run().await.expect(0);
    for log in [mirror.source.log(), mirror.destination.log()] {
        log.clear();
    }
    verify(&mirror.workshop, &["--all"]).await.expect(0);
    assert_eq!(totals(&mirror.workshop.report().await), "20 up_to_date");
    let parts: usize = images.iter().map(|image| image.blob_digests().len() + 2).sum();
    let heads =
        mirror.destination.log().count("HEAD", "/manifests/") + mirror.destination.log().count("HEAD", "/blobs/");
    assert_eq!(heads, parts + images.len());
    let asked = mirror.destination.requests().into_iter().filter(|request| request.path != "/v2/").count();
    assert_eq!(asked, heads);
    let pulled = mirror.source.log().count("GET", "/manifests/") + mirror.source.log().count("GET", "/blobs/");
    assert_eq!(pulled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_are_taken_by_their_turn_and_by_their_names_and_the_file_need_not_take_them_any_more() {
    let mirror = placed().await;
    let (from, to) = (mirror.source.host(), mirror.destination.host());
    mirror.workshop.job(&format!("version: 1\nto: {to}/mirror/{{path}}\nimages:\n  {from}/team/app: \"1.1\"\n"));
    verify(&mirror.workshop, &["--only", "*/app:1.[45]"]).await.expect(0);
    let report = mirror.workshop.report().await;
    assert_eq!(totals(&report), "2 up_to_date");
    assert_eq!(report["run"]["only"], "what was placed and verified least recently of */app:1.[45], read back");

    // As many as 50 requests pay for: those that were not verified just now come first.
    verify(&mirror.workshop, &[]).await.expect(0);
    let report = mirror.workshop.report().await;
    let sources: Vec<_> =
        report["images"].as_array().unwrap().iter().map(|image| image["source"].as_str().unwrap()).collect();
    for tag in ["1.1@", "1.2@", "1.3@"] {
        assert!(sources.iter().any(|source| source.contains(tag)), "{sources:?}");
    }

    let idle = verify(&mirror.workshop, &["--only", "*/none"]).await.expect(2);
    assert!(idle.stderr.contains("nothing that was placed matches `--only */none`"), "{}", idle.stderr);
    let empty = Workshop::new();
    empty.job(&format!("version: 1\nto: {to}/mirror/{{path}}\nimages:\n  {from}/team/app: \"1.1\"\n"));
    let nothing = verify(&empty, &["--all"]).await.expect(2);
    assert!(nothing.stderr.contains("knows of nothing that was placed"), "{}", nothing.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_placed_is_mended_and_what_is_new_at_the_source_waits_for_a_run() {
    let mirror = placed().await;
    let before = mirror.destination.store().tag(APP, "1.1").unwrap();
    mirror.source.store().put_image("team/app", Some("1.1"), &content::image(77).build());
    mirror.source.store().put_image("team/app", Some("1.6"), &content::image(78).build());
    assert!(mirror.destination.store().delete_tag(APP, "1.1"));
    verify(&mirror.workshop, &["--all"]).await.expect(0);
    assert_eq!(mirror.destination.store().tag(APP, "1.1"), Some(before));
    assert_eq!(mirror.destination.store().tag(APP, "1.6"), None);
    assert_eq!(totals(&mirror.workshop.report().await), "4 up_to_date, 1 pushed");

    // The record still names the tag: the next run asks it, and `why` knows it.
    mirror.workshop.run().await.expect(0);
    assert_eq!(totals(&mirror.workshop.report().await), "4 up_to_date, 2 pushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_destination_of_an_image_has_its_own_end_and_narrowed_images_are_read_back_as_they_were_placed() {
    let source = Registry::builder().start().await.unwrap();
    let image = content::multi_platform(1, &["linux/amd64", "linux/arm64"]);
    source.store().put_image("team/app", Some("1"), &image);
    let mirror = Mirror::of(source, &[]).await;
    mirror.destination.features(|can| can.missing = sandbox::Missing::Accepted);
    let (from, to) = (mirror.source.host(), mirror.destination.host());
    mirror.workshop.job(&format!(
        "version: 1\ngroups:\n  \
         new: {{ from: {from}/team, to: \"{to}/new/{{path}}\", images: {{ app: {{ tags: \"1\", platforms: {{ only: [linux/arm64], index: rewrite }} }} }} }}\n  \
         sparse: {{ from: {from}/team, to: \"{to}/sparse/{{path}}\", images: {{ app: {{ tags: \"1\", platforms: {{ only: [linux/arm64], index: sparse }} }} }} }}\n  \
         whole: {{ from: {from}/team, to: \"{to}/whole/{{path}}\", images: {{ app: \"1\" }} }}\n"
    ));
    mirror.workshop.run().await.expect(0);
    let store = mirror.destination.store();
    let arm = digest(&document(&mirror.source, "team/app", &image.digest())["manifests"][1]);
    let layer = digest(&document(&mirror.source, "team/app", &arm)["layers"][0]);
    assert!(store.delete_blob("new/team/app", &layer));
    verify(&mirror.workshop, &["--all"]).await.expect(0);
    assert!(store.has_blob("new/team/app", &layer));
    let report = mirror.workshop.report().await;
    assert_eq!(totals(&report), "1 up_to_date", "one image, pinned, at three destinations");
    assert_eq!(warnings(&report).iter().filter(|warning| warning.contains("lacked")).count(), 1, "{report}");

    assert!(mirror.source.store().delete_manifest("team/app", &image.digest()));
    verify(&mirror.workshop, &["--all"]).await.expect(0);
    let report = mirror.workshop.report().await;
    assert_eq!(warnings(&report).iter().filter(|warning| warning.contains("is whole")).count(), 3, "{report}");
    assert!(store.delete_blob("sparse/team/app", &layer));
    verify(&mirror.workshop, &["--all"]).await.expect(1);
    let report = mirror.workshop.report().await;
    assert_eq!(failures(&report).len(), 1, "{report}");
    let destinations = report["images"][0]["destinations"].as_array().unwrap();
    let outcome = |place: &str| {
        let found = destinations.iter().find(|to| to["destination"].as_str().unwrap().contains(place)).unwrap();
        found["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!(["/new/", "/sparse/", "/whole/"].map(outcome), ["up_to_date", "failed", "up_to_date"]);
}
