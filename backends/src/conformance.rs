//! The suites that every implementation must pass: one function for each promise, and a macro that makes them tests.

#![expect(clippy::unwrap_used, reason = "a suite says by a panic that it failed")]

pub mod ledger;
pub mod proxy;
pub mod queue;
pub mod server;
pub mod store;

use std::path::Path;
use std::time::Duration;

use proto::task::{Destination, Mirror, TaskKind};
use proto::{Attempt, Location, RunId, Task, TaskId};
use sqlx::{Connection, SqliteConnection};

/// How long a suite waits for what must happen: far above need, so that only what never happens fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn location(text: &str) -> Location {
    text.parse().unwrap()
}

/// A task for the queue that no store knows.
fn loose_task(source: Location) -> Task {
    let destination = Destination::new(location("registry.example.com/mirror/app:1"));
    Task {
        run: RunId::new(),
        id: TaskId::new(),
        attempt: Attempt::FIRST,
        solo: false,
        deadline: Duration::from_secs(60),
        bundle: None,
        kind: TaskKind::Mirror(Mirror {
            source,
            listed: None,
            sidecars: Default::default(),
            destinations: vec![destination],
        }),
    }
}

/// Damages the SQLite file of a Store, behind its back: from now on it takes no result. For tests of who uses a Store.
pub async fn damage_store(path: &Path) {
    let mut file = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::query("drop table attempts").execute(&mut file).await.unwrap();
}
