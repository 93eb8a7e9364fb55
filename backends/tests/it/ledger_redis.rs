//! What holds of a Ledger because it is a Redis: that it may be gone, slow or empty at any moment, and comes back.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backends::conformance::server::{Kind, PASSWORD, Server};
use backends::{Beat, Holders, Lease, Ledger, RedisLedger, RedisSettings};
use proto::{Digest, Host, Manifest, Repository, RunId};
use tokio::time::{sleep, timeout};
use tracing::field::Field;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata};

/// How long leases and beats last in these tests.
pub(crate) const LASTS: Duration = Duration::from_millis(1500);

/// How long what must happen is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a call takes at most, on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(3);

/// Settings for a part of a server that nobody else uses.
fn settings(server: &Server) -> RedisSettings {
    let mut settings = RedisSettings::new(format!("redis://{}", server.address));
    settings.password = Some(PASSWORD.to_owned());
    settings.prefix = format!("test {}", RunId::new());
    settings
}

pub(crate) fn alone() -> Option<(Arc<dyn Ledger>, ())> {
    let ledger = RedisLedger::new(settings(Server::shared(Kind::Redis)?)).lasting(LASTS);
    Some((Arc::new(ledger), ()))
}

pub(crate) fn two() -> Option<(Arc<dyn Ledger>, ())> {
    let settings = settings(Server::shared(Kind::Redis)?);
    let new = || RedisLedger::new(settings.clone()).lasting(LASTS);
    Some((Arc::new(InTurn { processes: [new(), new()], asked: AtomicUsize::new(0) }), ()))
}

/// Two processes of a fleet, of which each has every other call.
struct InTurn {
    processes: [RedisLedger; 2],
    asked: AtomicUsize,
}

