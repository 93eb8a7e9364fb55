//! The suites, on what this crate ships, and what holds of one implementation only.

#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

mod sqlite_file;

mod memory_queue {
    use std::sync::Arc;

    use backends::{MemoryQueue, Queue};

    backends::queue_suite!(async { Arc::new(MemoryQueue::new()) as Arc<dyn Queue> });
}

mod store_in_memory {
    use backends::Store;

    backends::store_suite!(async { (Store::in_memory().await.unwrap(), ()) });
}

mod store_in_a_file {
    use backends::Store;

    backends::store_suite!(async {
        let folder = tempfile::tempdir().unwrap();
        (Store::open(&folder.path().join("store.db")).await.unwrap(), folder)
    });
}
