//! Job files as an artifact of a registry.

use std::sync::Arc;

use bytes::Bytes;
use coordinator::catalogue::{Catalogue, Changes};
use proto::manifest::media_type;
use proto::settings::{Access, RegistrySettings};
use proto::{Descriptor, Digest, Manifest, Reference};
use registry::{Client, Options};
use sandbox::{Effect, Fault, Registry};
use serde_json::{Value, json};

use super::{at, changes, job, one, sources};

/// Pushes files as `oras push` does: each a layer, with its path as title.
async fn push(registry: &Registry, files: &[(&str, &str)]) -> Digest {
    let layers = files.iter().map(|(title, text)| (json!({ "org.opencontainers.image.title": title }), *text));
    push_layers(registry, layers.collect()).await
}

/// Pushes layers with these annotations as `team/jobs:main`.
async fn push_layers(registry: &Registry, layers: Vec<(Value, &str)>) -> Digest {
    let client = client(registry);
    let image: proto::ImageRef = format!("{}/team/jobs:main", registry.host()).parse().unwrap();
    let put = async |kind: &str, bytes: Bytes| {
        let blob = Descriptor::new(kind, Digest::of(&bytes), bytes.len() as u64);
        let progress: registry::Progress = Arc::new(|_| {});
        client.push_blob(&image.repository, &blob, None, &bytes, &progress).await.unwrap();
        json!({ "mediaType": kind, "digest": blob.digest, "size": blob.size })
    };
    let config = put("application/vnd.oci.empty.v1+json", Bytes::from_static(b"{}")).await;
    let mut described = Vec::new();
    for (annotations, text) in layers {
        let mut layer = put("application/yaml", Bytes::copy_from_slice(text.as_bytes())).await;
        layer["annotations"] = annotations;
        described.push(layer);
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": "application/vnd.example.jobs",
        "config": config, "layers": described,
    });
    let manifest = Manifest::parse(manifest.to_string().into(), None).unwrap();
    client.put_manifest(&image.repository, &image.reference(), &manifest).await.unwrap();
    manifest.digest
}

fn client(registry: &Registry) -> Client {
    let settings = RegistrySettings { pattern: registry.host(), plain_http: true, ..RegistrySettings::default() };
    let access = Access { registries: vec![settings], ..Access::default() };
    Client::new(&access, Options { retries: 0, resumes: 0, ..Options::default() }).unwrap()
}

/// A registry with these files, and a catalogue of them that was looked at.
async fn looked(files: &[(&str, &str)]) -> (Registry, Catalogue, Changes) {
    let registry = Registry::builder().start().await.unwrap();
    push(&registry, files).await;
    let mut catalogue = at_registry(&registry);
    let changes = catalogue.look(at(0)).await;
    (registry, catalogue, changes)
}

fn at_registry(registry: &Registry) -> Catalogue {
    let origin = format!("oci://{}/team/jobs:main", registry.host());
    Catalogue::new(origin.parse().unwrap(), client(registry))
}

fn factory() -> [(&'static str, &'static str); 3] {
    [
        (
            "factory.yaml",
            "version: 1\ninclude: [{ files: 'teams/*.yaml', may_define: [groups] }]\nto: mirror.test/{path}\n\
             groups: { own: { lists: teams/../lists/own.txt } }\n",
        ),
        ("teams/a.yaml", "version: 1\ngroups: { team: { images: { nginx: '1' } } }\n"),
        ("lists/own.txt", "alpine:1\n"),
    ]
}

