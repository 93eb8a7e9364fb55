//! The Ledger: what the fleet shares to save work, and may lose, or find wrong.
//!
//! Nothing here is a proof. Whoever acts on it asks the registry for what counts, so a Ledger that forgets or lies costs
//! time, never correctness; and because of that no verb fails: a Ledger that cannot be reached knows nothing.

mod beat;
mod kept;
mod leases;
mod local;
mod redis;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use proto::{Digest, Host, Manifest, Repository, RunId};

pub use beat::{Beat, Underway};
pub use local::LocalLedger;
pub use redis::{RedisLedger, RedisSettings};

/// How long a lease lasts after the last byte that moved under it. Long enough for a registry that thinks before it
/// takes more, short enough that who waits for a worker that died does not wait for long.
pub const LEASE_LASTS: Duration = Duration::from_secs(15);

/// How often a worker says that it lives.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);

/// How long that is believed: three beats may be late or lost.
pub const BEAT_LASTS: Duration = Duration::from_secs(15);

/// How long it is known that a run was cancelled, at least: longer than anything of it is under way.
pub const CANCELLED_LASTS: Duration = Duration::from_secs(24 * 60 * 60);

/// How many other repositories are told of each digest: more than one, since a mount may be refused.
const BESIDE_MAX: usize = 4;

/// What a text that was learned may measure, in bytes: more is no text of ours.
const LEARNED_BYTES_MAX: usize = 64 * 1024;

/// Shared hints. What holds of every implementation is written down in the `conformance` module.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Where `wanted` lies, blobs and manifests alike, in `repository` and beside it at the same registry.
    async fn holders(&self, repository: &Repository, wanted: &[Digest]) -> Holders;

    /// Notes that `repository` holds `content`.
    async fn note_held(&self, repository: &Repository, content: &[Digest]);

    /// Notes that `repository` does not hold `content`, whatever was noted before.
    async fn note_missing(&self, repository: &Repository, content: &[Digest]);

    /// A manifest that was kept. Its bytes have the digest.
    async fn manifest(&self, digest: &Digest) -> Option<Manifest>;

    /// Keeps the bytes of a manifest, so that nobody need read them again.
    async fn keep_manifest(&self, manifest: &Manifest);

    /// What was last kept as learned of a registry, in the words of whoever kept it.
    async fn learned(&self, registry: &Host) -> Option<String>;

    /// Keeps what was learned of a registry.
    async fn keep_learned(&self, registry: &Host, learned: &str);

    /// Whether more was sent than was noted, by a process that was killed in between: then what is not told to be
    /// anywhere may be there all the same.
    fn is_doubted(&self) -> bool {
        false
    }

    /// The right to send a blob to a registry; none while somebody else has it. It ends when it is dropped, and
    /// [`LEASE_LASTS`] after it was taken or last renewed.
    async fn lease(&self, registry: &Host, blob: &Digest) -> Option<Lease>;

    /// Returns once nobody has the lease of this blob, but after `patience` in any case.
    async fn lease_ended(&self, registry: &Host, blob: &Digest, patience: Duration);

    /// Says that a worker lives, and what it does. That is believed for [`BEAT_LASTS`], unless it says so again.
    async fn beat(&self, beat: &Beat);

    /// What each worker that lives said last, in the order of their names. None if nobody can tell now, which is not the
    /// same as no worker.
    async fn beats(&self) -> Option<Vec<Beat>>;

    /// Lets all workers know that a run is cancelled, for [`CANCELLED_LASTS`].
    async fn cancel(&self, run: RunId);

    /// Whether a run is known to be cancelled.
    async fn is_cancelled(&self, run: RunId) -> bool;
}

/// Where content is said to lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// What the repository itself holds.
    pub here: HashSet<Digest>,
    /// Other repositories of the same registry, those noted last first; only of what is not `here`, and of each some.
    pub beside: HashMap<Digest, Vec<Repository>>,
    /// Whether anything was ever noted of the repository: then what is not `here` is most likely not there.
    pub knows_repository: bool,
}

/// The right to send a blob. Whoever has it waits for nobody while bytes do not move.
#[must_use = "a lease that is dropped has ended"]
pub struct Lease(Box<dyn Hold>);

/// What an implementation keeps of a lease: dropping it ends the lease.
pub(crate) trait Hold: Send + Sync {
    /// Makes the lease last from now on.
    fn renew(&self);
}

impl Lease {
    pub(crate) fn new(hold: Box<dyn Hold>) -> Self {
        Self(hold)
    }

    /// Makes the lease last from now on: to be called as bytes move, as often as one likes.
    pub fn renew(&self) {
        self.0.renew();
    }
}
