//! The way to the registry: names, proxies, redirects.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proto::Class;
use proto::settings::{Access, Auth as FileAuth, Limits, Network, RegistrySettings, Secret};
use registry::{Env, Kind, Options};
use sandbox::{Account, Auth, Registry, Tokens, content};
use tokio::net::TcpListener;

use crate::script::{Script, answer};
use crate::setup::{
    blob, client, client_of, client_with, options, options_with_password, read, repository, settings, tag, with_user,
};

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told_as_that() {
    let repository = "registry.invalid/a".parse().unwrap();
    let error = client().head_manifest(&repository, &tag("1")).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Unavailable, Class::Retry));
    // What follows are the resolver's own words, which differ from system to system.
    let told = error.to_string();
    assert!(told.starts_with("GET https://registry.invalid/v2/: cannot resolve `registry.invalid`: "), "{told}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unavailable() {
    let registry = Registry::builder().start().await.unwrap();
    let repository = repository(&registry, "a");
    drop(registry);
    let error = client().head_manifest(&repository, &tag("1")).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (Kind::Unavailable, Class::Retry), "{error}");
    assert!(error.to_string().contains("cannot connect: Connection refused"), "{error}");
}

/// A port that takes connections and never says a word, and how many it took.
async fn silence() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let taken = Arc::<AtomicUsize>::default();
    let count = taken.clone();
    // It ends with the test's runtime.
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            open.push(stream);
        }
    });
    (host, taken)
}

