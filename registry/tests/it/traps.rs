//! What is known of single registries, and would be a trap to who does not know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use proto::settings::{Access, Limits, Network, RegistrySettings};
use proto::{Class, Digest, Manifest, Reference, Repository};
use registry::{Client, Kind, Options, Place, PushError, Pushed, Reread, fallback_tag};
use sandbox::{Account, Auth, Effect, Fault, Registry, Tokens, content};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use crate::script::{Script, answer};
use crate::setup::{blob, client, client_of, client_with, no_progress, options, repository, settings, tag};

/// A client for which `registry` stands for `host`, and a repository there.
fn through(registry: &Registry, host: &str) -> (Client, Repository) {
    let network = Network { proxy: Some(registry.url()), ..Network::default() };
    let registries = vec![RegistrySettings { plain_http: true, ..settings(host) }];
    let client = client_with(&Access { network, registries }, Options { stall_timeout: PATIENCE, ..options() });
    (client, format!("{host}/to").parse().unwrap())
}

/// Large bodies and many requests take time where much runs at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// The requests for blobs, and how many bytes came with each.
fn uploads(registry: &Registry) -> Vec<(String, u64)> {
    let requests = registry.requests().into_iter().filter(|request| request.path.contains("/blobs/"));
    requests.map(|request| (request.method, request.bytes_in)).collect()
}

async fn push(client: &Client, to: &Repository, seed: u64, size: usize) -> Result<Pushed, PushError> {
    let (bytes, descriptor) = blob(seed, size);
    client.push_blob(to, &descriptor, None, &bytes, &no_progress()).await
}

#[tokio::test]
async fn ghcr_may_corrupt_what_comes_in_several_patches_so_a_large_blob_goes_in_one_put_or_one_patch() {
    let size = 40_000_000;
    let registry = Registry::builder().start().await.unwrap();
    let (client, to) = through(&registry, "ghcr.io");
    push(&client, &to, 1, size).await.unwrap();
    assert_eq!(uploads(&registry), [("POST".into(), 0), ("PUT".into(), size as u64)]);

    // Whatever it says to a whole one.
    registry.features(|can| can.put_body_max = Some(1_000_000));
    registry.log().clear();
    push(&client, &to, 2, size).await.unwrap();
    let patches = uploads(&registry).into_iter().filter(|(method, _)| method == "PATCH");
    assert_eq!(patches.collect::<Vec<_>>(), [("PATCH".into(), size as u64)]);
}

