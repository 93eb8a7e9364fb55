//! What the tests have in common: quick options, a sandbox, and short names for values.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use proto::settings::{Access, Auth, RegistrySettings};
use proto::{Descriptor, Digest, Reference, Repository};
use registry::{Capabilities, Client, Env, Error, Options, Progress};

/// Options that do not keep a test waiting. No environment: nothing of this machine is seen.
pub(crate) fn options() -> Options {
    Options {
        connect_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(5),
        commit_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_secs(1),
        retry_delay: Duration::from_millis(1),
        retry_delay_max: Duration::from_millis(5),
        env: Env::from_fn(|_| None),
        ..Options::default()
    }
}

/// A client without settings.
pub(crate) fn client() -> Client {
    client_with(&Access::default(), options())
}

pub(crate) fn client_with(access: &Access, options: Options) -> Client {
    Client::new(access, options).unwrap()
}

/// Settings for one pattern.
pub(crate) fn settings(pattern: &str) -> RegistrySettings {
    RegistrySettings { pattern: pattern.to_owned(), ..RegistrySettings::default() }
}

/// A client with these settings.
pub(crate) fn client_for(registries: impl Into<Vec<RegistrySettings>>) -> Client {
    client_with(&Access { registries: registries.into(), ..Access::default() }, options())
}

/// Settings with a password from the environment variable `PASSWORD`, which `options_with_password` sets.
pub(crate) fn with_user(pattern: &str, username: &str) -> RegistrySettings {
    let password = proto::settings::Secret::Env("PASSWORD".into());
    RegistrySettings { auth: Auth::Basic { username: username.into(), password }, ..settings(pattern) }
}

pub(crate) fn options_with_password(password: &str) -> Options {
    let password = password.to_owned();
    Options { env: Env::from_fn(move |name| (name == "PASSWORD").then(|| password.clone())), ..options() }
}

/// A client that is `username` at one registry.
pub(crate) fn client_of(host: &str, username: &str, password: &str) -> Client {
    let access = Access { registries: vec![with_user(host, username)], ..Access::default() };
    client_with(&access, options_with_password(password))
}

pub(crate) fn repository(registry: &sandbox::Registry, path: &str) -> Repository {
    format!("{}/{path}", registry.host()).parse().unwrap()
}

/// What the client has learned of a registry, as a look at it tells.
pub(crate) async fn capabilities(client: &Client, repository: &Repository) -> Capabilities {
    let image = repository.to_string().parse().unwrap();
    client.check(&image, false).await.unwrap().capabilities
}

pub(crate) fn tag(name: &str) -> Reference {
    Reference::Tag(name.parse().unwrap())
}

/// `size` bytes that differ by `seed`, with their descriptor.
pub(crate) fn blob(seed: u64, size: usize) -> (Bytes, Descriptor) {
    let block: Vec<u8> =
        (0..65_536u64).map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 7) as u8).collect();
    let mut bytes = block.repeat(size.div_ceil(block.len()));
    // No two blocks are equal, so that one in the wrong place is found out.
    for (number, block) in (0u64..).zip(bytes.chunks_mut(block.len())) {
        block[..8].copy_from_slice(&(number + seed).to_le_bytes());
    }
    bytes.truncate(size);
    let bytes = Bytes::from(bytes);
    let descriptor = Descriptor::new("application/octet-stream", Digest::of(&bytes), size as u64);
    (bytes, descriptor)
}

/// Reads a blob to its end: what came, and why no more did.
pub(crate) async fn read(client: &Client, repository: &Repository, blob: &Descriptor) -> (Vec<u8>, Result<(), Error>) {
    let mut bytes = Vec::new();
    let mut stream = match client.read_blob(repository, blob).await {
        Ok(stream) => stream,
        Err(error) => return (bytes, Err(error)),
    };
    loop {
        match stream.next().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, Ok(())),
            Err(error) => return (bytes, Err(error)),
        }
    }
}

/// Counts the bytes of an upload.
pub(crate) fn counter() -> (Progress, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counted = count.clone();
    (
        Arc::new(move |bytes| {
            counted.fetch_add(bytes, Ordering::SeqCst);
        }),
        count,
    )
}

pub(crate) fn no_progress() -> Progress {
    Arc::new(|_| {})
}

/// A file in `folder`.
pub(crate) fn file(folder: &tempfile::TempDir, name: &str, content: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}
