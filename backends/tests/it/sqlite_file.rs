//! What holds of a Store because it is a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backends::Store;
use backends::store::{NewDestination, NewRun, NewTask, StoreError};
use jiff::Timestamp;
use proto::{Digest, Location, RunId, TaskId};
use tempfile::TempDir;
use tokio::sync::Barrier;

pub(crate) fn now() -> Timestamp {
    "2026-01-02T01:30:00Z".parse().unwrap()
}

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    (folder, path)
}

pub(crate) async fn new_run(store: &Store) -> RunId {
    let id = RunId::new();
    let run = NewRun {
        id,
        job: "nightly".to_owned(),
        file_digest: Digest::of(b"file"),
        file_path: "/jobs/nightly.yaml".to_owned(),
        git_commit: Some("9c2f".to_owned()),
        started_by: "test".to_owned(),
        take_over: false,
        only: None,
        started_at: now(),
        key: None,
        max_concurrency: None,
        deadline: None,
        pinned: None,
    };
    store.create_run(&run).await.unwrap();
    id
}

pub(crate) fn task(n: usize) -> NewTask {
    NewTask {
        id: TaskId::new(),
        listed: None,
        sidecars: Default::default(),
        source: format!("source.example.com/app:{n}").parse().unwrap(),
        destinations: vec![NewDestination::from(format!("mirror.example.com/app:{n}").parse::<Location>().unwrap())],
    }
}

/// Does behind the Store's back what the Store has no verb for.
async fn execute(path: &Path, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let pool = sqlx::sqlite::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query(sql).execute(&pool).await.unwrap();
    pool.close().await;
}

#[tokio::test]
async fn what_was_committed_is_there_when_the_file_is_opened_again() {
    let (_folder, path) = file();
    let store = Store::open(&path).await.unwrap();
    let id = new_run(&store).await;
    store.add_tasks(id, &[task(1)], now()).await.unwrap();
    let (run, taken) = (store.run(id).await.unwrap(), store.take_ready(10, now()).await.unwrap());
    drop(store);
    let store = Store::open(&path).await.unwrap();
    assert_eq!(store.run(id).await.unwrap(), run);
    assert_eq!(store.take_ready(10, now()).await.unwrap(), taken);
}

#[tokio::test]
async fn two_that_have_the_file_open_write_in_turn_and_see_each_other() {
    let (_folder, path) = file();
    let first = Store::open(&path).await.unwrap();
    let second = Store::open(&path).await.unwrap();
    let id = new_run(&first).await;
    let together = Arc::new(Barrier::new(2));
    let writers: Vec<_> = [first.clone(), second]
        .into_iter()
        .enumerate()
        .map(|(writer, store)| {
            let together = Arc::clone(&together);
            tokio::spawn(async move {
                together.wait().await;
                for n in 0..50 {
                    store.add_tasks(id, &[task(100 * writer + n)], now()).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(first.progress(id).await.unwrap().counts.tasks, 100);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let (_folder, path) = file();
    std::fs::write(&path, "nightly: nothing to see here, and long enough to have a header".repeat(10)).unwrap();
    let error = Store::open(&path).await.err().unwrap();
    assert!(matches!(error, StoreError::Open { .. }));
    assert_eq!(error.to_string(), format!("open the store `{}`", path.display()));
}

#[tokio::test]
async fn a_folder_that_is_missing_is_named() {
    let (folder, _) = file();
    let path = folder.path().join("missing").join("store.db");
    let error = Store::open(&path).await.err().unwrap();
    assert_eq!(error.to_string(), format!("open the store `{}`", path.display()));
}

#[tokio::test]
async fn after_a_transaction_that_the_disk_failed_the_next_one_is_taken() {
    let (_folder, path) = file();
    let store = Store::open(&path).await.unwrap();
    let id = new_run(&store).await;
    // As on a full disk, SQLite rolls back by itself, and not because we ask.
    execute(&path, "create trigger full before insert on tasks begin select raise(rollback, 'full'); end").await;
    store.add_tasks(id, &[task(1)], now()).await.unwrap_err();
    execute(&path, "drop trigger full").await;
    assert_eq!(store.add_tasks(id, &[task(1)], now()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused() {
    let (_folder, path) = file();
    drop(Store::open(&path).await.unwrap());
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'from the future', 1, x'00', 0)";
    execute(&path, newer).await;
    let error = Store::open(&path).await.err().unwrap();
    assert!(matches!(error, StoreError::Migrate(_)));
}

#[tokio::test]
async fn who_only_looks_sees_what_another_writes_and_changes_nothing() {
    let (_folder, path) = file();
    assert!(Store::look(&path).await.unwrap().is_none());
    assert!(!path.exists());
    std::fs::write(&path, "").unwrap();
    assert!(Store::look(&path).await.unwrap().is_none(), "nothing was written to it yet");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);

    let store = Store::open(&path).await.unwrap();
    let looking = Store::look(&path).await.unwrap().unwrap();
    let id = new_run(&store).await;
    assert_eq!(looking.run(id).await.unwrap().id, id);
    looking.add_tasks(id, &[task(1)], now()).await.unwrap_err();
    drop((store, looking));
    assert_eq!(Store::look(&path).await.unwrap().unwrap().run(id).await.unwrap().id, id);
}

#[tokio::test]
async fn a_store_of_another_form_is_not_brought_to_ours_by_looking() {
    let (_folder, path) = file();
    drop(Store::open(&path).await.unwrap());
    execute(
        &path,
        "update _sqlx_migrations set version = 9999 where version = (select max(version) from _sqlx_migrations)",
    )
    .await;
    let error = Store::look(&path).await.err().unwrap();
    assert!(matches!(error, StoreError::OtherForm { form: 9999, .. }), "{error}");
}
