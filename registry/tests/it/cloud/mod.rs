//! Identities of clouds: each way to one, from the vendor's services to a manifest in a registry of that vendor.
//!
//! The registry has the vendor's own name: it is the proxy as well, so that requests to any name arrive there.

mod aws;
mod azure;
mod gcp;
mod github;
mod hostile;

use std::collections::HashMap;

use proto::ImageRef;
use proto::settings::{Access, Auth as FileAuth, Limits, Network, RegistrySettings};
use registry::{Client, Env, Error, Options};
use sandbox::{Account, Accounts, Auth, Registry, Tokens, content};

use crate::setup::{client_with, options, settings, tag};

/// Environment variables.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// A registry that takes passwords which `accounts` hold, with an image in it.
async fn registry(accounts: Accounts) -> Registry {
    with_image(Registry::builder().auth(Auth::Issued(accounts)).start().await.unwrap())
}

/// The same, that asks for tokens.
async fn token_registry(accounts: Accounts) -> Registry {
    with_image(Registry::builder().auth(Auth::Tokens(tokens(accounts))).start().await.unwrap())
}

fn tokens(accounts: Accounts) -> Tokens {
    let mut tokens = Tokens::new([Account::new("nobody", "knows")]);
    tokens.issued = accounts;
    tokens
}

fn with_image(registry: Registry) -> Registry {
    registry.store().put_image("team/app", Some("1"), &content::image(1).build());
    registry
}

/// A client of registries of any name, which are all `registry`.
fn client(registry: &Registry, auth: FileAuth, variables: Variables<'_>) -> Client {
    let network = Network { proxy: Some(registry.url()), ..Network::default() };
    let limits = Limits { concurrency: Some(64), ..Limits::default() };
    let registries = vec![RegistrySettings { auth, plain_http: true, limits, ..settings("*") }];
    client_with(&Access { network, registries }, options_with(variables))
}

fn options_with(variables: Variables<'_>) -> Options {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let variables: HashMap<String, String> = variables.iter().map(owned).collect();
    Options { env: Env::from_fn(move |name| variables.get(name).cloned()), ..options() }
}

async fn head(client: &Client, repository: &str) -> Result<(), Error> {
    let repository = repository.parse().unwrap();
    client.head_manifest(&repository, &tag("1")).await.map(|head| assert!(head.is_some()))
}

/// The outcomes of 32 requests at once.
async fn heads(client: &Client, repository: &str) -> Vec<Result<(), Error>> {
    futures_util::future::join_all((0..32).map(|_| head(client, repository))).await
}

/// Where the client says that its credentials come from.
async fn origin(client: &Client, repository: &str) -> Result<String, Error> {
    let image: ImageRef = format!("{repository}:1").parse().unwrap();
    let check = client.check(&image, true).await?;
    check.push.unwrap()?;
    check.credentials.map(Option::unwrap)
}

/// All that can be seen of an error.
fn texts(error: &Error) -> String {
    format!("{error} {error:?} {:?} {:?}", error.hint(), std::error::Error::source(error))
}