/// Asks a silent registry `together` times at once, and then once more; each tries twice. How many connections it took.
async fn asked_in_silence(together: usize, unreached_for: Duration) -> usize {
    let (host, taken) = silence().await;
    let options = Options { retries: 1, answer_timeout: Duration::from_millis(100), unreached_for, ..options() };
    let client = client_with(&Access { registries: vec![plain(&host)], ..Access::default() }, options);
    let (repository, tag) = (format!("{host}/a").parse().unwrap(), tag("1"));
    let heads = (0..together).map(|_| client.head_manifest(&repository, &tag));
    let mut heads = futures_util::future::join_all(heads).await;
    heads.push(client.head_manifest(&repository, &tag).await);
    for head in heads {
        let error = head.unwrap_err();
        assert_eq!((error.kind(), error.class()), (Kind::Stalled, Class::Retry), "{error}");
    }
    taken.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_registry_that_never_answers_fails_all_who_wait_together_and_who_come_soon_after() {
    assert_eq!(asked_in_silence(12, Duration::from_secs(3_600)).await, 2);
}

#[tokio::test]
async fn a_registry_that_was_not_reached_is_asked_again_after_a_while() {
    assert_eq!(asked_in_silence(1, Duration::ZERO).await, 4);
}

/// A proxy that answers for every registry.
async fn proxy() -> Script {
    Script::start(|head| match head {
        _ if head.starts_with("CONNECT") => answer(403, "", ""),
        _ if head.contains("/manifests/") => answer(404, "", ""),
        _ => answer(200, "", ""),
    })
    .await
}

fn plain(host: &str) -> RegistrySettings {
    RegistrySettings { plain_http: true, ..settings(host) }
}

#[tokio::test]
async fn a_proxy_is_used_by_setting_and_by_environment_and_gets_its_own_password() {
    let proxy = proxy().await;
    let url = format!("http://user:pass@{}", proxy.host());
    let network = Network { proxy: Some(url.clone()), ..Network::default() };
    let by_setting = Access { network, registries: vec![plain("registry.invalid")] };
    let by_environment = Access { registries: vec![plain("registry.invalid")], ..Access::default() };
    let env = Env::from_fn(move |name| (name == "HTTP_PROXY").then(|| url.clone()));
    for client in [client_with(&by_setting, options()), client_with(&by_environment, Options { env, ..options() })] {
        let repository = "registry.invalid/a".parse().unwrap();
        assert_eq!(client.head_manifest(&repository, &tag("1")).await.unwrap(), None);
    }
    assert_eq!(proxy.count("HEAD http://registry.invalid/v2/a/manifests/1 "), 2);
    let requests = proxy.requests.lock().unwrap();
    assert!(requests.iter().all(|head| head.to_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz")));
}

#[tokio::test]
async fn a_proxy_that_refuses_a_tunnel_is_told_without_its_password() {
    let proxy = proxy().await;
    let network = Network { proxy: Some(format!("http://user:hush@{}", proxy.host())), ..Network::default() };
    let client = client_with(&Access { network, ..Access::default() }, options());
    let error = client.head_manifest(&"registry.invalid/a".parse().unwrap(), &tag("1")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(!format!("{error} {error:?} {client:?}").contains("hush"), "{error:?} {client:?}");
    assert!(proxy.count("CONNECT registry.invalid:443 ") > 0);
}

#[tokio::test]
async fn loopback_and_direct_hosts_go_without_the_proxy() {
    let proxy = proxy().await;
    let registry = Registry::builder().start().await.unwrap();
    registry.store().put_image("a", Some("1"), &content::image(1).build());
    let network = Network {
        proxy: Some(format!("http://{}", proxy.host())),
        direct: vec![".invalid".into()],
        ..Network::default()
    };
    let client = client_with(&Access { network, registries: vec![plain("registry.invalid")] }, options());
    let head = client.head_manifest(&repository(&registry, "a"), &tag("1")).await.unwrap();
    assert!(head.is_some());
    let error = client.head_manifest(&"registry.invalid/a".parse().unwrap(), &tag("1")).await.unwrap_err();
    assert!(error.to_string().contains("cannot resolve"), "{error}");
    assert_eq!(proxy.requests.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_redirect_to_another_host_is_followed_without_credentials() {
    for auth in [Auth::Basic(vec![Account::new("me", "pw")]), Auth::Tokens(Tokens::new([Account::new("me", "pw")]))] {
        let builder = Registry::builder().auth(auth).features(|features| features.redirect_blobs = true);
        let registry = builder.start().await.unwrap();
        let (bytes, descriptor) = blob(1, 100_000);
        registry.store().put_blob("a", bytes.clone());
        let client = client_of(&registry.host(), "me", "pw");
        let (read, end) = read(&client, &repository(&registry, "a"), &descriptor).await;
        end.unwrap();
        assert!(read == bytes);
        let asked = registry.storage_log().requests();
        assert!(asked.len() == 1 && !asked[0].authorized, "{asked:?}");
    }
}

#[tokio::test]
async fn a_challenge_of_another_host_gets_no_credentials() {
    let thief = Script::start(|head| match head {
        _ if head.starts_with("GET /token") => answer(200, "", r#"{"token":"t"}"#),
        _ => answer(401, "WWW-Authenticate: Bearer realm=\"http://{}/token\"\r\n", ""),
    })
    .await;
    let location = format!("Location: http://{}/elsewhere\r\n", thief.host());
    for (path, status) in [("/v2/a/manifests/1", "307"), ("/v2/ ", "302")] {
        let location = location.clone();
        let script = Script::start(move |head| match head.contains(path) {
            true => answer(status.parse().unwrap(), &location, ""),
            false => answer(200, "", ""),
        })
        .await;
        let client = client_with(
            &Access { registries: vec![with_user(&script.host(), "me")], ..Access::default() },
            options_with_password("pw"),
        );
        let _ = client.head_manifest(&format!("{}/a", script.host()).parse().unwrap(), &tag("1")).await;
    }
    assert_eq!(thief.count("GET /token"), 0);
    assert_eq!(thief.count("HEAD /elsewhere") + thief.count("GET /elsewhere"), 2);
    let requests = thief.requests.lock().unwrap();
    assert!(requests.iter().all(|head| !head.to_lowercase().contains("authorization:")), "{requests:?}");
}

#[tokio::test]
async fn redirects_in_a_circle_and_of_writes_are_refused() {
    let script = Script::start(|head| match head {
        _ if head.starts_with("GET /v2/ ") => answer(200, "", ""),
        _ => answer(307, "Location: http://{}/v2/again\r\n", ""),
    })
    .await;
    let repository = format!("{}/a", script.host()).parse().unwrap();
    let error = client().head_manifest(&repository, &tag("1")).await.unwrap_err();
    assert!(error.kind() == Kind::Refused && error.to_string().contains("redirects"), "{error}");
    assert_eq!(script.count("HEAD "), 6);
    let manifest = proto::Manifest::parse(content::image(1).build().raw, None).unwrap();
    let error = client().put_manifest(&repository, &tag("1"), &manifest).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (Kind::Refused, Some(307)));
}

#[tokio::test]
async fn an_upload_location_on_another_host_gets_no_credentials() {
    let elsewhere = Script::start(|_| answer(201, "", "")).await;
    let location = format!("Location: http://{}/upload?state=x\r\n", elsewhere.host());
    let script = Script::start(move |head| match head {
        _ if !head.to_lowercase().contains("authorization:") => answer(401, "WWW-Authenticate: Basic\r\n", ""),
        _ if head.starts_with("POST") => answer(202, &location, ""),
        _ => answer(200, "", ""),
    })
    .await;
    let access = Access { registries: vec![with_user(&script.host(), "me")], ..Access::default() };
    let client = client_with(&access, options_with_password("pw"));
    let (bytes, descriptor) = blob(1, 10);
    let repository = format!("{}/a", script.host()).parse().unwrap();
    client.push_blob(&repository, &descriptor, None, &bytes, &crate::setup::no_progress()).await.unwrap();
    let requests = elsewhere.requests.lock().unwrap();
    assert!(requests[0].starts_with("PUT /upload?state=x&digest=sha256%3A"), "{requests:?}");
    assert!(!requests[0].to_lowercase().contains("authorization:"), "{requests:?}");
}

#[tokio::test]
async fn two_accounts_at_one_host_are_kept_apart() {
    let tokens = Tokens::new([Account::new("a", "pw").may("a/*", "pull"), Account::new("b", "pw").may("b/*", "pull")]);
    let registry = Registry::builder().auth(Auth::Tokens(tokens)).start().await.unwrap();
    for path in ["a/x", "b/x"] {
        registry.store().put_image(path, Some("1"), &content::image(1).build());
    }
    let host = registry.host();
    let registries = vec![with_user(&host, "a"), with_user(&format!("{host}/b"), "b")];
    let client = client_with(&Access { registries, ..Access::default() }, options_with_password("pw"));
    for path in ["a/x", "b/x"] {
        assert!(client.head_manifest(&repository(&registry, path), &tag("1")).await.unwrap().is_some(), "{path}");
    }
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_the_settings_allow() {
    let registry = Registry::builder().start().await.unwrap();
    registry.store().put_image("a", Some("1"), &content::image(1).build());
    // Long enough that the pace of the first requests allows more.
    let latency = std::time::Duration::from_millis(100);
    registry.fault(sandbox::Fault::on("HEAD", "", sandbox::Effect::Latency(latency)));
    let settings = RegistrySettings {
        limits: Limits { concurrency: Some(3), ..Limits::default() },
        auth: FileAuth::Basic { username: "x".into(), password: Secret::Env("PASSWORD".into()) },
        ..settings(&registry.host())
    };
    let access = Access { registries: vec![settings], ..Access::default() };
    let client = client_with(&access, options_with_password("unused"));
    let (repository, tag) = (repository(&registry, "a"), tag("1"));
    let heads = (0..20).map(|_| client.head_manifest(&repository, &tag));
    assert!(futures_util::future::join_all(heads).await.into_iter().all(|head| head.unwrap().is_some()));
    assert_eq!(registry.log().peak_in_flight(), 3);
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named_with_what_named_it_and_without_its_password() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://user:hush@{address}");
    let env = Env::from_fn(move |name| (name == "HTTPS_PROXY").then(|| url.clone()));
    let client = client_with(&Access::default(), Options { env, retries: 0, ..options() });
    let error = client.manifest(&"registry.invalid/a".parse().unwrap(), &tag("1")).await.unwrap_err();
    let text = format!("{error} {error:?}");
    let expected = format!("cannot connect through the proxy `{address}` of `HTTPS_PROXY`: ");
    assert!(text.contains(&expected) && !text.contains("hush"), "{text}");
}