impl InTurn {
    fn next(&self) -> &RedisLedger {
        &self.processes[self.asked.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

#[async_trait]
impl Ledger for InTurn {
    async fn holders(&self, repository: &Repository, wanted: &[Digest]) -> Holders {
        self.next().holders(repository, wanted).await
    }

    async fn note_held(&self, repository: &Repository, content: &[Digest]) {
        self.next().note_held(repository, content).await;
    }

    async fn note_missing(&self, repository: &Repository, content: &[Digest]) {
        self.next().note_missing(repository, content).await;
    }

    async fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        self.next().manifest(digest).await
    }

    async fn keep_manifest(&self, manifest: &Manifest) {
        self.next().keep_manifest(manifest).await;
    }

    async fn learned(&self, registry: &Host) -> Option<String> {
        self.next().learned(registry).await
    }

    async fn keep_learned(&self, registry: &Host, learned: &str) {
        self.next().keep_learned(registry, learned).await;
    }

    async fn lease(&self, registry: &Host, blob: &Digest) -> Option<Lease> {
        self.next().lease(registry, blob).await
    }

    async fn lease_ended(&self, registry: &Host, blob: &Digest, patience: Duration) {
        self.next().lease_ended(registry, blob, patience).await;
    }

    async fn beat(&self, beat: &Beat) {
        self.next().beat(beat).await;
    }

    async fn beats(&self) -> Option<Vec<Beat>> {
        self.next().beats().await
    }

    async fn cancel(&self, run: RunId) {
        self.next().cancel(run).await;
    }

    async fn is_cancelled(&self, run: RunId) -> bool {
        self.next().is_cancelled(run).await
    }
}

fn repository(name: &str) -> Repository {
    Repository::new("registry.example.com".parse().unwrap(), name).unwrap()
}

fn blob(n: usize) -> Digest {
    Digest::of(format!("layer {n}").as_bytes())
}

fn manifest() -> Manifest {
    Manifest::parse(r#"{"schemaVersion":2,"manifests":[]}"#.into(), None).unwrap()
}

async fn is_here(ledger: &dyn Ledger, blob: &Digest) -> bool {
    ledger.holders(&repository("app"), std::slice::from_ref(blob)).await.here.contains(blob)
}

/// Whether what is noted now is found.
async fn is_of_use(ledger: &dyn Ledger) -> bool {
    ledger.note_held(&repository("app"), &[blob(0)]).await;
    is_here(ledger, &blob(0)).await
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE);
        sleep(Duration::from_millis(50)).await;
    }
}

/// What comes of a call, which comes soon.
async fn soon<T>(call: impl Future<Output = T>) -> T {
    timeout(LIMIT, call).await.unwrap()
}

/// Every verb: each returns within its limit, and whatever it says is what somebody who knows nothing says.
async fn knows_nothing(ledger: &dyn Ledger) {
    let (app, run) = (repository("app"), RunId::new());
    assert_eq!(soon(ledger.holders(&app, &[blob(0)])).await, Holders::default());
    soon(ledger.note_held(&app, &[blob(0)])).await;
    soon(ledger.note_missing(&app, &[blob(0)])).await;
    soon(ledger.keep_manifest(&manifest())).await;
    assert_eq!(soon(ledger.manifest(&manifest().digest)).await, None);
    soon(ledger.keep_learned(app.host(), "mounts")).await;
    assert_eq!(soon(ledger.learned(app.host())).await, None);
    // Who cannot ask the others goes on without them.
    let lease = soon(ledger.lease(app.host(), &blob(0))).await.unwrap();
    assert!(soon(ledger.lease(app.host(), &blob(0))).await.is_none());
    lease.renew();
    drop(lease);
    soon(ledger.lease_ended(app.host(), &blob(0), Duration::MAX)).await;
    soon(ledger.beat(&Beat::default())).await;
    assert_eq!(soon(ledger.beats()).await, None);
    soon(ledger.cancel(run)).await;
    assert!(!soon(ledger.is_cancelled(run)).await);
}

/// What this thread says in the log while the guard lives, each line with its level.
fn listen() -> (Arc<Mutex<Vec<String>>>, tracing::subscriber::DefaultGuard) {
    let lines = Arc::<Mutex<Vec<String>>>::default();
    (lines.clone(), tracing::subscriber::set_default(Listener(lines)))
}

struct Listener(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("backends")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = event.metadata().level().to_string();
        event.record(&mut |field: &Field, value: &dyn Debug| line += &format!(" {field}={value:?}"));
        self.0.lock().unwrap().push(line);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn an_outage_is_one_line_in_the_log_and_its_end_another() {
    let Some(mut server) = Server::start(Kind::Redis) else { return };
    let (lines, _guard) = listen();
    let ledger = RedisLedger::new(settings(&server));
    for _ in 0..2 {
        assert!(is_of_use(&ledger).await);
        assert_eq!(*lines.lock().unwrap(), [""; 0]);
        server.kill();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            knows_nothing(&ledger).await;
            sleep(Duration::from_millis(10)).await;
        }
        server.start_again();
        until(async || ledger.health().await.is_ok()).await;
        let told = std::mem::take(&mut *lines.lock().unwrap());
        let [gone, back] = &told[..] else { panic!("{told:#?}") };
        assert!(gone.starts_with("WARN") && gone.contains(&server.address) && gone.contains("cause="), "{gone}");
        assert!(back.starts_with("INFO") && back.contains(&server.address), "{back}");
        assert!(!gone.contains(PASSWORD), "{gone}");
    }
}

#[tokio::test]
async fn a_server_that_is_killed_and_started_again_is_of_use_again() {
    let Some(mut server) = Server::start(Kind::Redis) else { return };
    let ledger = RedisLedger::new(settings(&server));
    assert!(is_of_use(&ledger).await && ledger.health().await.is_ok());
    server.kill();
    knows_nothing(&ledger).await;
    let sick = ledger.health().await.unwrap_err();
    assert!(sick.starts_with(&format!("the ledger at `{}` cannot be asked: ", server.address)), "{sick}");
    assert!(!sick.contains(PASSWORD), "{sick}");
    server.start_again();
    until(async || ledger.health().await.is_ok()).await;
    until(async || is_of_use(&ledger).await).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_used_once_it_is() {
    let Some(mut server) = Server::start(Kind::Redis) else { return };
    server.kill();
    let ledger = RedisLedger::new(settings(&server));
    knows_nothing(&ledger).await;
    server.start_again();
    until(async || is_of_use(&ledger).await).await;
}

#[tokio::test]
async fn a_server_that_stands_still_is_waited_for_once_and_is_of_use_when_it_goes_on() {
    let Some(server) = Server::start(Kind::Redis) else { return };
    let ledger = RedisLedger::new(settings(&server));
    assert!(is_of_use(&ledger).await);
    server.freeze();
    let frozen = Instant::now();
    let mut asked = 0;
    while frozen.elapsed() < Duration::from_secs(5) {
        knows_nothing(&ledger).await;
        asked += 1;
    }
    assert!(asked > 5, "not each call waits: {asked}");
    assert!(ledger.health().await.unwrap_err().contains("does not answer within 1000 ms"));
    server.resume();
    until(async || is_of_use(&ledger).await).await;
    // Those who asked together are told together.
    server.freeze();
    let together = (0..200).map(|n| async move { blob(n) });
    let asked = futures_util::future::join_all(together.map(async |blob| is_here(&ledger, &blob.await).await));
    assert!(timeout(LIMIT, asked).await.unwrap().iter().all(|is_here| !is_here));
    server.resume();
    until(async || is_of_use(&ledger).await).await;
}

#[tokio::test]
async fn a_server_that_forgot_everything_is_as_new() {
    let Some(server) = Server::start(Kind::Redis) else { return };
    let settings = settings(&server);
    let [one, other] = [(); 2].map(|()| RedisLedger::new(settings.clone()));
    let host = repository("app").host().clone();
    assert!(is_of_use(&one).await);
    one.keep_manifest(&manifest()).await;
    one.beat(&Beat { worker: "one".to_owned(), ..Beat::default() }).await;
    let lost = one.lease(&host, &blob(1)).await.unwrap();
    assert!(other.lease(&host, &blob(1)).await.is_none());
    crate::servers::redis(&server, "FLUSHALL");
    crate::servers::redis(&server, "SCRIPT FLUSH");
    assert_eq!(other.holders(&repository("app"), &[blob(0)]).await, Holders::default());
    assert_eq!((other.manifest(&manifest().digest).await, other.beats().await), (None, Some(Vec::new())));
    // The lease has lapsed, and is neither renewed nor ended by who had it.
    let next = other.lease(&host, &blob(1)).await.unwrap();
    lost.renew();
    drop(lost);
    assert!(one.lease(&host, &blob(1)).await.is_none());
    drop(next);
    assert!(is_of_use(&one).await && is_of_use(&other).await);
}

#[tokio::test]
async fn bytes_of_a_manifest_that_somebody_changed_are_not_given_and_deleted() {
    let Some(server) = Server::start(Kind::Redis) else { return };
    let ledger = RedisLedger::new(RedisSettings { prefix: "factory".to_owned(), ..settings(&server) });
    ledger.keep_manifest(&manifest()).await;
    assert_eq!(ledger.manifest(&manifest().digest).await, Some(manifest()));
    let key = format!("factory:manifest:{}", manifest().digest);
    for command in ["APPEND", "SET"] {
        crate::servers::redis(&server, &format!("{command} {key} x"));
        assert_eq!(ledger.manifest(&manifest().digest).await, None);
        assert_eq!(crate::servers::redis(&server, &format!("EXISTS {key}")), ":0");
    }
    // What is there is of another kind: said, and no reason to give up the rest.
    crate::servers::redis(&server, &format!("HSET {key} x 1"));
    assert_eq!(ledger.manifest(&manifest().digest).await, None);
    assert!(is_of_use(&ledger).await);
}

#[tokio::test]
async fn nothing_is_kept_for_ever() {
    let Some(server) = Server::start(Kind::Redis) else { return };
    let ledger = RedisLedger::new(settings(&server));
    let host = repository("app").host().clone();
    assert!(is_of_use(&ledger).await);
    ledger.note_missing(&repository("new"), &[blob(1)]).await;
    ledger.keep_manifest(&manifest()).await;
    ledger.keep_learned(&host, "mounts").await;
    ledger.beat(&Beat::default()).await;
    ledger.cancel(RunId::new()).await;
    let _lease = ledger.lease(&host, &blob(1)).await.unwrap();
    let count = |command: &str| crate::servers::redis(&server, command);
    let count_lasting = "EVAL 'local n=0;for _,k in ipairs(redis.call(\"KEYS\",\"*\")) do if redis.call(\"TTL\",k)<0 then \
                         n=n+1 end end;return n' 0";
    // What two repositories hold, who holds a blob, manifest, text, beats and their times, run, lease.
    assert_eq!((count("DBSIZE"), count(count_lasting)), (":9".to_owned(), ":0".to_owned()));
}

#[tokio::test]
async fn a_server_is_reached_by_tls_if_its_authority_is_trusted() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(server) = Server::start_with_tls(Kind::Redis) else { return };
    let settings = RedisSettings { url: format!("rediss://{}", server.address), ..settings(&server) };
    let trusting = RedisSettings { ca_file: Some(server.file("ca.crt").into()), ..settings.clone() };
    assert!(is_of_use(&RedisLedger::new(trusting.clone())).await);
    let sick = RedisLedger::new(settings.clone()).health().await.unwrap_err();
    assert!(sick.contains("certificate"), "{sick}");
    let sick = RedisLedger::new(RedisSettings { ca_file: Some("missing.pem".into()), ..settings }).health().await;
    assert!(sick.as_ref().is_err_and(|sick| sick.contains("`missing.pem`")), "{sick:?}");
    let plain = RedisSettings { url: format!("redis://{}", server.address), ca_file: None, ..trusting };
    knows_nothing(&RedisLedger::new(plain)).await;
}

#[tokio::test]
async fn a_wrong_password_or_url_is_told_without_it() {
    let Some(server) = Server::shared(Kind::Redis) else { return };
    let right = settings(server);
    for (url, password) in [
        (right.url.clone(), Some("hush")),
        (right.url.replace("://", "://:hush@"), None),
        (right.url.replace("://", "://user:hush@"), None),
        (right.url.replace("redis://", "hush://hush:hush@"), None),
        ("hush".to_owned(), None),
    ] {
        let ledger = RedisLedger::new(RedisSettings { url, password: password.map(str::to_owned), ..right.clone() });
        knows_nothing(&ledger).await;
        let sick = ledger.health().await.unwrap_err();
        println!("{sick}");
        assert!(!sick.contains("hush"), "{sick}");
    }
    assert!(
        !format!("{:?}", RedisSettings { url: "redis://:hush@localhost".to_owned(), ..right.clone() }).contains("hush")
    );
    // The one set apart goes first.
    let both = RedisSettings { url: right.url.replace("://", "://:hush@"), ..right };
    assert!(is_of_use(&RedisLedger::new(both)).await);
}
