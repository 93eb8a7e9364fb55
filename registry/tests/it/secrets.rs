//! No secret is in any text: not in errors, not in debug output, whatever fails.

use std::error::Error as _;

use proto::settings::{self, Access, RegistrySettings, Secret};
use sandbox::{Account, Auth, Effect, Fault, Registry, Tokens, content};

use crate::setup::{client_with, file, options, options_with_password, repository, settings, tag, with_user};

const PASSWORD: &str = "hush-hush-password";

#[tokio::test]
async fn no_secret_is_in_errors_or_debug_output() {
    let folder = tempfile::tempdir().unwrap();
    let mut texts = Vec::new();
    for auth in
        [Auth::Basic(vec![Account::new("me", PASSWORD)]), Auth::Tokens(Tokens::new([Account::new("me", PASSWORD)]))]
    {
        let registry = Registry::builder().auth(auth).start().await.unwrap();
        registry.store().put_image("a", Some("1"), &content::image(1).build());
        let host = registry.host();
        for (config, effect) in [
            // Not readable, in three ways, each with the secret in it.
            (format!(r#"{{"auths":{{"{host}":"{PASSWORD}"}}}}"#), None),
            (format!(r#"{{"auths":{{"{host}":{{"auth":"{PASSWORD}"}}}}}}"#), None),
            (format!(r#"{{"auths":{{"{host}":{{"password":"{PASSWORD}""#), None),
            (format!(r#"{{"auths":{{"{host}":{{"username":"other","password":"{PASSWORD}"}}}}}}"#), None),
            (
                format!(r#"{{"auths":{{"{host}":{{"username":"me","password":"{PASSWORD}"}}}}}}"#),
                Some(Effect::status(500)),
            ),
            (format!(r#"{{"auths":{{"{host}":{{"username":"me","password":"{PASSWORD}"}}}}}}"#), Some(Effect::Close)),
        ] {
            if let Some(effect) = effect {
                registry.fault(Fault::on("", "", effect));
            }
            let auth_file = Some(file(&folder, "config.json", &config));
            let client = client_with(&Default::default(), registry::Options { auth_file, ..options() });
            let error = client.manifest(&repository(&registry, "a"), &tag("1")).await.unwrap_err();
            texts.push(format!("{error} {error:?} {:?} {client:?}", error.source()));
        }
    }
    assert_eq!(texts.len(), 12);
    for text in texts {
        assert!(!text.contains("hush") && !text.contains("aHVzaC"), "{text}");
    }
}

#[tokio::test]
async fn a_registry_that_repeats_our_authorization_makes_no_error_show_it() {
    let accounts = || [Account::new("me", PASSWORD)];
    for auth in [Auth::Basic(accounts().into()), Auth::Tokens(Tokens::new(accounts()))] {
        let registry = Registry::builder().auth(auth).start().await.unwrap();
        registry.fault(Fault::on("GET", "/manifests/", Effect::status(403).echoing()));
        let client = client_with(
            &Access { registries: vec![with_user(&registry.host(), "me")], ..Access::default() },
            options_with_password(PASSWORD),
        );
        let error = client.manifest(&repository(&registry, "a"), &tag("1")).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("403 DENIED: refused to `") && text.contains("***`: `"), "{text}");
        let sent =
            registry.tokens().into_iter().chain([PASSWORD.to_owned(), "bWU6aHVzaC1odXNoLXBhc3N3b3Jk".to_owned()]);
        for secret in sent {
            assert!(!text.contains(&secret), "`{secret}` is in {text}");
        }
    }
}

#[tokio::test]
async fn a_secret_that_is_not_where_the_settings_say_is_mended_there() {
    let registry = Registry::builder().auth(Auth::Basic(vec![Account::new("me", PASSWORD)])).start().await.unwrap();
    for (password, mend) in [
        (Secret::Env("ROBOT_PW".into()), "set `ROBOT_PW`"),
        (Secret::File("/not/there".into()), "create the file with the secret in it, or correct its path"),
    ] {
        let auth = settings::Auth::Basic { username: "me".into(), password };
        let access =
            Access { registries: vec![RegistrySettings { auth, ..settings(&registry.host()) }], ..Access::default() };
        let error = client_with(&access, options()).tags(&repository(&registry, "a")).await.unwrap_err();
        assert_eq!(error.hint(), Some(mend), "{error}");
    }
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_told_with_its_url_and_its_mend() {
    let registry = Registry::builder().start().await.unwrap();
    let error = client_with(&Access::default(), options()).tags(&repository(&registry, "none")).await.unwrap_err();
    let url = format!("GET http://{}/v2/none/tags/list: 404 NAME_UNKNOWN", registry.host());
    assert!(error.to_string().starts_with(&url), "{error}");
    assert_eq!(error.hint(), Some("there is no such repository: correct its name"));
}
