//! The Ledger of a fleet, in a Redis: whoever cannot reach it knows nothing, and goes on.
//!
//! Everything there ends by itself when it was not used for some time, and may be deleted at any moment. Lists that
//! several change are changed by scripts, in which the server tells the time.

mod leases;
mod link;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use proto::{Digest, Host, Manifest, Repository, RunId};
use redis::Script;

use self::link::Link;
use super::kept::Kept;
use super::leases::Leases;
use super::{BEAT_LASTS, BESIDE_MAX, Beat, CANCELLED_LASTS, Holders, LEARNED_BYTES_MAX, LEASE_LASTS, Lease, Ledger};

/// How long what nobody uses is kept.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a manifest may measure to be kept, in bytes: larger ones are few, and all others would wait for them.
const MANIFEST_BYTES_MAX: usize = 512 * 1024;

/// Digests in one call of a script: the server does nothing else meanwhile.
const DIGESTS_MAX: usize = 1_000;

/// How to reach a Redis. Before one that speaks TLS is reached, the process must have chosen its provider of it.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://HOST:PORT`, or `rediss://…` for TLS; `/N` after it names a database, `USER@` before the host a user.
    pub url: String,
    /// The password, which goes before one in the URL.
    pub password: Option<String>,
    /// PEM file of the only certificates to trust; none means those of the system. Read with each connection.
    pub ca_file: Option<PathBuf>,
    /// The first part of all names there: factories that share a Redis, and not what they know, have different ones.
    pub prefix: String,
}

impl RedisSettings {
    /// The Redis at `url`, without more than that says.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), password: None, ca_file: None, prefix: "image-factory".to_owned() }
    }
}

impl fmt::Debug for RedisSettings {
    /// Without URL and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings").field("ca_file", &self.ca_file).field("prefix", &self.prefix).finish()
    }
}

/// A [`Ledger`] that all processes share that use the same Redis under the same prefix.
///
/// While it cannot be reached nothing is known, each call returns within a second and most at once, and leases are had
/// within this process only. The log tells when that begins, with the reason, and when it ends.
pub struct RedisLedger {
    link: Arc<Link>,
    prefix: String,
    /// Those of this process, which ask here first.
    leases: Arc<Leases>,
    /// What tells the holders of leases from others: this process.
    process: String,
    leases_last: Duration,
    beats_last: Duration,
}

impl RedisLedger {
    /// Reaches for nothing before it is needed.
    pub fn new(settings: RedisSettings) -> Self {
        Self {
            prefix: settings.prefix.clone(),
            link: Arc::new(Link::new(settings)),
            leases: Arc::default(),
            process: format!("{}.", RunId::new()),
            leases_last: LEASE_LASTS,
            beats_last: BEAT_LASTS,
        }
    }

    /// The same with leases and beats that last so long, for tests: a Redis has no clock that can be set.
    #[cfg(feature = "conformance")]
    #[must_use]
    pub fn lasting(self, lasts: Duration) -> Self {
        Self { leases: Arc::new(Leases::lasting(lasts)), leases_last: lasts, beats_last: lasts, ..self }
    }

    /// Whether it can be reached.
    ///
    /// # Errors
    /// A sentence that names its address and what is wrong.
    pub async fn health(&self) -> Result<(), String> {
        self.link.health().await
    }

    fn key(&self, kind: &str, name: impl fmt::Display) -> String {
        format!("{}:{kind}:{name}", self.prefix)
    }

    /// What is noted of digests in a repository: of the repository first, and then of each digest at its registry.
    fn keys(&self, repository: &Repository, digests: &[Digest]) -> Vec<String> {
        let (host, path) = (repository.host(), repository.path());
        let of_digests = digests.iter().map(|digest| self.key("holders", format_args!("{host}:{digest}")));
        [self.key("held", format_args!("{host}/{path}"))].into_iter().chain(of_digests).collect()
    }

    async fn note(&self, repository: &Repository, content: &[Digest], held: bool) {
        static NOTE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/note.lua")));
        for digests in chunks(content) {
            let mut note = NOTE.key(self.keys(repository, digests));
            note.arg(millis(KEPT_FOR)).arg(BESIDE_MAX + 1).arg(repository.path()).arg(u8::from(held));
            note.arg(texts(digests));
            if self.link.run::<()>(&note).await.is_none() {
                return;
            }
        }
    }

    /// Reads a text, which is used by that.
    async fn used(&self, key: String) -> Option<Vec<u8>> {
        let mut used = redis::pipe();
        used.cmd("GETEX").arg(key).arg("PX").arg(millis(KEPT_FOR));
        let (text,): (Option<Vec<u8>>,) = self.link.ask(&used).await?;
        text
    }