#[tokio::test]
async fn the_files_of_an_artifact_are_read_and_each_job_has_its_digest() {
    let (registry, catalogue, seen) = looked(&factory()).await;
    assert_eq!(catalogue.trouble(), None);
    assert_eq!(seen, changes(&["factory"], &[], &[]));
    assert_eq!(sources(&catalogue, "factory"), ["library/alpine", "library/nginx"]);
    let job = &catalogue.jobs()["factory"];
    assert_eq!(job.path, format!("oci://{}/team/jobs:main/factory.yaml", registry.host()));
    let digest = registry.store().tag("team/jobs", "main").unwrap();
    assert_eq!(job.revision.as_deref(), Some(digest.as_str()));
    let paths: Vec<_> = job.file.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["factory.yaml", "lists/own.txt", "teams/a.yaml"]);
    assert_eq!(job.file.pack.parse().unwrap().digest, job.file.digest);
}

#[tokio::test]
async fn a_look_at_an_artifact_that_did_not_move_costs_one_question_that_is_no_pull() {
    let (registry, mut catalogue, _) = looked(&factory()).await;
    registry.log().clear();
    for _ in 0..3 {
        assert!(catalogue.look(at(10)).await.is_empty());
    }
    let requests = registry.requests();
    assert!(requests.iter().all(|request| request.method == "HEAD" || request.path == "/v2/"), "{requests:?}");
    assert_eq!(registry.log().count("HEAD", "/manifests/main"), 3);
}

#[tokio::test]
async fn an_artifact_that_moved_is_read_and_a_file_that_is_not_in_it_any_more_takes_its_jobs_with_it() {
    let (registry, mut catalogue, _) = looked(&[("a.yaml", &one("alpine")), ("b.yaml", &one("nginx"))]).await;
    let second = push(&registry, &[("b.yaml", &one("nginx")), ("c.yaml", &job("other", "busybox"))]).await;
    assert_eq!(catalogue.look(at(10)).await, changes(&["other"], &[], &["a"]));
    for job in catalogue.jobs().values() {
        assert_eq!(job.revision.as_deref(), Some(second.as_str()), "the same content is of the new version too");
    }
    push(&registry, &[("b.yaml", "version: 2\n"), ("c.yaml", &job("other", "memcached"))]).await;
    assert_eq!(catalogue.look(at(20)).await, changes(&[], &["other"], &[]));
    let b = catalogue.files().next().unwrap();
    assert_eq!(b.revision.as_deref(), Some(second.as_str()), "what is in force is of the version of which it was");
    assert!(b.fault.as_ref().unwrap().text.contains("b.yaml:1:10 version"), "{b:?}");
}

#[tokio::test]
async fn a_registry_that_does_not_answer_or_has_no_such_artifact_leaves_all_in_force() {
    let (registry, mut catalogue, _) = looked(&[("a.yaml", &one("alpine"))]).await;
    push(&registry, &[("a.yaml", &one("nginx"))]).await;
    for (method, path) in [("HEAD", "/manifests/"), ("GET", "/manifests/"), ("GET", "/blobs/")] {
        registry.fault(Fault::on(method, path, Effect::status(503)));
        assert!(catalogue.look(at(10)).await.is_empty());
        assert!(catalogue.trouble().is_some_and(|trouble| trouble.text.contains("503")), "{:?}", catalogue.trouble());
        assert_eq!(sources(&catalogue, "a"), ["library/alpine"]);
        registry.clear_faults();
    }
    registry.store().delete_tag("team/jobs", "main");
    catalogue.look(at(20)).await;
    assert_eq!(catalogue.trouble().unwrap().text, "there is no such artifact");
    assert_eq!(catalogue.trouble().unwrap().since, at(10), "it was not read in between");
    push(&registry, &[("a.yaml", &one("nginx"))]).await;
    assert_eq!(catalogue.look(at(30)).await, changes(&[], &["a"], &[]));
    assert_eq!(catalogue.trouble(), None);
}

