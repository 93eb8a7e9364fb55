//! An OCI registry (distribution-spec 1.1) in process, on a socket of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Error;
use crate::auth::{Auth, Door};
use crate::cloud::{Azure, Exchange, Fake};
use crate::faults::{ActiveFault, Fault, Faults};
use crate::log::{Log, Request};
use crate::serve::{Server, listen};
use crate::store::Store;
use crate::tls::{self, ClientIdentity, Tls, Trust};
use crate::token::{TokenService, TokenTable};

mod blobs;
mod features;
mod manifests;
mod pull_limit;
mod rate_limit;
mod referrers;
mod routes;
mod tags;
mod uploads;
mod vendors;

pub use features::{Features, Missing, TagPaging, Vendor};
pub use pull_limit::PullLimit;
pub use rate_limit::RateLimit;

/// A registry that runs until this is dropped, with its token service and storage.
pub struct Registry {
    address: SocketAddr,
    service: Arc<Shared>,
    tokens: Arc<TokenTable>,
    faults: Arc<Faults>,
    log: Arc<Log>,
    token_log: Arc<Log>,
    storage_log: Arc<Log>,
    trust: Option<Trust>,
    _end: DropGuard,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("url", &self.service.url).finish_non_exhaustive()
    }
}

/// What the handlers need.
pub(crate) struct Shared {
    store: Store,
    features: RwLock<Features>,
    door: Door,
    exchange: Option<Exchange>,
    uploads: uploads::Uploads,
    pull_limit: Mutex<Option<PullLimit>>,
    rate_limit: Mutex<Option<rate_limit::Bucket>>,
    keep_blob_bytes: u64,
    url: String,
    storage_url: String,
}

/// The registry's side of a request.
pub(crate) struct RegistryService(Arc<Shared>);

