//! One registry under one set of settings: requests within budgets, with authorization and bounded retries.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use proto::settings::{Network, RegistrySettings, Tls};
use proto::{Host, Repository};
use reqwest::header::HeaderValue;
use reqwest::{Method, Url};
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::auth::{self, Authenticator, Doors, Keyring, Scopes, secret};
use crate::budget::{Budget, Exhausted, Slot, Ticket};
use crate::capabilities::Learned;
use crate::error::{Error, Kind};
use crate::options::Options;
use crate::proxy::Proxies;
use crate::tags::Listings;
use crate::tls;
use crate::wire::{Answer, Request, Upload, Wire};

/// One registry under one set of settings.
pub(crate) struct Registry {
    pub(crate) host: Host,
    /// Plain HTTP: `Some` if the settings say, `None` if it is found out (loopback).
    plain_http: Option<bool>,
    pub(crate) wire: Wire,
    /// Learned by the first request, which asks `/v2/`.
    base: OnceCell<Url>,
    /// Why it was not learned, and when.
    unreached: Mutex<Option<(Instant, Error)>>,
    pub(crate) auth: Authenticator,
    pub(crate) learned: Learned,
    /// Held while it is found out whether the registry verifies manifests.
    pub(crate) proof: tokio::sync::Mutex<()>,
    /// Set once somebody knows how the registry answers to a question for referrers.
    pub(crate) asked_for_referrers: OnceCell<()>,
    /// Held while it is found out whether the registry takes a blob with the `POST`.
    pub(crate) single_post: tokio::sync::Mutex<()>,
    /// What goes on for uploads that nobody waits for any more.
    pub(crate) uploads: TaskTracker,
    pub(crate) listings: Listings,
    pub(crate) tls_seen: Arc<tls::Seen>,
    pub(crate) options: Arc<Options>,
    pub(crate) budget: Arc<Budget>,
}

/// For whom a request is made: it decides credentials and scopes.
#[derive(Clone)]
pub(crate) struct Purpose {
    path: String,
    scopes: Scopes,
    proof: Proof,
}

/// How a request shows who sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// As the registry asks for it, and again if it asks for more.
    AsAsked,
    /// As the registry asked for it before, and no login for this: nobody knows yet whether there is an answer.
    AsBefore,
    /// User and password, where there are some: interfaces beside the registry's take no tokens of it.
    Password,
    /// Not at all.
    None,
}

impl Purpose {
    pub(crate) fn pull(repository: &Repository) -> Self {
        Self { path: repository.path().to_owned(), scopes: Scopes::pull(repository), proof: Proof::AsAsked }
    }

    pub(crate) fn push(repository: &Repository) -> Self {
        Self { path: repository.path().to_owned(), scopes: Scopes::push(repository), proof: Proof::AsAsked }
    }

    pub(crate) fn and_pull(mut self, repository: &Repository) -> Self {
        self.scopes = self.scopes.and_pull(repository);
        self
    }

    pub(crate) fn shown_by(mut self, proof: Proof) -> Self {
        self.proof = proof;
        self
    }
}

impl Registry {
    /// # Errors
    /// The settings name files or secrets that cannot be read.
    pub(crate) async fn new(
        host: Host,
        settings: Option<&RegistrySettings>,
        network: &Network,
        options: Arc<Options>,
        uploads: TaskTracker,
    ) -> Result<Self, Error> {
        let no_tls = Tls::default();
        let tls_settings = settings.map_or(&no_tls, |settings| &settings.tls);
        let key = match &tls_settings.client {
            Some(client) => Some(secret(&client.key, host.as_str(), &options).await?.0),
            None => None,
        };
        let tls_seen = Arc::<tls::Seen>::default();
        let ca = network.ca_file.as_deref();
        let tls = tls::config(host.name(), tls_settings, ca, key.as_deref(), tls_seen.clone())?;
        let limits = settings.map(|settings| settings.limits.clone()).unwrap_or_default();
        let concurrency = limits.concurrency.unwrap_or(options.concurrency).max(1) as usize;
        let proxies = Proxies::new(network, &options.env)?;
        // As many that read as that write, each with a connection of its own.
        let wire = Wire::new(options.clone(), tls, proxies, 2 * concurrency)?;
        let plain_http = match settings {
            Some(settings) if settings.plain_http => Some(true),
            _ if host.is_loopback() && *tls_settings == no_tls => None,
            _ => Some(false),
        };
        let auth = settings.map(|settings| settings.auth.clone()).unwrap_or_default();
        let scheme = if plain_http == Some(true) { "http" } else { "https" };
        let keyring =
            Keyring::new(host.clone(), auth, options.clone(), || Doors::new(&wire, scheme, network, &options))?;
        Ok(Self {
            plain_http,
            base: OnceCell::new(),
            unreached: Mutex::default(),
            auth: Authenticator::new(wire.clone(), keyring),
            proof: tokio::sync::Mutex::default(),
            asked_for_referrers: OnceCell::new(),
            single_post: tokio::sync::Mutex::default(),
            uploads,
            learned: Learned::new(settings.map(|settings| settings.without.clone()).unwrap_or_default()),
            listings: Listings::default(),
            tls_seen,
            budget: Budget::new(&limits, concurrency, options.retry_after_max),
            wire,
            host,
            options,
        })
    }