#[tokio::test]
async fn a_blob_that_ghcr_says_to_keep_under_another_digest_is_corrupt() {
    let registry = Registry::builder().start().await.unwrap();
    let (client, to) = through(&registry, "ghcr.io");
    registry.fault(Fault::on("PUT", "/uploads/", Effect::OtherDigest(Digest::of(b"other"))));
    match push(&client, &to, 1, 1_000_000).await {
        Err(PushError::Destination(error)) => assert_eq!(error.kind(), Kind::Corrupt, "{error}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn artifact_registry_takes_one_put_of_known_length_which_streams_while_its_source_is_read() {
    let size: usize = 4_000_000;
    let to_one_put = |can: &mut sandbox::Features| {
        can.chunked = false;
        // A body without its length is refused too.
        can.put_body_max = Some(size as u64);
    };
    let to = Registry::builder().features(to_one_put).start().await.unwrap();
    let from = Registry::builder().start().await.unwrap();
    let (bytes, descriptor) = blob(1, size);
    from.store().put_blob("from", bytes);
    from.fault(Fault::on("GET", "/blobs/", Effect::Bandwidth(8_000_000)));
    let (client, place) = through(&to, "europe-docker.pkg.dev");
    let image = repository(&from, "from").to_string().parse().unwrap();
    let source = Place::Repository { client: client.clone(), image };

    let progress = no_progress();
    let pushed = client.push_blob(&place, &descriptor, None, &source, &progress);
    let watched = async {
        while !uploads(&to).iter().any(|(method, bytes)| method == "PUT" && *bytes > 0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        from.requests().iter().any(|request| request.is("GET", "/blobs/") && request.complete)
    };
    let (pushed, was_read_before) = tokio::time::timeout(PATIENCE, join(pushed, watched)).await.unwrap();
    assert_eq!(pushed.unwrap(), Pushed::Uploaded);
    assert!(!was_read_before, "nothing waits for the last byte of the source");
    assert_eq!(uploads(&to), [("POST".into(), 0), ("PUT".into(), size as u64)]);
}

#[tokio::test]
async fn acr_cuts_puts_above_20_megabytes_so_larger_blobs_go_in_chunks_below_that() {
    let max = 20_000_000;
    let registry = Registry::builder().features(|can| can.put_body_max = Some(max)).start().await.unwrap();
    for host in ["mirror.azurecr.io", "mirror.azurecr.cn"] {
        let (client, to) = through(&registry, host);
        registry.log().clear();
        push(&client, &to, 1, 45_000_000).await.unwrap();
        let sent = uploads(&registry);
        let methods: Vec<_> = sent.iter().map(|(method, _)| method.as_str()).collect();
        assert_eq!(methods, ["POST", "PATCH", "PATCH", "PATCH", "PUT"], "and it is not tried in vain before");
        assert!(sent.iter().all(|(_, bytes)| *bytes <= max), "{sent:?}");
        registry.log().clear();
        push(&client, &to, 2, max as usize).await.unwrap();
        assert_eq!(uploads(&registry), [("POST".into(), 0), ("PUT".into(), max)]);
    }
}

#[tokio::test]
async fn ecr_declines_a_mount_until_a_manifest_names_the_blob_and_is_asked_again_after() {
    let registry = Registry::builder().features(|can| can.mount = false).start().await.unwrap();
    let (client, [from, to]) = (client(), ["from", "to"].map(|path| repository(&registry, path)));
    let (bytes, descriptor) = blob(1, 100_000);
    registry.store().put_blob("from", bytes.clone());
    let progress = no_progress();
    let mount = || client.push_blob(&to, &descriptor, Some(&from), &bytes, &progress);
    assert_eq!(mount().await.unwrap(), Pushed::Uploaded);
    // The upload that answered the mount is used.
    assert_eq!(uploads(&registry), [("POST".into(), 0), ("PUT".into(), 100_000)]);
    assert_eq!(registry.open_uploads(), 0);
    // The manifest was put.
    registry.features(|can| can.mount = true);
    assert_eq!(mount().await.unwrap(), Pushed::Mounted);
}

#[tokio::test]
async fn docker_hub_answers_by_accept_so_a_head_and_a_get_say_the_same() {
    let script =
        Script::start(|head| if head.contains("/manifests/") { answer(404, "", "") } else { answer(200, "", "") });
    let (script, client) = (script.await, client());
    let repository = format!("{}/a", script.host()).parse().unwrap();
    assert_eq!(client.head_manifest(&repository, &tag("1")).await.unwrap(), None);
    assert_eq!(client.manifest(&repository, &tag("1")).await.unwrap_err().kind(), Kind::NotFound);
    let known = Digest::of(b"known");
    assert_eq!(client.manifest_unless(&repository, &tag("1"), &known).await.unwrap(), Reread::Gone);
    let requests = script.requests.lock().unwrap();
    let accepted = |head: &String| {
        let lines = head.lines().filter(|line| line.to_lowercase().starts_with("accept:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let of_manifests: Vec<_> = requests.iter().filter(|head| head.contains("/manifests/")).map(accepted).collect();
    assert_eq!(of_manifests.len(), 3);
    assert!(of_manifests.iter().all(|accept| *accept == of_manifests[0]), "{of_manifests:?}");
    for media_type in proto::manifest::media_type::ACCEPTED {
        assert!(of_manifests[0].concat().contains(media_type), "{media_type}: {of_manifests:?}");
    }
}

#[tokio::test]
async fn a_403_that_may_mean_not_found_is_never_taken_for_an_empty_place_and_says_both() {
    let registry = Registry::builder().start().await.unwrap();
    registry.fault(Fault::on("", "/v2/to/", Effect::status(403)));
    let (client, to) = (client(), repository(&registry, "to"));
    let pushed = match push(&client, &to, 1, 1_000).await {
        Err(PushError::Destination(error)) => error,
        other => panic!("{other:?}"),
    };
    let digest = Digest::of(b"");
    let errors = [
        client.head_manifest(&to, &tag("1")).await.unwrap_err(),
        client.blob_size(&to, &digest).await.unwrap_err(),
        client.referrers(&to, &digest).await.unwrap_err(),
        pushed,
    ];
    for error in errors {
        assert_eq!((error.kind(), error.class(), error.status()), (Kind::Forbidden, Class::Reject, Some(403)));
        assert!(error.hint().unwrap().contains("some registries say 403 for 404"), "{error:?}");
    }
}

async fn with_tokens() -> (Registry, Client) {
    let tokens = Auth::Tokens(Tokens::new([Account::new("me", "pw")]));
    let registry = Registry::builder().auth(tokens).start().await.unwrap();
    for number in 0..32 {
        registry.store().put_image(&format!("team/{number}"), Some("1"), &content::image(1).build());
    }
    let client = client_of(&registry.host(), "me", "pw");
    (registry, client)
}

#[tokio::test]
async fn tokens_are_asked_for_one_repository_each_and_their_scopes_do_not_grow() {
    let (registry, client) = with_tokens().await;
    for number in 0..32 {
        let repository = repository(&registry, &format!("team/{number}"));
        assert!(client.head_manifest(&repository, &tag("1")).await.unwrap().is_some());
    }
    let asked = registry.token_log().requests();
    assert_eq!(asked.len(), 32);
    for request in asked {
        assert_eq!(request.query.matches("scope=").count(), 1, "{}", request.query);
        assert_eq!(request.query.matches("team").count(), 1, "{}", request.query);
    }
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_by_one_of_32_and_the_others_wait_for_it() {
    let (registry, client) = with_tokens().await;
    let (repository, tag) = (repository(&registry, "team/1"), tag("1"));
    let heads = || join_all((0..32).map(|_| client.head_manifest(&repository, &tag)));
    registry.fault(Fault::on("", "/token", Effect::Latency(Duration::from_millis(50))));
    for given in [1, 2, 3] {
        assert!(heads().await.into_iter().all(|head| head.unwrap().is_some()));
        assert_eq!(registry.token_log().count("", "/token"), given);
        registry.revoke_tokens();
    }
}

#[tokio::test]
async fn a_fallback_tag_that_another_worker_wrote_at_the_same_time_keeps_what_both_listed() {
    let without_api = |can: &mut sandbox::Features| {
        can.referrers = false;
        can.subject_header = false;
    };
    let registry = Registry::builder().features(without_api).start().await.unwrap();
    let (client, image) = (client(), content::image(1).build());
    registry.store().put_image("a", None, &image);
    let [ours, theirs] = ["ours", "theirs"].map(|name| {
        let artifact = content::referrer(&image, "application/x-test", name.as_bytes());
        registry.store().put_image("a", None, &artifact);
        Manifest::parse(artifact.raw, None).unwrap()
    });
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [theirs.descriptor()],
    });
    let index = registry.store().put_manifest("a", "application/vnd.oci.image.index.v1+json", index.to_string().into());
    let tag = fallback_tag(&image.digest()).unwrap();
    // Between our writing and reading it back somebody else writes, who had read before.
    let (name, path) = (tag.to_string(), format!("/manifests/{tag}"));
    let race = Effect::act(move |store| store.put_tag("a", &name, &index));
    let raced = registry.fault(Fault::on("GET", &path, race).after(1).times(1));
    let place = repository(&registry, "a");
    client.put_manifest(&place, &Reference::Digest(ours.digest.clone()), &ours).await.unwrap();
    let listed = client.referrers(&place, &image.digest()).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|entry| entry.digest).collect();
    assert_eq!((raced.hits(), listed), (1, vec![theirs.digest, ours.digest]));
}

/// Passes connections on to a registry and counts them.
async fn counted(registry: &Registry) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (host, target) = (listener.local_addr().unwrap().to_string(), registry.address());
    let count = Arc::<AtomicUsize>::default();
    let counted = count.clone();
    // It ends with the test's runtime.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut onward = TcpStream::connect(target).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut onward).await
            });
        }
    });
    (host, count)
}