#[tokio::test]
async fn what_is_no_artifact_of_job_files_is_refused_and_read_once() {
    let (registry, mut catalogue, _) = looked(&[("a.yaml", &one("alpine"))]).await;
    let title = |title: &str| json!({ "org.opencontainers.image.title": title });
    let folder = json!({ "org.opencontainers.image.title": "teams", "io.deis.oras.content.unpack": "true" });
    let text = one("nginx");
    for (layers, why) in [
        (vec![(title("../a.yaml"), text.as_str())], "`../a.yaml`, which is no path of a file"),
        (vec![(title("/etc/a.yaml"), &text)], "which is no path of a file"),
        (vec![(title("a.yaml"), &text), (folder, "tar")], "`teams` is a folder"),
        (vec![(json!({}), &text)], "no layer has a title"),
        (vec![(title("jobs/a.yaml"), &text)], "it has no `*.yaml` or `*.yml` outside of folders"),
    ] {
        push_layers(&registry, layers).await;
        assert!(catalogue.look(at(10)).await.is_empty());
        registry.log().clear();
        assert!(catalogue.look(at(20)).await.is_empty());
        assert_eq!(registry.log().count("GET", "/manifests/"), 0, "it is not read again");
        let told = &catalogue.trouble().unwrap().text;
        assert!(told.contains("is not one of job files: ") && told.contains(why), "{told}");
        assert_eq!(sources(&catalogue, "a"), ["library/alpine"]);
    }
    let index = sandbox::content::multi_platform(1, &["linux/amd64"]);
    registry.store().put_image("team/jobs", Some("main"), &index);
    catalogue.look(at(30)).await;
    assert!(catalogue.trouble().unwrap().text.contains("it is an index"));
    push(&registry, &[("a.yaml", &text)]).await;
    assert_eq!(catalogue.look(at(40)).await, changes(&[], &["a"], &[]));
    assert_eq!(catalogue.trouble(), None);
}

#[tokio::test]
async fn an_artifact_names_nothing_of_the_machine_that_reads_it_nor_what_lies_in_no_folder() {
    let outside = tempfile::tempdir().unwrap();
    let list = outside.path().join("list.txt");
    std::fs::write(&list, "nginx:1\n").unwrap();
    let of_machine =
        format!("version: 1\nto: mirror.test/{{path}}\ngroups: {{ g: {{ lists: {} }} }}\n", list.display());
    let above = "version: 1\nto: mirror.test/{path}\ngroups: { g: { lists: ../../list.txt } }\n";
    let layout = "version: 1\nto: oci:mirror\nimages: { alpine: '1' }\n";
    let secret = one("alpine") + "network: { ca_file: ca.pem }\n";
    let absolute = one("busybox") + "network: { ca_file: /etc/ca.pem }\n";
    let files =
        [("a.yaml", &*of_machine), ("b.yaml", above), ("c.yaml", layout), ("d.yaml", &secret), ("e.yaml", &absolute)];
    let (_registry, catalogue, seen) = looked(&files).await;
    assert_eq!(seen, changes(&["e"], &[], &[]));
    let faults: Vec<_> = catalogue.files().filter_map(|file| Some(file.fault.as_ref()?.text.as_str())).collect();
    assert!(faults[0].contains("cannot be read") && faults[1].contains("cannot be read"), "{faults:?}");
    assert!(faults[2].contains("the path of the folder has a `:`"), "{faults:?}");
    assert!(faults[3].contains("write absolute ones"), "{faults:?}");
}

#[tokio::test]
async fn an_artifact_may_be_pinned_to_its_digest() {
    let (registry, ..) = looked(&[("a.yaml", &one("alpine"))]).await;
    let digest = registry.store().tag("team/jobs", "main").unwrap();
    push(&registry, &[("a.yaml", &one("nginx"))]).await;
    let origin = format!("oci://{}/team/jobs@{digest}", registry.host());
    let mut pinned = Catalogue::new(origin.parse().unwrap(), client(&registry));
    assert_eq!(pinned.look(at(0)).await, changes(&["a"], &[], &[]));
    assert_eq!(sources(&pinned, "a"), ["library/alpine"]);
    let reference: Reference = Reference::Digest(digest);
    assert_eq!(registry.log().count("HEAD", &format!("/manifests/{reference}")), 1);
}
