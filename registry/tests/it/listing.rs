//! Listings by the interfaces of vendors: all tags with digests and times, in few requests, and what happens where
//! these interfaces refuse, limit, lie or change under the reader's eyes.

mod ecr;
mod gcr;
mod harbor;
mod hub;
mod odd;
mod plain;
mod quay;
mod zot;

use proto::manifest::media_type;
use proto::settings::{Access, Network, RegistrySettings, Trick};
use proto::{Repository, Tag};
use registry::{Client, Env, Options, Tags};
use sandbox::{Account, Auth, Builder, Features, Registry, Store, Tokens, Vendor};

use crate::setup::{client_with, options, options_with_password, settings, with_user};

/// Fills `path` with `count` tags of as many manifests, of which only the digests count here.
fn fill(store: &Store, path: &str, count: usize) {
    for number in 0..count {
        let raw = format!(r#"{{"schemaVersion":2,"number":{number}}}"#);
        let digest = store.put_manifest(path, media_type::OCI_MANIFEST, raw.into());
        store.put_tag(path, &format!("t{number:04}"), &digest);
    }
}

fn builder(vendor: Vendor) -> Builder {
    Registry::builder().features(|features: &mut Features| features.vendor = vendor)
}

/// Tokens for `me`, who has the password `pw`, and for those who have none where `anonymous` says.
fn tokens(anonymous: bool) -> Auth {
    let mut tokens = Tokens::new([Account::new("me", "pw")]);
    tokens.anonymous = anonymous.then(sandbox::Rights::pull_all);
    Auth::Tokens(tokens)
}

/// A client for which `registry` stands for `host`.
fn through(registry: &Registry, host: &str) -> Client {
    through_with(registry, settings(host))
}

fn through_with(registry: &Registry, settings: RegistrySettings) -> Client {
    let network = Network { proxy: Some(registry.url()), ..Network::default() };
    let registries = vec![RegistrySettings { plain_http: true, ..settings }];
    let password = options_with_password("pw");
    let identity = Env::from_fn({
        let endpoint = format!("{}/", registry.url());
        move |name| match name {
            "PASSWORD" => Some("pw".to_owned()),
            "AWS_ACCESS_KEY_ID" => Some("AKIAEXAMPLE".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("hush".to_owned()),
            "AWS_ENDPOINT_URL_ECR" => Some(endpoint.clone()),
            _ => None,
        }
    });
    client_with(&Access { network, registries }, Options { env: identity, ..password })
}

/// A client that is `me` at the registry itself.
fn me(registry: &Registry) -> Client {
    let access = Access { registries: vec![with_user(&registry.host(), "me")], ..Access::default() };
    client_with(&access, options_with_password("pw"))
}

/// A client that tries no vendor's interface.
fn without_tricks(registry: &Registry) -> Client {
    let without = [Trick::BulkListing].into();
    let access =
        Access { registries: vec![RegistrySettings { without, ..settings(&registry.host()) }], ..Access::default() };
    client_with(&access, options())
}

fn repository(text: &str) -> Repository {
    text.parse().unwrap()
}

fn named(name: &str) -> Tag {
    name.parse().unwrap()
}

/// All tags are listed, each once, with the digest that it shows, and with its time if `timed`.
#[track_caller]
fn assert_complete(listed: &Tags, store: &Store, path: &str, timed: bool) {
    let names = store.tag_names(path).unwrap();
    let mut seen: Vec<_> = listed.tags.iter().map(ToString::to_string).collect();
    seen.sort();
    assert_eq!(seen, names);
    for name in names {
        assert_eq!(listed.digests.get(&named(&name)), store.tag(path, &name).as_ref(), "{name}");
        let time = store.tag_time(path, &name).filter(|_| timed);
        assert_eq!(listed.times.get(&named(&name)).copied(), time, "{name}");
    }
    assert!(!listed.is_partial && listed.invalid == 0);
}

/// All tags are listed, and nothing else is said of them.
#[track_caller]
fn assert_names_only(listed: &Tags, count: usize) {
    assert_eq!((listed.tags.len(), listed.digests.len(), listed.times.len()), (count, 0, 0));
}
