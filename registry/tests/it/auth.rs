//! Authorization: tokens asked for once, rights told from passwords, and the places where credentials are.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proto::Class;
use proto::settings::{Auth as FileAuth, RegistrySettings, Secret};
use registry::{Client, Env, Kind, Options, Pushed};
use sandbox::auth::Rights;
use sandbox::{Account, Auth, Effect, Fault, Registry, Tokens, content};

use crate::script::{Script, answer};
use crate::setup::{
    blob, client, client_for, client_of, client_with, file, no_progress, options, repository, settings, tag,
};

async fn token_registry(tokens: Tokens) -> Registry {
    let registry = Registry::builder().auth(Auth::Tokens(tokens)).start().await.unwrap();
    registry.store().put_image("team/app", Some("1"), &content::image(1).build());
    registry
}

async fn head(client: &Client, registry: &Registry) -> Result<(), registry::Error> {
    client.head_manifest(&repository(registry, "team/app"), &tag("1")).await.map(|head| assert!(head.is_some()))
}

#[tokio::test]
async fn basic_and_token_are_both_spoken() {
    for auth in [Auth::Basic(vec![Account::new("me", "pw")]), Auth::Tokens(Tokens::new([Account::new("me", "pw")]))] {
        let registry = Registry::builder().auth(auth).start().await.unwrap();
        registry.store().put_image("team/app", Some("1"), &content::image(1).build());
        let client = client_of(&registry.host(), "me", "pw");
        head(&client, &registry).await.unwrap();
        let (bytes, descriptor) = blob(1, 1000);
        let to = repository(&registry, "new");
        assert_eq!(client.push_blob(&to, &descriptor, None, &bytes, &no_progress()).await.unwrap(), Pushed::Uploaded);
    }
}

#[tokio::test]
async fn tokens_without_a_user_are_asked_for_and_either_name_of_them_is_understood() {
    for access_token_only in [false, true] {
        let mut tokens = Tokens::new([]);
        tokens.anonymous = Some(Rights::pull_all());
        tokens.access_token_only = access_token_only;
        let registry = token_registry(tokens).await;
        head(&client(), &registry).await.unwrap();
    }
}

#[tokio::test]
async fn thirty_two_requests_at_once_ask_for_one_token() {
    let registry = token_registry(Tokens::new([Account::new("me", "pw")])).await;
    registry.fault(Fault::on("GET", "/token", Effect::Latency(Duration::from_millis(50))));
    let client = client_of(&registry.host(), "me", "pw");
    let heads = (0..32).map(|_| head(&client, &registry));
    for head in futures_util::future::join_all(heads).await {
        head.unwrap();
    }
    assert_eq!(registry.token_log().count("", "/token"), 1);
    let refused = registry.requests().iter().filter(|request| request.status == 401).count();
    assert_eq!(refused, 1, "only the first request of all asks how to authorize");
}

#[tokio::test]
async fn a_token_that_became_invalid_is_renewed_once_and_the_request_goes_on() {
    let registry = token_registry(Tokens::new([Account::new("me", "pw")])).await;
    let client = client_of(&registry.host(), "me", "pw");
    head(&client, &registry).await.unwrap();
    registry.revoke_tokens();
    head(&client, &registry).await.unwrap();
    assert_eq!(registry.token_log().count("", "/token"), 2);
    let (bytes, descriptor) = blob(1, 1000);
    let to = repository(&registry, "team/app");
    client.push_blob(&to, &descriptor, None, &bytes, &no_progress()).await.unwrap();
    registry.revoke_tokens();
    let (bytes, descriptor) = blob(2, 1000);
    client.push_blob(&to, &descriptor, None, &bytes, &no_progress()).await.unwrap();
    assert_eq!(registry.token_log().count("", "/token"), 4);
}

