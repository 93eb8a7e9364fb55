//! What saves requests where a registry bears it: a blob with the request that opens its upload, mounts, and the proof
//! that what it takes is whole. Each is found out, remembered, and left alone where the settings say so.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use proto::settings::{RegistrySettings, Trick};
use proto::{Descriptor, Repository};
use registry::{BlobSource, BlobStream, Client, Kind, Place, PushError, Pushed};
use sandbox::{Effect, Fault, Features, Missing, Registry};

use crate::script::{Script, answer};
use crate::setup::{blob, client, client_for, counter, no_progress, repository, settings};

/// A client that does not try this.
fn client_without(registry: &Registry, trick: Trick) -> Client {
    client_for([RegistrySettings { without: [trick].into(), ..settings(&registry.host()) }])
}

/// Sends new bytes to `to`, and sees that they came.
async fn push(client: &Client, registry: &Registry, seed: u64, size: usize) {
    let (bytes, descriptor) = blob(seed, size);
    let to = repository(registry, "to");
    let pushed = client.push_blob(&to, &descriptor, None, &bytes, &no_progress()).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    assert!(registry.store().blob("to", &descriptor.digest).unwrap() == bytes);
    assert_eq!(registry.open_uploads(), 0);
}

/// The requests for blobs since the last call, each as `POST` or, with its digest or another word, `POST digest`.
fn uploads(registry: &Registry) -> Vec<String> {
    let of_blobs = registry.requests().into_iter().filter(|request| request.path.contains("/blobs/"));
    let said = of_blobs.map(|request| match request.query.split('&').find_map(|pair| pair.split_once('=')) {
        Some((key, _)) if request.method == "POST" => format!("POST {key}"),
        _ => request.method,
    });
    let said = said.collect();
    registry.log().clear();
    said
}

async fn single_post(client: &Client, registry: &Registry) -> Option<bool> {
    client.capabilities(&repository(registry, "to")).await.unwrap().single_post
}

async fn start(features: impl FnOnce(&mut Features)) -> Registry {
    Registry::builder().features(features).start().await.unwrap()
}

#[tokio::test]
async fn a_registry_that_took_a_small_blob_with_the_post_gets_large_ones_so_too() {
    let (registry, client) = (start(|_| {}).await, client());
    assert_eq!(single_post(&client, &registry).await, None);
    push(&client, &registry, 1, 32 * 1024).await;
    assert_eq!(uploads(&registry), ["POST digest"]);
    assert_eq!(single_post(&client, &registry).await, Some(true));
    push(&client, &registry, 2, 3_000_000).await;
    assert_eq!(uploads(&registry), ["POST digest"]);
}

#[tokio::test]
async fn a_large_blob_is_never_sent_blindly_at_an_unknown_registry() {
    let (registry, client) = (start(|_| {}).await, client());
    push(&client, &registry, 1, 32 * 1024 + 1).await;
    assert_eq!(uploads(&registry), ["POST", "PUT"]);
    assert_eq!(single_post(&client, &registry).await, None, "that it can do is not known from this");
}

#[tokio::test]
async fn a_post_that_only_opens_the_upload_is_followed_by_the_blob_and_that_is_remembered() {
    let (registry, client) = (start(|can| can.single_post = false).await, client());
    let (bytes, descriptor) = blob(1, 1000);
    let (progress, count) = counter();
    let to = repository(&registry, "to");
    client.push_blob(&to, &descriptor, None, &bytes, &progress).await.unwrap();
    assert!(registry.store().has_blob("to", &descriptor.digest));
    assert_eq!(uploads(&registry), ["POST digest", "PUT"], "the upload that it opened is used");
    assert_eq!((count.load(Ordering::SeqCst), registry.open_uploads()), (2_000, 0), "its bytes went twice, this once");
    assert_eq!(single_post(&client, &registry).await, Some(false));
    push(&client, &registry, 2, 1000).await;
    assert_eq!(uploads(&registry), ["POST", "PUT"]);
}

