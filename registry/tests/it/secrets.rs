//! No secret is in any text: not in errors, not in debug output, whatever fails.

use std::error::Error as _;

use sandbox::{Account, Auth, Effect, Fault, Registry, Tokens, content};

use crate::setup::{client_with, file, options, repository, tag};

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