#[tokio::test]
async fn a_token_that_ends_between_the_two_requests_of_an_upload_is_renewed() {
    // Each token is good until the next request that writes has come: the PUT of the first upload finds it over.
    let given = AtomicU32::new(0);
    let script = Script::start(move |head| {
        let has = |number: u32| head.contains(&format!("Bearer t{number}"));
        match head {
            _ if head.starts_with("GET /token") => {
                let number = given.fetch_add(1, Ordering::SeqCst) + 1;
                answer(200, "", &format!(r#"{{"token":"t{number}","expires_in":300}}"#))
            }
            _ if head.starts_with("POST") && (has(1) || has(2)) => answer(202, "Location: /v2/a/up\r\n", ""),
            _ if head.starts_with("PUT") && has(2) => answer(201, "", ""),
            _ if head.starts_with("DELETE") => answer(204, "", ""),
            _ => answer(401, "WWW-Authenticate: Bearer realm=\"http://{}/token\",error=\"invalid_token\"\r\n", ""),
        }
    })
    .await;
    let (bytes, descriptor) = blob(1, 10);
    let repository = format!("{}/a", script.host()).parse().unwrap();
    let pushed = client().push_blob(&repository, &descriptor, None, &bytes, &no_progress()).await.unwrap();
    assert_eq!(pushed, Pushed::Uploaded);
    assert_eq!(["GET /token", "POST", "PUT", "DELETE"].map(|line| script.count(line)), [2, 2, 2, 1]);
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_tried_again() {
    for auth in [Auth::Basic(vec![Account::new("me", "pw")]), Auth::Tokens(Tokens::new([Account::new("me", "pw")]))] {
        let registry = Registry::builder().auth(auth).start().await.unwrap();
        let error = head(&client_of(&registry.host(), "me", "wrong"), &registry).await.unwrap_err();
        assert_eq!((error.kind(), error.class(), error.status()), (Kind::Unauthorized, Class::Reject, Some(401)));
        assert!(error.hint().is_some());
        assert!(registry.token_log().count("", "/token") <= 1);
        assert!(registry.requests().len() <= 3);
    }
}

#[tokio::test]
async fn refused_credentials_are_not_tried_for_every_image() {
    let registry = token_registry(Tokens::new([Account::new("me", "pw")])).await;
    let client = client_of(&registry.host(), "me", "wrong");
    let asked = (0..20).map(|number| {
        let (client, repository) = (client.clone(), format!("{}/app/{number}", registry.host()).parse().unwrap());
        async move { client.head_manifest(&repository, &"1".parse::<proto::Tag>().unwrap().into()).await }
    });
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.unwrap_err().kind(), Kind::Unauthorized);
    }
    assert_eq!(registry.token_log().count("", "/token"), 1);
}

#[tokio::test]
async fn no_credentials_and_no_right_are_told_apart() {
    let tokens = Tokens::new([Account::new("me", "pw").may("other", "pull")]);
    let registry = token_registry(tokens).await;
    let without = head(&client(), &registry).await.unwrap_err();
    assert_eq!(without.kind(), Kind::Unauthorized, "{without}");
    let with = head(&client_of(&registry.host(), "me", "pw"), &registry).await.unwrap_err();
    assert_eq!((with.kind(), with.class()), (Kind::Forbidden, Class::Reject), "{with}");
}

#[tokio::test]
async fn a_mount_asks_for_both_repositories_in_one_token() {
    let registry = token_registry(Tokens::new([Account::new("me", "pw")])).await;
    let (bytes, descriptor) = blob(1, 1000);
    registry.store().put_blob("team/app", bytes.clone());
    let client = client_of(&registry.host(), "me", "pw");
    let (from, to) = (repository(&registry, "team/app"), repository(&registry, "other"));
    let pushed = client.push_blob(&to, &descriptor, Some(&from), &bytes, &no_progress()).await.unwrap();
    assert_eq!(pushed, Pushed::Mounted);
    assert_eq!(registry.token_log().count("", "/token"), 1);
}

#[tokio::test]
async fn where_a_token_holds_one_repository_the_mount_becomes_an_upload() {
    let mut tokens = Tokens::new([Account::new("me", "pw")]);
    tokens.repositories_per_token = 1;
    let registry = token_registry(tokens).await;
    let (bytes, descriptor) = blob(1, 1000);
    registry.store().put_blob("a/from", bytes.clone());
    let client = client_of(&registry.host(), "me", "pw");
    let (from, to) = (repository(&registry, "z/from"), repository(&registry, "b/to"));
    client.push_blob(&to, &descriptor, Some(&from), &bytes, &no_progress()).await.unwrap();
    assert!(registry.store().has_blob("b/to", &descriptor.digest));
}

#[tokio::test]
async fn a_failing_token_service_is_tried_again_and_then_named() {
    let registry = token_registry(Tokens::new([Account::new("me", "pw")])).await;
    registry.fault(Fault::on("GET", "/token", Effect::status(503)).times(2));
    head(&client_of(&registry.host(), "me", "pw"), &registry).await.unwrap();
    registry.fault(Fault::on("GET", "/token", Effect::status(503)));
    let error = head(&client_of(&registry.host(), "me", "pw"), &registry).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (Kind::Unavailable, Some(503)));
    assert!(error.to_string().contains("/token"), "{error}");
}