#[tokio::test]
async fn each_request_under_way_has_its_own_connection_and_as_many_are_kept_as_may_be_under_way() {
    let registry = Registry::builder().start().await.unwrap();
    let (bytes, descriptor) = blob(1, 100_000);
    registry.store().put_blob("a", bytes);
    registry.fault(Fault::on("HEAD", "/blobs/", Effect::Latency(Duration::from_millis(50))));
    let (host, connections) = counted(&registry).await;
    let limits = Limits { concurrency: Some(8), ..Limits::default() };
    let registries = vec![RegistrySettings { plain_http: true, limits, ..settings(&host) }];
    let client = client_with(&Access { registries, ..Access::default() }, options());
    let repository = format!("{host}/a").parse().unwrap();
    for _ in 0..12 {
        let sizes = join_all((0..8).map(|_| client.blob_size(&repository, &descriptor.digest))).await;
        assert!(sizes.into_iter().all(|size| size.unwrap() == Some(100_000)));
    }
    let (opened, together) = (connections.load(Ordering::SeqCst), registry.log().peak_in_flight());
    assert!(together > 2, "{together} at once show nothing");
    // Those that read and those that write; a pool that keeps two would open some in each round.
    assert!((together..=16).contains(&opened), "{opened} connections for {together} requests at once");
}

#[tokio::test]
async fn http_2_would_put_all_blobs_on_one_window_so_it_is_not_offered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let hello = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        // A TLS record: its type, version and length, then what it holds (RFC 8446, 5.1).
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.unwrap();
        let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut hello).await.unwrap();
        (head[0], hello)
    };
    let client = client_with(&Access::default(), Options { retries: 0, ..options() });
    let repository = format!("{host}/a").parse().unwrap();
    let tag = tag("1");
    let asked = client.head_manifest(&repository, &tag);
    let (kind, hello) = tokio::select! {
        hello = hello => hello,
        asked = asked => panic!("{asked:?} before it said hello"),
    };
    let offers = |protocol: &[u8]| hello.windows(protocol.len()).any(|bytes| bytes == protocol);
    assert_eq!((kind, offers(b"\x02h2")), (0x16, false));
}
