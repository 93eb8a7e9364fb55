//! Every shared cap and deadline, with its unit and its reason; what must agree is checked at compile time.

use std::time::Duration;

/// Largest manifest that is read. Registries should accept at least 4 MiB (distribution-spec, "Pushing Manifests");
/// more would let a hostile source fill a worker's memory.
pub const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest message on the queue: a task names one image and its destinations, so this is far above need.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;

/// Most manifests below one tag (children of nested indexes, and referrers): an index that names more is hostile.
pub const MANIFESTS_PER_IMAGE_MAX: usize = 1_000;

/// How deep indexes may be nested: one in one is the most that is seen in practice.
pub const INDEX_DEPTH_MAX: usize = 4;

/// Bytes of all manifests of one image together, which are held in memory while it is copied.
pub const IMAGE_MANIFEST_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How often an attempt that failed with class `Retry` is tried in all.
pub const TRIES_MAX: u32 = 3;

/// Delay before the second try.
pub const SECOND_TRY_AFTER: Duration = Duration::from_secs(5);

/// Delay before the third try.
pub const THIRD_TRY_AFTER: Duration = Duration::from_secs(30);

/// The longest `Retry-After` that a request waits for; a longer one gives the attempt back as deferred.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// How long one attempt may take. Below the 30 min after which RabbitMQ takes an unacknowledged message back.
pub const ATTEMPT_DEADLINE: Duration = Duration::from_secs(25 * 60);

/// Tasks on the Queue for each slot: enough to keep all slots busy, few enough to stay fair.
pub const TASKS_PER_SLOT: usize = 8;

/// How long after the Queue's lane of tasks was seen empty all must have been answered for that was published before: it
/// was with the workers by then. What was not counts as lost, and is sent again; too early, it would be done twice, which
/// costs time and changes nothing.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30 * 60);

/// The same where workers say what they have: how long the lane must have been seen empty,
pub const EMPTY_FOR: Duration = Duration::from_secs(30);

/// and how long ago a task must have been published that none of them has.
pub const SILENT_FOR: Duration = Duration::from_secs(5 * 60);

/// How long a draining worker lets running attempts go on.
pub const DRAIN_GRACE: Duration = Duration::from_secs(60);

/// How long a destination may go on after the others of its task are done; then it is continued alone.
pub const LAGGARD_GRACE: Duration = Duration::from_secs(5 * 60);

/// Bytes of blobs that a worker holds for tasks with several destinations; with more it reads the source for each. A
/// few large images at once, on a disk that is not made for it.
pub const CONTENT_BYTES_MAX: u64 = 20 * 1024 * 1024 * 1024;

/// How long an attempt waits until its blobs may be held; then it reads the source for each destination. It leaves most
/// of the attempt's time for the transfer.
pub const CONTENT_WAIT: Duration = Duration::from_secs(5 * 60);

/// Tags of the source that a task names as sidecars at most; of more, only those that may concern it.
pub const SIDECARS_MAX: usize = 64;

/// What was read back within this time is not read back again: a second run of a day costs nothing for it.
pub const READ_BACK_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Requests that a run may spend at each registry on reading back, however few images it has: a small job is verified
/// in a few nights.
pub const READ_BACK_MIN: u64 = 50;

/// Manifests and blobs of an image of which they were not counted: about as many as images of one platform have.
pub const PARTS_USUAL: u32 = 12;

/// How often a message is delivered before it counts as a dead letter.
pub const DELIVERIES_MAX: u32 = 5;

/// Tasks that a worker runs at once, unless `--slots` says otherwise.
pub const SLOTS: usize = 48;

/// Tasks that `expand` writes in one transaction.
pub const EXPAND_BATCH: usize = 250;

/// Results that `collect` records in one transaction.
pub const COLLECT_BATCH: usize = 200;

/// Results that are enough to be recorded at once.
pub const COLLECT_ENOUGH: usize = 50;

/// How long fewer may wait for others that are recorded with them.
pub const COLLECT_WITHIN: Duration = Duration::from_millis(20);

const _: () = assert!(MESSAGE_BYTES_MAX < MANIFEST_BYTES_MAX, "manifests never travel in messages");
const _: () = assert!(ATTEMPT_DEADLINE.as_secs() + 4 * 60 < 30 * 60, "a result must be out before the broker asks");
const _: () = assert!(
    ATTEMPT_DEADLINE.as_secs() + DRAIN_GRACE.as_secs() < ANSWER_WITHIN.as_secs(),
    "a worker answers for what it has before that counts as lost"
);
const _: () = assert!(RETRY_AFTER_MAX.as_secs() * (TRIES_MAX as u64) < ATTEMPT_DEADLINE.as_secs());
const _: () = assert!(SECOND_TRY_AFTER.as_secs() < THIRD_TRY_AFTER.as_secs());
const _: () = assert!((CONTENT_WAIT.as_secs() + LAGGARD_GRACE.as_secs()) * 2 < ATTEMPT_DEADLINE.as_secs());
