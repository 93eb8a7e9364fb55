//! Budgets over real sockets: pulls to the last one, rates that are kept, and pauses for all who wait.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use proto::settings::{Limits, PullLimit, RegistrySettings};
use proto::{Class, Repository};
use registry::{Action, Client, Error, Kind};
use sandbox::{Auth, Effect, Fault, RateLimit, Registry, RetryAfter, Tokens, content};

use crate::setup::{blob, client, client_for, client_with, no_progress, options, read, repository, settings, tag};

const WINDOW: Duration = Duration::from_secs(21_600);

async fn registry() -> (Registry, Repository) {
    let registry = Registry::builder().start().await.unwrap();
    registry.store().put_image("a", Some("1"), &content::image(1).build());
    let repository = repository(&registry, "a");
    (registry, repository)
}

fn limited(registry: &Registry, limits: Limits) -> RegistrySettings {
    RegistrySettings { limits, ..settings(&registry.host()) }
}

fn pulls(count: Option<u32>, keep_free: u32) -> Limits {
    Limits { pulls: Some(PullLimit { count, per: WINDOW, keep_free }), ..Limits::default() }
}

fn allow(registry: &Registry, remaining: u64) {
    registry.set_pull_limit(Some(sandbox::PullLimit { limit: 100, remaining, window: WINDOW.as_secs() }));
}

/// Reads a manifest so many times at once; how many were read, and why the others were not.
async fn read_at_once(client: &Client, repository: &Repository, times: usize) -> (usize, Vec<Error>) {
    let tag = tag("1");
    let read = join_all((0..times).map(|_| client.manifest(repository, &tag))).await;
    let (read, failed): (Vec<_>, Vec<_>) = read.into_iter().partition(Result::is_ok);
    (read.len(), failed.into_iter().filter_map(Result::err).collect())
}

fn gets(registry: &Registry) -> usize {
    registry.log().count("GET", "/manifests/")
}

#[tokio::test]
async fn of_250_pulls_at_once_100_are_sent_and_150_know_when_to_come_again() {
    let (registry, repository) = registry().await;
    allow(&registry, 100);
    let client = client();
    let (read, refused) = read_at_once(&client, &repository, 250).await;
    assert_eq!((read, refused.len(), gets(&registry)), (100, 150, 100));
    for error in refused {
        assert_eq!((error.kind(), error.class(), error.status()), (Kind::RateLimited, Class::Defer, None), "{error}");
        let wait = error.retry_after().unwrap();
        assert!(wait <= WINDOW && wait > WINDOW - Duration::from_secs(600), "{wait:?}");
        assert!(error.to_string().ends_with("/v2/a/manifests/1: no pulls left of 100 in 6 h"), "{error}");
        assert!(error.hint().unwrap().contains("limits.pulls"), "{error}");
    }
    let view = client.budget(&repository).await.unwrap().pulls.unwrap();
    assert_eq!((view.left, view.limit, view.window, view.keep_free), (0, Some(100), WINDOW, 0));
    assert!(view.wait.is_some());
}

#[tokio::test]
async fn pulls_that_are_kept_free_are_not_used_and_head_is_free() {
    let (registry, repository) = registry().await;
    allow(&registry, 60);
    let client = client_for([limited(&registry, pulls(None, 50))]);
    for _ in 0..3 {
        assert!(client.head_manifest(&repository, &tag("1")).await.unwrap().is_some());
    }
    let view = client.budget(&repository).await.unwrap();
    assert_eq!(view.pulls.map(|pulls| (pulls.left, pulls.keep_free, pulls.wait)), Some((10, 50, None)));
    let (read, refused) = read_at_once(&client, &repository, 20).await;
    assert_eq!((read, refused.len(), gets(&registry)), (10, 10, 10));
    assert!(refused[0].to_string().ends_with("no pulls left of 100 in 6 h (50 kept free)"), "{}", refused[0]);
    assert!(client.head_manifest(&repository, &tag("1")).await.unwrap().is_some());
    // Others give some back.
    allow(&registry, 51);
    assert!(client.head_manifest(&repository, &tag("1")).await.unwrap().is_some());
    assert_eq!(read_at_once(&client, &repository, 2).await.0, 1);
}

#[tokio::test]
async fn our_own_count_of_pulls_holds_where_the_registry_names_none() {
    let (registry, repository) = registry().await;
    let client = client_for([limited(&registry, pulls(Some(4), 1))]);
    let (read, refused) = read_at_once(&client, &repository, 10).await;
    assert_eq!((read, refused.len(), gets(&registry)), (3, 7, 3));
}

#[tokio::test]
async fn a_registry_that_names_no_limit_has_none() {
    let (_registry, repository) = registry().await;
    let client = client();
    assert_eq!(read_at_once(&client, &repository, 50).await.0, 50);
    let view = client.budget(&repository).await.unwrap();
    assert_eq!(view.pulls, None);
    // With the greeting, over TLS and without.
    assert_eq!((view.requests(), view.refused()), (52, 0));
    assert_eq!(view.actions[Action::ManifestRead as usize].requests, 50);
}

#[tokio::test]
async fn a_refusal_that_leaves_no_pulls_defers_and_slows_nothing_down() {
    let (registry, repository) = registry().await;
    allow(&registry, 0);
    let client = client();
    let (_, refused) = read_at_once(&client, &repository, 3).await;
    assert!(refused.iter().all(|error| error.class() == Class::Defer && error.retry_after().is_some()));
    assert_eq!(refused.iter().filter(|error| error.status() == Some(429)).count(), 1);
    assert_eq!(gets(&registry), 1);
    let view = client.budget(&repository).await.unwrap();
    assert_eq!((view.refused(), view.actions[Action::ManifestRead as usize].per_second), (0, None));
}