#[tokio::test]
async fn what_a_token_service_does_not_find_is_not_taken_for_a_missing_image() {
    let registry = token_registry(Tokens::new([Account::new("me", "pw")])).await;
    for status in [400, 404] {
        registry.clear_faults();
        registry.fault(Fault::on("GET", "/token", Effect::status(status)));
        let client = client_of(&registry.host(), "me", "pw");
        let repository = repository(&registry, "team/app");
        let digest = proto::Digest::of(b"");
        let errors = [
            client.head_manifest(&repository, &tag("1")).await.unwrap_err(),
            client.blob_size(&repository, &digest).await.unwrap_err(),
            client.referrers(&repository, &digest).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.kind(), error.status()), (Kind::Unauthorized, Some(status)), "{error}");
        }
    }
}

#[tokio::test]
async fn credentials_are_found_in_dockers_file_by_host_and_by_path() {
    let registry = token_registry(Tokens::new([Account::new("me", "pw").identity_token("refresh-me")])).await;
    let folder = tempfile::tempdir().unwrap();
    let host = registry.host();
    for (config, found) in [
        (format!(r#"{{"auths":{{"{host}":{{"auth":"bWU6cHc="}}}}}}"#), true),
        (format!(r#"{{"auths":{{"http://{host}/v2/":{{"username":"me","password":"pw"}}}}}}"#), true),
        (format!(r#"{{"auths":{{"{host}":{{"auth":"eDp4"}},"{host}/team":{{"auth":"bWU6cHc="}}}}}}"#), true),
        (format!(r#"{{"auths":{{"{host}/other":{{"auth":"bWU6cHc="}}}}}}"#), false),
        (format!(r#"{{"auths":{{"{host}":{{"auth":"MDAwMDo=","identitytoken":"refresh-me"}}}}}}"#), true),
        ("{}".to_owned(), false),
    ] {
        let path = file(&folder, "config.json", &config);
        let by_option = Options { auth_file: Some(path.clone()), ..options() };
        let home = folder.path().display().to_string();
        let by_variable = Env::from_fn(move |name| (name == "DOCKER_CONFIG").then(|| home.clone()));
        for options in [by_option, Options { env: by_variable, ..options() }] {
            let result = head(&client_with(&Default::default(), options), &registry).await;
            assert_eq!(result.is_ok(), found, "{config}: {result:?}");
        }
    }
    let anonymous = RegistrySettings { auth: FileAuth::Anonymous, ..settings(&host) };
    file(&folder, "config.json", &format!(r#"{{"auths":{{"{host}":{{"auth":"bWU6cHc="}}}}}}"#));
    let access = proto::settings::Access { registries: vec![anonymous], ..Default::default() };
    let options = Options { auth_file: Some(folder.path().join("config.json")), ..options() };
    assert_eq!(head(&client_with(&access, options), &registry).await.unwrap_err().kind(), Kind::Unauthorized);
}

/// A helper that counts its runs in a file beside it.
fn helper(folder: &tempfile::TempDir, name: &str, script: &str) {
    let text =
        format!("#!/bin/sh\nread server\necho \"$server\" >> {}/{name}.runs\n{script}\n", folder.path().display());
    let path = file(folder, &format!("docker-credential-{name}"), &text);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn with_helpers(folder: &tempfile::TempDir, config: &str) -> Options {
    let path = format!("{}:/bin:/usr/bin", folder.path().display());
    let auth_file = Some(file(folder, "config.json", config));
    let env = Env::from_fn(move |name| (name == "PATH").then(|| path.clone()));
    Options { auth_file, env, helper_timeout: Duration::from_millis(2000), ..options() }
}

#[tokio::test]
async fn credential_helpers_and_stores_are_asked_once() {
    let registry = token_registry(Tokens::new([Account::new("me", "pw").identity_token("refresh-me")])).await;
    let host = registry.host();
    let folder = tempfile::tempdir().unwrap();
    helper(&folder, "password", r#"echo '{"ServerURL":"x","Username":"me","Secret":"pw"}'"#);
    helper(&folder, "identity", r#"echo '{"Username":"<token>","Secret":"refresh-me"}'"#);
    helper(&folder, "none", "echo 'credentials not found in native keychain'; exit 1");
    for (name, config, found) in [
        ("password", format!(r#"{{"credHelpers":{{"{host}":"password"}}}}"#), true),
        ("password", r#"{"credsStore":"password"}"#.to_owned(), true),
        ("identity", format!(r#"{{"auths":{{"{host}":{{}}}},"credsStore":"identity"}}"#), true),
        ("none", r#"{"credsStore":"none"}"#.to_owned(), false),
    ] {
        let _ = std::fs::remove_file(folder.path().join(format!("{name}.runs")));
        let client = client_with(&Default::default(), with_helpers(&folder, &config));
        let heads = futures_util::future::join_all((0..8).map(|_| head(&client, &registry))).await;
        assert!(heads.iter().all(|head| head.is_ok() == found), "{config}: {heads:?}");
        let runs = std::fs::read_to_string(folder.path().join(format!("{name}.runs"))).unwrap();
        if found {
            assert_eq!(runs, format!("{host}\n"), "{config}");
        }
    }
}

#[tokio::test]
async fn a_helper_that_fails_hangs_or_babbles_is_named_and_its_output_is_not() {
    let registry = token_registry(Tokens::new([Account::new("me", "pw")])).await;
    let folder = tempfile::tempdir().unwrap();
    helper(&folder, "fails", "echo hush-hush; echo hush-hush >&2; exit 3");
    helper(&folder, "babbles", "echo hush-hush");
    helper(&folder, "hangs", "exec sleep 60");
    for name in ["fails", "babbles", "hangs", "missing", "../evil"] {
        let mut options = with_helpers(&folder, &format!(r#"{{"credsStore":"{name}"}}"#));
        options.helper_timeout = Duration::from_millis(if name == "hangs" { 200 } else { 5000 });
        let error = head(&client_with(&Default::default(), options), &registry).await.unwrap_err();
        assert_eq!((error.kind(), error.class()), (Kind::Unauthorized, Class::Reject), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}

#[tokio::test]
async fn a_secret_that_is_missing_is_named_by_its_place() {
    let registry = token_registry(Tokens::new([Account::new("me", "pw")])).await;
    let folder = tempfile::tempdir().unwrap();
    let basic = |password| {
        let auth = FileAuth::Basic { username: "me".into(), password };
        client_for([RegistrySettings { auth, ..settings(&registry.host()) }])
    };
    let good = file(&folder, "good", "pw\n");
    head(&basic(Secret::File(good)), &registry).await.unwrap();
    for (secret, place) in [
        (Secret::Env("NOT_SET".into()), "NOT_SET"),
        (Secret::File(folder.path().join("absent")), "absent"),
        (Secret::File(file(&folder, "empty", "\n")), "empty"),
    ] {
        let error = head(&basic(secret), &registry).await.unwrap_err();
        assert!(error.kind() == Kind::Unauthorized && error.to_string().contains(place), "{error}");
    }
}
