//! The look at a registry that `doctor` prints.

use registry::Kind;
use sandbox::{Account, Auth, Registry, Tokens, content};

use crate::setup::{client, client_of, client_with, options};

#[tokio::test]
async fn each_step_has_its_own_outcome_and_nothing_is_left_behind() {
    let tokens = Tokens::new([Account::new("reader", "pw").may("*", "pull"), Account::new("writer", "pw")]);
    let registry = Registry::builder().auth(Auth::Tokens(tokens)).start().await.unwrap();
    let image = content::image(1).build();
    registry.store().put_image("a", Some("1"), &image);
    let reference = format!("{}/a:1", registry.host()).parse().unwrap();

    let reader = client_of(&registry.host(), "reader", "pw").check(&reference, true).await.unwrap();
    assert_eq!(reader.url, format!("{}/v2/", registry.url()));
    assert_eq!(reader.auth, "Bearer from `127.0.0.1`");
    assert_eq!(reader.credentials.unwrap().as_deref(), Some("environment variable `PASSWORD`"));
    assert_eq!(reader.pull.unwrap().unwrap().digest, image.digest());
    assert_eq!(reader.push.unwrap().unwrap_err().kind(), Kind::Forbidden);
    assert_eq!(reader.capabilities.referrers, Some(true));

    let writer = client_of(&registry.host(), "writer", "pw").check(&reference, true).await.unwrap();
    writer.push.unwrap().unwrap();
    assert_eq!(registry.open_uploads(), 0);

    let nobody = client().check(&reference, false).await.unwrap();
    assert_eq!(nobody.credentials.unwrap(), None);
    assert_eq!(nobody.pull.unwrap_err().kind(), Kind::Unauthorized);
    assert!(nobody.push.is_none() && nobody.tls.is_none());
}

#[tokio::test]
async fn a_registry_that_is_not_reached_is_an_error() {
    let quick = registry::Options { retries: 0, ..options() };
    let reference = "registry.invalid/a:1".parse().unwrap();
    let error = client_with(&Default::default(), quick).check(&reference, true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}