    /// The URL of `path` below the registry's root.
    pub(crate) async fn url(&self, path: &str) -> Result<Url, Error> {
        let base = self.base().await?;
        base.join(path).map_err(|error| Error::new(Kind::Internal, format!("join `{path}`")).caused_by(error))
    }

    /// The registry's root; the first call asks it how it wants to be spoken to.
    ///
    /// One asks, with all its tries, for all who wait meanwhile, and for those who come soon after: in turn, the images
    /// of a run would need hours to fail at a registry that is down.
    pub(crate) async fn base(&self) -> Result<&Url, Error> {
        let greet = async || match self.unreached() {
            Some(error) => Err(error),
            None => self.retried(|| self.greet()).await.inspect_err(|error| self.note_unreached(error)),
        };
        self.base.get_or_try_init(greet).await
    }

    /// Why the registry was not reached a moment ago.
    fn unreached(&self) -> Option<Error> {
        let unreached = self.unreached.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, error) = unreached.as_ref()?;
        (at.elapsed() < self.options.unreached_for).then(|| error.clone())
    }

    fn note_unreached(&self, error: &Error) {
        let mut unreached = self.unreached.lock().unwrap_or_else(PoisonError::into_inner);
        *unreached = Some((Instant::now(), error.clone()));
    }

    async fn greet(&self) -> Result<Url, Error> {
        match self.plain_http {
            Some(true) => self.hello("http").await,
            Some(false) => self.hello("https").await,
            None => match self.hello("https").await {
                // Only where nothing answered: a certificate that is not trusted is a certificate.
                Err(error) if error.kind() == Kind::Unavailable && error.status().is_none() => {
                    self.hello("http").await.map_err(|_| error)
                }
                answered => answered,
            },
        }
    }

    /// Asks `/v2/` (distribution-spec, end-1), which tells how to authorize.
    async fn hello(&self, scheme: &str) -> Result<Url, Error> {
        // Docker Hub's API has a host of its own.
        let host =
            if self.host.as_str() == proto::image::DOCKER_HUB { "registry-1.docker.io" } else { self.host.as_str() };
        let url = format!("{scheme}://{host}/v2/");
        let url = Url::parse(&url)
            .map_err(|error| Error::new(Kind::Internal, format!("read the URL `{url}`")).caused_by(error))?;
        let request = Request::new(Method::GET, url.clone());
        let mut ticket = self.enter(&request).await?;
        ticket.sending();
        let answer = self.wire.send(&request, None).await?;
        ticket.answered(answer.status(), answer.headers());
        if answer.status() == 401 && answer.is_from(&url) {
            self.auth.learn(answer.headers(), &url)?;
        } else if answer.status() == 429 || answer.status().is_server_error() {
            answer.ok().await?;
        }
        Ok(url)
    }

    /// Sends a request, again if its failure may pass. The answer is a success.
    pub(crate) async fn call(&self, request: &Request, purpose: &Purpose) -> Result<Answer, Error> {
        self.retried(|| self.call_once(request, purpose)).await
    }

    /// Repeats what may pass, after a delay or after what the registry asks for.
    pub(crate) async fn retried<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut delays = self.options.delays(self.options.retries);
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Some(delay) = delays.next().filter(|_| error.may_pass()) else { return Err(error) };
            self.pause(&error, delay).await;
        }
    }

    /// Waits `delay`, and before it what the registry asked for.
    pub(crate) async fn pause(&self, error: &Error, delay: std::time::Duration) {
        let delay = delay + error.retry_after().unwrap_or_default();
        tracing::debug!(%error, delay_ms = delay.as_millis(), "trying again");
        tokio::time::sleep(delay).await;
    }

    /// Sends a request once, and once more if another authorization may help.
    pub(crate) async fn call_once(&self, request: &Request, purpose: &Purpose) -> Result<Answer, Error> {
        let ticket = self.enter(request).await?;
        self.call_entered(ticket, request, purpose).await
    }

    /// Waits until a request may be sent.
    pub(crate) async fn enter(&self, request: &Request) -> Result<Ticket, Error> {
        let span = request.span(&self.host, &self.wire.secrets);
        let entered = self.budget.enter(request).await;
        entered.map(|ticket| ticket.traced_by(span)).map_err(|exhausted| self.exhausted(request, &exhausted))
    }

    /// Sends a request that may be sent now.
    pub(crate) async fn call_entered(
        &self,
        ticket: Ticket,
        request: &Request,
        purpose: &Purpose,
    ) -> Result<Answer, Error> {
        let span = ticket.span.clone();
        self.send_entered(ticket, request, purpose).instrument(span).await
    }

    async fn send_entered(&self, mut ticket: Ticket, request: &Request, purpose: &Purpose) -> Result<Answer, Error> {
        let authorization = self.authorization(&request.url, purpose).await?;
        ticket.sending();
        let mut answer = self.wire.send(request, authorization.as_ref()).await?;
        let mut exhausted = ticket.answered(answer.status(), answer.headers());
        let base = self.base().await?;
        // Only the registry's own challenge: where it redirects to could name any place for our credentials.
        if answer.status() == 401 && answer.is_from(base) && purpose.proof == Proof::AsAsked {
            let headers = answer.headers();
            let refused = authorization.as_ref();
            let renewed = self.auth.renew(&purpose.path, &purpose.scopes, base, headers, refused).await?;
            if let Some(new) = renewed {
                ticket.again().await;
                ticket.sending();
                answer = self.wire.send(request, Some(&new)).await?;
                exhausted = ticket.answered(answer.status(), answer.headers());
            }
        }
        // An answer without a body is read, and whoever needs more for it needs a slot.
        answer.slot = ticket.slot.take().filter(|_| request.method != Method::HEAD);
        let judged = self.judge(answer, purpose).await;
        match exhausted {
            Some(exhausted) => judged.map_err(|error| error.exhausted(exhausted.wait)),
            None => judged,
        }
    }

    /// Sends a streaming body once. The caller holds a write slot.
    pub(crate) async fn upload(&self, request: &Request, purpose: &Purpose, upload: Upload) -> Result<Answer, Error> {
        let span = request.span(&self.host, &self.wire.secrets);
        let entered = self.budget.enter_upload(request).await;
        let ticket = entered.map_err(|exhausted| self.exhausted(request, &exhausted))?.traced_by(span.clone());
        self.send_upload(ticket, request, purpose, upload).instrument(span).await
    }

    async fn send_upload(
        &self,
        mut ticket: Ticket,
        request: &Request,
        purpose: &Purpose,
        upload: Upload,
    ) -> Result<Answer, Error> {
        let authorization = self.authorization(&request.url, purpose).await?;
        ticket.sending();
        let answer = self.wire.upload(request, authorization.as_ref(), upload).await?;
        ticket.answered(answer.status(), answer.headers());
        let base = self.base().await?;
        if answer.status() == 401 && answer.is_from(base) {
            // The body is gone, but the next try shall have another token.
            let refused = authorization.as_ref();
            self.auth.renew(&purpose.path, &purpose.scopes, base, answer.headers(), refused).await?;
        }
        self.judge(answer, purpose).await
    }

    /// A slot for an upload, which is taken before the source is opened.
    pub(crate) async fn write_slot(&self) -> Result<Slot, Error> {
        Ok(self.budget.write_slot().await)
    }

    /// Why a pull is not sent.
    fn exhausted(&self, request: &Request, exhausted: &Exhausted) -> Error {
        let error = self.wire.error(Kind::RateLimited, request).because(exhausted.to_string());
        error.exhausted(exhausted.wait)
    }

    /// No `Authorization` leaves for another host: uploads and pages may lead elsewhere.
    async fn authorization(&self, url: &Url, purpose: &Purpose) -> Result<Option<HeaderValue>, Error> {
        let base = self.base().await?;
        if base.origin() != url.origin() {
            return Ok(None);
        }
        match purpose.proof {
            Proof::AsAsked | Proof::AsBefore => self.auth.authorize(&purpose.path, &purpose.scopes).await,
            Proof::Password => self.auth.password_header(&purpose.path).await,
            Proof::None => Ok(None),
        }
    }

    /// A 401 in spite of credentials that were good for a token means that they do not suffice.
    async fn judge(&self, answer: Answer, purpose: &Purpose) -> Result<Answer, Error> {
        let lacks_scope = auth::lacks_scope(answer.headers());
        match answer.ok().await {
            Err(error) if error.kind() == Kind::Unauthorized => {
                if !self.auth.has_credentials(&purpose.path).await {
                    return Err(error.hinting("no credentials were found: `docker login`, or `auth` in the file"));
                }
                let is_denied = lacks_scope || error.code() == Some("DENIED");
                Err(if is_denied { error.with_kind(Kind::Forbidden) } else { error })
            }
            judged => judged,
        }
    }
}