#[tokio::test]
async fn a_post_that_is_refused_for_its_form_becomes_an_upload_in_two_requests_and_that_is_remembered() {
    let forms = [400, 404, 405, 411, 413, 415, 416, 501].map(Effect::status);
    let broken = [Effect::status(405).before_body(), Effect::Close];
    for effect in forms.into_iter().chain(broken) {
        let (registry, client) = (start(|_| {}).await, client());
        let fault = registry.fault(Fault::on("POST", "/uploads/", effect.clone()).times(1));
        push(&client, &registry, 1, 1000).await;
        let mut asked = uploads(&registry);
        // Where there was no answer it is asked whether the blob came.
        asked.retain(|request| request != "HEAD");
        assert_eq!(asked, ["POST digest", "POST", "PUT"], "{effect:?}");
        assert_eq!((fault.hits(), single_post(&client, &registry).await), (1, Some(false)), "{effect:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_is_not_about_the_form_is_told_or_overcome_and_nothing_is_learned_of_it() {
    let (registry, client) = (start(|_| {}).await, client());
    let (bytes, descriptor) = blob(1, 1000);
    let to = repository(&registry, "to");
    let forbidden = registry.fault(Fault::on("POST", "/uploads/", Effect::status(403)));
    match client.push_blob(&to, &descriptor, None, &bytes, &no_progress()).await {
        Err(PushError::Destination(error)) => assert_eq!(error.kind(), Kind::Forbidden),
        other => panic!("{other:?}"),
    }
    assert_eq!((uploads(&registry), single_post(&client, &registry).await), (vec!["POST digest".into()], None));
    forbidden.remove();
    registry.fault(Fault::on("POST", "/uploads/", Effect::status(503)).times(1));
    push(&client, &registry, 1, 1000).await;
    assert_eq!(uploads(&registry), ["POST digest", "POST digest"]);
    assert_eq!(single_post(&client, &registry).await, Some(true));
}

#[tokio::test]
async fn a_post_whose_answer_was_lost_is_found_to_have_brought_the_blob() {
    let (registry, client) = (start(|_| {}).await, client());
    let (bytes, descriptor) = blob(1, 1000);
    let stored = bytes.clone();
    let store = Effect::act(move |store| {
        store.put_blob("to", stored.clone());
    });
    registry.fault(Fault::on("POST", "/uploads/", store));
    registry.fault(Fault::on("POST", "/uploads/", Effect::Close));
    let to = repository(&registry, "to");
    client.push_blob(&to, &descriptor, None, &bytes, &no_progress()).await.unwrap();
    assert_eq!(uploads(&registry), ["POST digest", "HEAD"]);
}

/// A blob in memory that counts how often it is read.
struct Counted(Bytes, AtomicUsize);

#[async_trait::async_trait]
impl BlobSource for Counted {
    async fn open(&self, blob: &Descriptor) -> Result<BlobStream, registry::Error> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.open(blob).await
    }
}

#[tokio::test]
async fn of_many_uploads_at_once_one_tries_the_post_and_no_source_is_read_twice() {
    let (registry, client) = (start(|can| can.single_post = false).await, client());
    let blobs: Vec<_> = (0..20).map(|seed| blob(seed, 1000)).collect();
    let sources: Vec<_> = blobs.iter().map(|(bytes, _)| Counted(bytes.clone(), AtomicUsize::new(0))).collect();
    let (to, progress) = (repository(&registry, "to"), no_progress());
    let pushes =
        blobs.iter().zip(&sources).map(|((_, blob), source)| client.push_blob(&to, blob, None, source, &progress));
    join_all(pushes).await.into_iter().for_each(|pushed| assert_eq!(pushed.unwrap(), Pushed::Uploaded));
    assert!(sources.iter().all(|source| source.1.load(Ordering::SeqCst) == 1));
    assert_eq!(uploads(&registry).iter().filter(|request| *request == "POST digest").count(), 1);
    assert_eq!(registry.open_uploads(), 0);
}

#[tokio::test]
async fn a_post_that_stalls_is_the_destinations_fault_and_sent_again() {
    let (registry, client) = (start(|_| {}).await, client());
    push(&client, &registry, 1, 1000).await;
    uploads(&registry);
    registry.fault(Fault::on("POST", "/uploads/", Effect::StallUpload { after: 1000 }).times(1));
    push(&client, &registry, 2, 20_000_000).await;
    let mut asked = uploads(&registry);
    asked.retain(|request| request != "HEAD");
    assert_eq!(asked, ["POST digest", "POST digest"], "a stall says nothing of the form");
}

#[tokio::test]
async fn a_blob_that_is_corrupt_at_the_source_never_comes_to_be_with_a_post() {
    let [from, to] = [start(|_| {}).await, start(|_| {}).await];
    let client = client();
    push(&client, &to, 1, 1000).await;
    let (bytes, descriptor) = blob(2, 1_000_000);
    from.store().put_blob("from", bytes);
    from.fault(Fault::on("GET", "/blobs/", Effect::CorruptBody { at: 999_999 }));
    let image = repository(&from, "from").to_string().parse().unwrap();
    let source = Place::Repository { client: client.clone(), image };
    let result = client.push_blob(&repository(&to, "to"), &descriptor, None, &source, &no_progress()).await;
    assert!(matches!(result, Err(PushError::Source(error)) if error.kind() == Kind::Corrupt));
    assert!(!to.store().has_blob("to", &descriptor.digest));
    assert_eq!((to.open_uploads(), single_post(&client, &to).await), (0, Some(true)));
}

#[tokio::test]
async fn a_registry_that_says_to_keep_another_blob_than_came_with_the_post_is_not_believed() {
    let (registry, client) = (start(|_| {}).await, client());
    let (bytes, descriptor) = blob(1, 1000);
    registry.fault(Fault::on("POST", "/uploads/", Effect::OtherDigest(blob(2, 1000).1.digest)));
    match client.push_blob(&repository(&registry, "to"), &descriptor, None, &bytes, &no_progress()).await {
        Err(PushError::Destination(error)) => assert_eq!(error.kind(), Kind::Corrupt),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_single_post_in_the_settings_it_is_never_tried() {
    let registry = start(|_| {}).await;
    let client = client_without(&registry, Trick::SinglePost);
    for seed in 0..2 {
        push(&client, &registry, seed, 1000).await;
        assert_eq!(uploads(&registry), ["POST", "PUT"]);
    }
    assert_eq!(single_post(&client, &registry).await, Some(false));
}

/// Sends a blob of `from` to `to`; how it came there.
async fn mount(client: &Client, registry: &Registry, seed: u64) -> Pushed {
    let (bytes, descriptor) = blob(seed, 1000);
    registry.store().put_blob("from", bytes.clone());
    let [from, to] = ["from", "to"].map(|path| repository(registry, path));
    let pushed = client.push_blob(&to, &descriptor, Some(&from), &bytes, &no_progress()).await.unwrap();
    assert!(registry.store().has_blob("to", &descriptor.digest));
    assert_eq!(registry.open_uploads(), 0);
    pushed
}

async fn mounts(client: &Client, registry: &Registry) -> Option<bool> {
    client.capabilities(&repository(registry, "to")).await.unwrap().mounts
}

#[tokio::test]
async fn a_registry_that_declines_five_mounts_in_a_row_is_not_asked_for_more() {
    let (registry, client) = (start(|can| can.mount = false).await, client());
    for seed in 1..=4 {
        assert_eq!(mount(&client, &registry, seed).await, Pushed::Uploaded);
        assert_eq!(
            (uploads(&registry), mounts(&client, &registry).await),
            (vec!["POST mount".into(), "PUT".into()], None)
        );
    }
    registry.fault(Fault::on("POST", "/uploads/", Effect::status(403)).times(1));
    assert_eq!(mount(&client, &registry, 5).await, Pushed::Uploaded);
    assert_eq!(mounts(&client, &registry).await, Some(false), "a refusal counts too");
    uploads(&registry);
    assert_eq!(mount(&client, &registry, 6).await, Pushed::Uploaded);
    assert!(!uploads(&registry).contains(&"POST mount".to_owned()));
}

#[tokio::test]
async fn a_registry_that_mounted_once_is_asked_for_ever() {
    let (registry, client) = (start(|_| {}).await, client());
    assert_eq!(mount(&client, &registry, 1).await, Pushed::Mounted);
    registry.features(|can| can.mount = false);
    for seed in 2..=8 {
        assert_eq!(mount(&client, &registry, seed).await, Pushed::Uploaded);
    }
    assert_eq!(mounts(&client, &registry).await, Some(true));
    registry.features(|can| can.mount = true);
    assert_eq!(mount(&client, &registry, 9).await, Pushed::Mounted);
}

#[tokio::test]
async fn without_mount_in_the_settings_none_is_tried() {
    let registry = start(|_| {}).await;
    let client = client_without(&registry, Trick::Mount);
    assert_eq!(mounts(&client, &registry).await, Some(false));
    assert_eq!(mount(&client, &registry, 1).await, Pushed::Uploaded);
    assert_eq!(uploads(&registry), ["POST digest"]);
}

async fn verifies(client: &Client, registry: &Registry) -> bool {
    client.verifies(&repository(registry, "a")).await.unwrap()
}

/// The requests for manifests.
fn of_manifests(registry: &Registry) -> [usize; 2] {
    ["PUT", "DELETE"].map(|method| registry.log().count(method, "/manifests/"))
}

#[tokio::test]
async fn a_registry_that_names_what_a_manifest_lacks_is_proven_by_32_callers_with_one_request() {
    let (registry, client) = (start(|_| {}).await, client());
    let asked = join_all((0..32).map(|_| verifies(&client, &registry))).await;
    assert_eq!(asked, [true; 32]);
    assert_eq!(of_manifests(&registry), [1, 0]);
    assert_eq!(client.capabilities(&repository(&registry, "a")).await.unwrap().verifies, Some(true));
    assert!(registry.store().manifests("a").is_empty());
}

#[tokio::test]
async fn a_registry_that_takes_what_is_not_whole_is_asked_to_delete_it_and_proves_nothing() {
    for deletion in [true, false] {
        let registry = start(|can| (can.missing, can.deletion) = (Missing::Accepted, deletion)).await;
        let client = client();
        for _ in 0..2 {
            assert!(!verifies(&client, &registry).await);
            assert_eq!(of_manifests(&registry), [1, 1], "asked once");
        }
        assert_eq!(registry.store().manifests("a").is_empty(), deletion);
        assert!(registry.store().tags().is_empty());
    }
}

#[tokio::test]
async fn a_refusal_that_does_not_name_what_is_missing_is_no_proof_and_remembered() {
    for code in ["MANIFEST_INVALID", "MANIFEST_BLOB_UNKNOWN"] {
        let (registry, client) = (start(|_| {}).await, client());
        registry.fault(Fault::on("PUT", "/manifests/", Effect::refusal(400, code)));
        assert!(!verifies(&client, &registry).await);
        registry.clear_faults();
        assert!(!verifies(&client, &registry).await, "{code}");
        assert_eq!(of_manifests(&registry), [1, 0]);
    }
}

#[tokio::test]
async fn a_refusal_that_names_something_else_is_no_proof() {
    let other = blob(1, 10).1.digest;
    let body = format!(r#"{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","detail":{{"Digest":"{other}"}}}}]}}"#);
    let script = Script::start(move |head| match head.starts_with("PUT") {
        true => answer(400, "Content-Type: application/json\r\n", &body),
        false => answer(200, "", ""),
    })
    .await;
    let repository: Repository = format!("{}/a", script.host()).parse().unwrap();
    assert!(!client().verifies(&repository).await.unwrap());
}

#[tokio::test]
async fn a_registry_that_answers_something_else_proves_nothing_and_is_asked_again() {
    for effect in [Effect::status(403), Effect::status(404), Effect::status(503), Effect::status(500)] {
        let (registry, client) = (start(|_| {}).await, client());
        let fault = registry.fault(Fault::on("PUT", "/manifests/", effect.clone()));
        assert!(!verifies(&client, &registry).await, "{effect:?}");
        assert_eq!(client.capabilities(&repository(&registry, "a")).await.unwrap().verifies, None);
        fault.remove();
        assert!(verifies(&client, &registry).await, "{effect:?}");
    }
}

#[tokio::test]
async fn without_optimistic_put_in_the_settings_nothing_is_asked() {
    let registry = start(|_| {}).await;
    assert!(!verifies(&client_without(&registry, Trick::OptimisticPut), &registry).await);
    assert_eq!(registry.requests(), []);
}

#[tokio::test]
async fn a_registry_that_is_not_reached_is_an_error_and_no_proof() {
    let error = client().verifies(&"127.0.0.1:1/a".parse().unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (Kind::Unavailable, None));
}