    async fn keep(&self, key: String, text: &[u8], lasts: Duration) {
        let mut keep = redis::pipe();
        keep.cmd("SET").arg(key).arg(text).arg("PX").arg(millis(lasts)).ignore();
        self.link.ask::<()>(&keep).await;
    }
}

#[async_trait]
impl Ledger for RedisLedger {
    async fn holders(&self, repository: &Repository, wanted: &[Digest]) -> Holders {
        static HOLDERS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/holders.lua")));
        let mut holders = Holders::default();
        for digests in chunks(wanted) {
            let mut look = HOLDERS.key(self.keys(repository, digests));
            // One more than is told, since who asks may be among them.
            look.arg(millis(KEPT_FOR)).arg(BESIDE_MAX + 1).arg(texts(digests));
            let Some((known, found)) = self.link.run::<(bool, Vec<redis::Value>)>(&look).await else { break };
            holders.knows_repository |= known;
            for (digest, found) in digests.iter().zip(found) {
                let Ok(paths) = redis::from_redis_value::<Vec<String>>(found) else {
                    holders.here.insert(digest.clone());
                    continue;
                };
                let all = paths.iter().filter_map(|path| Repository::new(repository.host().clone(), path).ok());
                let beside: Vec<_> = all.filter(|holder| holder != repository).take(BESIDE_MAX).collect();
                if !beside.is_empty() {
                    holders.beside.insert(digest.clone(), beside);
                }
            }
        }
        holders
    }

    async fn note_held(&self, repository: &Repository, content: &[Digest]) {
        self.note(repository, content, true).await;
    }

    async fn note_missing(&self, repository: &Repository, content: &[Digest]) {
        self.note(repository, content, false).await;
    }

    async fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        let key = self.key("manifest", digest);
        let kept = self.used(key.clone()).await?;
        let manifest = Kept::of_text(kept).and_then(|kept| kept.read(digest));
        if manifest.is_none() {
            let mut forget = redis::pipe();
            forget.cmd("DEL").arg(key).ignore();
            self.link.ask::<()>(&forget).await;
        }
        manifest
    }

    async fn keep_manifest(&self, manifest: &Manifest) {
        if manifest.raw.len() <= MANIFEST_BYTES_MAX && manifest.digest.matches(&manifest.raw) {
            let text = Kept::of(manifest).text();
            self.keep(self.key("manifest", &manifest.digest), &text, KEPT_FOR).await;
        }
    }

    async fn learned(&self, registry: &Host) -> Option<String> {
        String::from_utf8(self.used(self.key("learned", registry)).await?).ok()
    }

    async fn keep_learned(&self, registry: &Host, learned: &str) {
        if learned.len() <= LEARNED_BYTES_MAX {
            self.keep(self.key("learned", registry), learned.as_bytes(), KEPT_FOR).await;
        }
    }

    async fn lease(&self, registry: &Host, blob: &Digest) -> Option<Lease> {
        self.take_lease(registry, blob).await
    }

    async fn lease_ended(&self, registry: &Host, blob: &Digest, patience: Duration) {
        self.wait_for_lease(registry, blob, patience).await;
    }

    async fn beat(&self, beat: &Beat) {
        static BEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/beat.lua")));
        let Ok(text) = serde_json::to_string(beat) else { return };
        let mut beats = BEAT.key(self.key("beats", "said"));
        beats.key(self.key("beats", "until")).arg(&beat.worker).arg(text).arg(millis(self.beats_last));
        self.link.run::<()>(&beats).await;
    }

    async fn beats(&self) -> Option<Vec<Beat>> {
        static BEATS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis/beats.lua")));
        let mut look = BEATS.key(self.key("beats", "said"));
        let texts: Vec<String> = self.link.run(look.key(self.key("beats", "until"))).await?;
        // One that cannot be read is a worker of which nothing can be told.
        let mut beats = texts.iter().map(|text| serde_json::from_str(text).ok()).collect::<Option<Vec<Beat>>>()?;
        beats.sort_by(|one, other| one.worker.cmp(&other.worker));
        Some(beats)
    }

    async fn cancel(&self, run: RunId) {
        self.keep(self.key("cancelled", run), b"", CANCELLED_LASTS).await;
    }

    async fn is_cancelled(&self, run: RunId) -> bool {
        let mut look = redis::pipe();
        look.cmd("EXISTS").arg(self.key("cancelled", run));
        self.link.ask(&look).await.is_some_and(|(exists,): (bool,)| exists)
    }
}

/// One at least: whoever asks for nothing asks of the repository.
fn chunks(digests: &[Digest]) -> impl Iterator<Item = &[Digest]> {
    let none = digests.is_empty().then_some(digests);
    none.into_iter().chain(digests.chunks(DIGESTS_MAX))
}

fn texts(digests: &[Digest]) -> Vec<&str> {
    digests.iter().map(Digest::as_str).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
