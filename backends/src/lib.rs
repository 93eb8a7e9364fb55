//! What the factory stands on: the Queue that carries messages, and the Store that keeps what must not be lost.
//!
//! # Layout
//!
//! - [`queue`]: the promise of every Queue
//! - [`memory`]: the Queue within one process
//! - [`ledger`]: what the fleet shares to save work
//! - [`evidence`]: documents by digest
//! - [`store`]: runs, tasks and placements, as domain verbs
//! - `conformance` (feature): the suites that each implementation must pass

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod evidence;
pub mod ledger;
pub mod memory;
pub mod queue;
pub mod store;

pub use evidence::{Evidence, EvidenceError};
pub use ledger::{Beat, Holders, Lease, Ledger, LocalLedger, RedisLedger, RedisSettings};
pub use memory::MemoryQueue;
pub use queue::{Delivery, Lane, Queue, QueueError};
pub use store::{Store, StoreError};