impl std::ops::Deref for RegistryService {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Shared {
    fn features(&self) -> Features {
        self.features.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn pull_limit(&self) -> MutexGuard<'_, Option<PullLimit>> {
        self.pull_limit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rate_limit(&self) -> MutexGuard<'_, Option<rate_limit::Bucket>> {
        self.rate_limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The settings of a [`Registry`] that is to be started.
#[derive(Debug)]
pub struct Builder {
    address: SocketAddr,
    store: Store,
    features: Features,
    auth: Auth,
    exchange: Option<Exchange>,
    tls: Option<Tls>,
    keep_blob_bytes: u64,
}

impl Builder {
    /// Listens here; by default on a free port of `127.0.0.1`.
    #[must_use]
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Serves content that is there already, perhaps another registry's.
    #[must_use]
    pub fn store(mut self, store: Store) -> Self {
        self.store = store;
        self
    }

    /// Changes what the registry can do.
    #[must_use]
    pub fn features(mut self, change: impl FnOnce(&mut Features)) -> Self {
        change(&mut self.features);
        self
    }

    /// Asks who is there.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// Exchanges the access tokens of this `azure` for refresh tokens, as registries of Azure do.
    #[must_use]
    pub fn exchange(mut self, azure: &Fake<Azure>) -> Self {
        self.exchange = Some(azure.exchange());
        self
    }

    /// Speaks TLS, and so do token service and storage.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Keeps the bytes of uploaded blobs up to this size each; larger ones are hashed and counted only.
    #[must_use]
    pub fn keep_blob_bytes(mut self, max: u64) -> Self {
        self.keep_blob_bytes = max;
        self
    }

    /// Starts the registry, its storage, and a token service if it asks for tokens.
    ///
    /// # Errors
    /// When the address cannot be listened on or certificates cannot be made.
    pub async fn start(self) -> Result<Registry, Error> {
        let (config, trust) = self.tls.map(tls::set_up).transpose()?.unzip();
        let scheme = if config.is_some() { "https" } else { "http" };
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (listener, address) = listen(self.address).await?;
        let (storage_listener, storage_address) = listen(loopback).await?;
        let end = CancellationToken::new();
        let (faults, store, tokens) = (Arc::new(Faults::default()), self.store, Arc::new(TokenTable::default()));
        let (log, token_log, storage_log) = (Arc::default(), Arc::default(), Arc::default());
        let door = match self.auth {
            Auth::None => Door::Open,
            Auth::Basic(accounts) => Door::Basic(accounts.into()),
            Auth::Issued(accounts) => Door::Basic(accounts),
            Auth::Tokens(settings) => {
                let (listener, address) = listen(loopback).await?;
                let service = TokenService { settings: settings.clone(), table: tokens.clone() };
                let log = Arc::clone(&token_log);
                let server = Server { service, log, faults: faults.clone(), store: store.clone() };
                server.serve(listener, config.clone(), end.clone());
                let vendor = self.features.vendor;
                let realm = format!("{scheme}://{address}{}", vendor.token_path());
                Door::Bearer { realm, service: vendor.token_service(), settings, tokens: tokens.clone() }
            }
        };
        let storage = blobs::Storage { store: store.clone() };
        let server =
            Server { service: storage, log: Arc::clone(&storage_log), faults: faults.clone(), store: store.clone() };
        server.serve(storage_listener, config.clone(), end.clone());
        let shared = Arc::new(Shared {
            store: store.clone(),
            features: RwLock::new(self.features),
            door,
            exchange: self.exchange,
            uploads: uploads::Uploads::default(),
            pull_limit: Mutex::new(None),
            rate_limit: Mutex::new(None),
            keep_blob_bytes: self.keep_blob_bytes,
            url: format!("{scheme}://{address}"),
            storage_url: blobs::storage_url(scheme, storage_address),
        });
        let service = RegistryService(shared.clone());
        let server = Server { service, log: Arc::clone(&log), faults: faults.clone(), store };
        server.serve(listener, config, end.clone());
        let _end = end.drop_guard();
        Ok(Registry { address, service: shared, tokens, faults, log, token_log, storage_log, trust, _end })
    }
}

impl Registry {
    /// A registry with all features, open to everyone, without TLS, on a free port.
    pub fn builder() -> Builder {
        Builder {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            store: Store::new(),
            features: Features::default(),
            auth: Auth::None,
            exchange: None,
            tls: None,
            keep_blob_bytes: u64::MAX,
        }
    }

    /// Host and port, as in an image reference: `127.0.0.1:41234`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Scheme, host and port: `http://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        self.service.url.clone()
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it holds.
    pub fn store(&self) -> &Store {
        &self.service.store
    }

    /// Changes what the registry can do from the next request on.
    pub fn features(&self, change: impl FnOnce(&mut Features)) {
        change(&mut self.service.features.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Makes the registry, its token service or its storage misbehave.
    pub fn fault(&self, fault: Fault) -> ActiveFault {
        self.faults.add(fault)
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.faults.clear();
    }

    /// Sets, renews or lifts the pull limit.
    pub fn set_pull_limit(&self, limit: Option<PullLimit>) {
        *self.service.pull_limit() = limit;
    }

    /// The pull limit as it stands.
    pub fn pull_limit(&self) -> Option<PullLimit> {
        *self.service.pull_limit()
    }

    /// Sets or lifts the limit of requests per second. Its bucket is full then.
    pub fn set_rate_limit(&self, limit: Option<RateLimit>) {
        *self.service.rate_limit() = limit.map(|limit| rate_limit::Bucket::full(limit, Instant::now()));
    }

    /// Makes all tokens given out so far invalid, as if their time were over.
    pub fn revoke_tokens(&self) {
        self.tokens.revoke();
    }

    /// The tokens given out and not revoked, so that a test can look for them where none should be.
    pub fn tokens(&self) -> Vec<String> {
        self.tokens.issued()
    }

    /// What the registry was asked.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What the registry was asked, see [`Log::requests`].
    pub fn requests(&self) -> Vec<Request> {
        self.log.requests()
    }

    /// What the token service was asked.
    pub fn token_log(&self) -> &Log {
        &self.token_log
    }

    /// What the storage, to which blobs are redirected, was asked. No request there should be `authorized`.
    pub fn storage_log(&self) -> &Log {
        &self.storage_log
    }

    /// How many uploads were begun and neither finished nor cancelled.
    pub fn open_uploads(&self) -> usize {
        self.service.uploads.count()
    }

    /// The certificate to trust, as PEM, if the registry speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.trust.as_ref().map(|trust| trust.ca_pem.as_str())
    }

    /// A client certificate that the registry takes, if it asks for one.
    pub fn client_identity(&self) -> Option<&ClientIdentity> {
        self.trust.as_ref()?.client.as_ref()
    }
}
