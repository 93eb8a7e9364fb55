//! The suites, on what this crate ships.

mod memory_queue {
    use std::sync::Arc;

    use backends::{MemoryQueue, Queue};

    backends::queue_suite!(async { Arc::new(MemoryQueue::new()) as Arc<dyn Queue> });
}