#[tokio::test]
async fn a_pull_that_needs_another_token_is_one_pull() {
    let mut tokens = Tokens::new([]);
    tokens.anonymous = Some(sandbox::Rights::pull_all());
    let registry = Registry::builder().auth(Auth::Tokens(tokens)).start().await.unwrap();
    registry.store().put_image("a", Some("1"), &content::image(1).build());
    allow(&registry, 3);
    let (client, repository) = (client(), repository(&registry, "a"));
    for _ in 0..3 {
        assert_eq!(read_at_once(&client, &repository, 1).await.0, 1);
        registry.revoke_tokens();
    }
    assert_eq!(read_at_once(&client, &repository, 1).await.1[0].class(), Class::Defer);
    assert_eq!(client.budget(&repository).await.unwrap().pulls.unwrap().left, 0);
}

#[tokio::test]
async fn retry_after_pauses_all_of_its_action_and_no_other() {
    let (registry, repository) = registry().await;
    let refused = Effect::too_many_requests(RetryAfter::Seconds(50));
    registry.fault(Fault::on("HEAD", "/manifests/", refused).times(1));
    let (client, tag) = (client(), tag("1"));
    let heads = join_all((0..10).map(|_| client.head_manifest(&repository, &tag)));
    let others = async {
        registry.log().wait_for("HEAD", "/manifests/", 1).await;
        while client.budget(&repository).await.unwrap().refused() == 0 {
            tokio::task::yield_now().await;
        }
        registry.log().clear();
        client.tags(&repository).await.unwrap();
        // What was under way by then is over, and nothing comes after it.
        registry.log().count("HEAD", "/manifests/")
    };
    let mut heads = std::pin::pin!(heads);
    let late = tokio::select! {
        _ = &mut heads => panic!("one did not wait"),
        late = others => late,
    };
    assert!(tokio::time::timeout(Duration::from_millis(300), heads).await.is_err());
    assert_eq!(registry.log().count("HEAD", "/manifests/"), late);
    assert_eq!(client.budget(&repository).await.unwrap().refused(), 1);
}

#[tokio::test]
async fn a_limit_of_the_server_is_found_and_fails_nothing() {
    let (registry, repository) = registry().await;
    registry.set_rate_limit(Some(RateLimit { per_second: 50, burst: 5, retry_after: None }));
    let (client, tag) = (client(), tag("1"));
    let heads = join_all((0..100).map(|_| client.head_manifest(&repository, &tag))).await;
    assert!(heads.into_iter().all(|head| head.unwrap().is_some()));
    let view = client.budget(&repository).await.unwrap();
    let refused = registry.requests().iter().filter(|request| request.status == 429).count();
    assert_eq!(view.refused(), refused as u64);
    assert!(refused > 0 && view.actions[Action::ManifestRead as usize].per_second.is_some(), "{view:?}");
}

#[tokio::test]
async fn the_rate_of_the_settings_is_kept() {
    let (registry, repository) = registry().await;
    let (per_second, burst) = (100, 1.0);
    let limits = Limits { requests_per_second: Some(per_second), ..Limits::default() };
    let (client, tag) = (client_for([limited(&registry, limits)]), tag("1"));
    let began = Instant::now();
    let heads = join_all((0..50).map(|_| client.head_manifest(&repository, &tag))).await;
    let most = f64::from(per_second) * began.elapsed().as_secs_f64() + burst;
    assert!(heads.into_iter().all(|head| head.unwrap().is_some()));
    let sent = registry.requests().len();
    assert!(sent as f64 <= most, "{sent} were sent of {most}");
    assert_eq!(client.budget(&repository).await.unwrap().per_second, Some(f64::from(per_second)));
}

#[tokio::test]
async fn the_bandwidth_of_the_settings_is_kept_and_waiting_for_it_is_no_stall() {
    let (registry, repository) = registry().await;
    let (bytes, blob) = blob(1, 300_000);
    registry.store().put_blob("a", bytes.clone());
    let bandwidth = 300_000;
    let limits = Limits { bandwidth: Some(bandwidth), ..Limits::default() };
    let access = proto::settings::Access { registries: vec![limited(&registry, limits)], ..Default::default() };
    // A piece of 64 KiB has to wait longer than this.
    let stall_timeout = Duration::from_millis(100);
    let client = client_with(&access, registry::Options { stall_timeout, ..options() });
    let began = Instant::now();
    let (got, end) = read(&client, &repository, &blob).await;
    end.unwrap();
    assert_eq!(got, bytes);
    let other = format!("{}/b", registry.host()).parse().unwrap();
    client.push_blob(&other, &blob, None, &bytes, &no_progress()).await.unwrap();
    let most = bandwidth as f64 * began.elapsed().as_secs_f64();
    // The last wait of a read is after its last piece, and that of an upload before it.
    assert!(600_000.0 <= most + 65_536.0, "{most}");
    let view = client.budget(&repository).await.unwrap();
    assert_eq!((view.bytes_in, view.bytes_out), (300_000, 300_000));
    assert_eq!(registry.log().count("PUT", "/blobs/"), 1);
}
