//! What the factory stands on: the Queue that carries messages, and the Store that keeps what must not be lost.
//!
//! # Layout
//!
//! - [`queue`]: the promise of every Queue
//! - [`memory`]: the Queue within one process
//! - [`rabbit`]: the Queue on RabbitMQ
//! - [`ledger`]: what the fleet shares to save work
//! - [`evidence`]: documents by digest
//! - [`store`]: runs, tasks and placements, as domain verbs
//! - [`health`]: whether a backend can be used now
//! - `conformance` (feature): the suites that each implementation must pass

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod evidence;
pub mod health;
pub mod ledger;
pub mod memory;
pub mod queue;
pub mod rabbit;
pub mod store;

pub use evidence::{Evidence, EvidenceError};
pub use health::Health;
pub use ledger::{Beat, Holders, Lease, Ledger, LocalLedger, RedisLedger, RedisSettings};
pub use memory::MemoryQueue;
pub use queue::{Delivery, Lane, Queue, QueueError};
pub use rabbit::{RabbitQueue, RabbitSettings};
pub use store::{Store, StoreError};
