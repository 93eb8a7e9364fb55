//! The suites, on what this crate ships, and what holds of one implementation only.

#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

mod evidence;
mod ledger_file;
mod ledger_redis;
mod postgres;
mod postgres_outages;
mod rabbit;
mod servers;
mod sqlite_file;

mod memory_queue {
    use std::sync::Arc;

    use backends::{MemoryQueue, Queue};

    backends::queue_suite!(async { Some((Arc::new(MemoryQueue::new()) as Arc<dyn Queue>, ())) });
}

mod store_in_memory {
    use backends::Store;

    backends::store_suite!(async { Some((Store::in_memory().await.unwrap(), ())) });
}

mod store_in_a_file {
    use backends::Store;

    backends::store_suite!(async {
        let folder = tempfile::tempdir().unwrap();
        Some((Store::open(&folder.path().join("store.db")).await.unwrap(), folder))
    });
}

mod store_in_postgres {
    backends::store_suite!(crate::postgres::store());
}

mod ledger_in_memory {
    use std::sync::Arc;

    use backends::{Ledger, LocalLedger};

    backends::ledger_suite!(paused async { Some((Arc::new(LocalLedger::in_memory().await) as Arc<dyn Ledger>, ())) });
}

mod ledger_above_a_file {
    use std::sync::Arc;

    use backends::{Ledger, LocalLedger};

    backends::ledger_suite!(paused async {
        let folder = tempfile::tempdir().unwrap();
        Some((Arc::new(LocalLedger::open(&folder.path().join("ledger.db")).await) as Arc<dyn Ledger>, folder))
    });
}

mod ledger_from_its_file {
    use std::sync::Arc;

    use backends::Ledger;

    use super::ledger_file::Reopened;

    backends::ledger_suite!(paused async {
        let folder = tempfile::tempdir().unwrap();
        Some((Arc::new(Reopened::new(folder.path().join("ledger.db")).await) as Arc<dyn Ledger>, folder))
    });
}

mod ledger_of_a_redis {
    use super::ledger_redis::{LASTS, alone};

    backends::ledger_suite!(lasting LASTS; async { alone() });
}

mod ledger_of_a_redis_for_two_processes {
    use super::ledger_redis::{LASTS, two};

    backends::ledger_suite!(lasting LASTS; async { two() });
}
