//! What holds of a Ledger because it is a file: that it is there again, and that whatever it is costs knowledge only.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backends::{Beat, Holders, Lease, Ledger, LocalLedger};
use proto::{Digest, Host, Manifest, Repository, RunId};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tokio::time::timeout;

/// A Ledger that is closed and opened again between any two verbs; what is of the process is in another one.
pub(crate) struct Reopened {
    path: PathBuf,
    of_process: LocalLedger,
}

impl Reopened {
    pub(crate) async fn new(path: PathBuf) -> Self {
        Self { path, of_process: LocalLedger::in_memory().await }
    }

    async fn open(&self) -> LocalLedger {
        LocalLedger::open(&self.path).await
    }
}

#[async_trait]
impl Ledger for Reopened {
    async fn holders(&self, repository: &Repository, wanted: &[Digest]) -> Holders {
        self.open().await.holders(repository, wanted).await
    }

    async fn note_held(&self, repository: &Repository, content: &[Digest]) {
        let ledger = self.open().await;
        ledger.note_held(repository, content).await;
        ledger.flush().await;
    }

    async fn note_missing(&self, repository: &Repository, content: &[Digest]) {
        let ledger = self.open().await;
        ledger.note_missing(repository, content).await;
        ledger.flush().await;
    }

    async fn manifest(&self, digest: &Digest) -> Option<Manifest> {
        self.open().await.manifest(digest).await
    }

    async fn keep_manifest(&self, manifest: &Manifest) {
        let ledger = self.open().await;
        ledger.keep_manifest(manifest).await;
        ledger.flush().await;
    }

    async fn learned(&self, registry: &Host) -> Option<String> {
        self.open().await.learned(registry).await
    }

    async fn keep_learned(&self, registry: &Host, learned: &str) {
        let ledger = self.open().await;
        ledger.keep_learned(registry, learned).await;
        ledger.flush().await;
    }

    async fn lease(&self, registry: &Host, blob: &Digest) -> Option<Lease> {
        self.of_process.lease(registry, blob).await
    }

    async fn lease_ended(&self, registry: &Host, blob: &Digest, patience: Duration) {
        self.of_process.lease_ended(registry, blob, patience).await;
    }

    async fn beat(&self, beat: &Beat) {
        self.of_process.beat(beat).await;
    }

    async fn beats(&self) -> Option<Vec<Beat>> {
        self.of_process.beats().await
    }

    async fn cancel(&self, run: RunId) {
        self.of_process.cancel(run).await;
    }

    async fn is_cancelled(&self, run: RunId) -> bool {
        self.of_process.is_cancelled(run).await
    }
}

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    (folder, path)
}

fn repository(name: &str) -> Repository {
    Repository::new("registry.example.com".parse().unwrap(), name).unwrap()
}

fn blob(n: usize) -> Digest {
    Digest::of(format!("layer {n}").as_bytes())
}

fn manifest() -> Manifest {
    Manifest::parse(r#"{"schemaVersion":2,"manifests":[]}"#.into(), None).unwrap()
}

async fn is_here(ledger: &dyn Ledger, name: &str, blob: &Digest) -> bool {
    ledger.holders(&repository(name), std::slice::from_ref(blob)).await.here.contains(blob)
}

/// Does behind the Ledger's back what it has no verb for.
async fn execute(path: &Path, sql: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn count(path: &Path, sql: &'static str) -> i64 {
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
}

/// Whatever lies there: what is noted now is found, and the file is of use again, at the latest when it is opened for
/// the second time.
async fn costs_knowledge_only(path: &Path) {
    let ledger = LocalLedger::open(path).await;
    assert!(!is_here(&ledger, "nothing", &blob(0)).await);
    for n in 0..2_000 {
        ledger.note_held(&repository("app"), &[blob(n)]).await;
    }
    ledger.keep_manifest(&manifest()).await;
    ledger.flush().await;
    assert!(is_here(&ledger, "app", &blob(1)).await);
    assert_eq!(ledger.manifest(&manifest().digest).await, Some(manifest()));
    assert!(ledger.lease(repository("app").host(), &blob(1)).await.is_some());
    drop(ledger);
    let ledger = LocalLedger::open(path).await;
    ledger.note_held(&repository("new"), &[blob(1)]).await;
    ledger.flush().await;
    drop(ledger);
    assert!(is_here(&LocalLedger::open(path).await, "new", &blob(1)).await);
}

#[tokio::test]
async fn what_was_noted_is_there_when_the_file_is_opened_again() {
    let (_folder, path) = file();
    let ledger = LocalLedger::open(&path).await;
    ledger.note_held(&repository("app"), &[blob(1)]).await;
    ledger.note_held(&repository("other"), &[blob(2)]).await;
    ledger.keep_manifest(&manifest()).await;
    ledger.keep_learned(repository("app").host(), "mounts").await;
    ledger.flush().await;
    drop(ledger);
    let ledger = LocalLedger::open(&path).await;
    let expected = Holders {
        here: [blob(1)].into(),
        beside: [(blob(2), vec![repository("other")])].into(),
        knows_repository: true,
    };
    assert_eq!(ledger.holders(&repository("app"), &[blob(1), blob(2), blob(3)]).await, expected);
    assert_eq!(ledger.manifest(&manifest().digest).await, Some(manifest()));
    assert_eq!(ledger.learned(repository("app").host()).await.as_deref(), Some("mounts"));
}

#[tokio::test]
async fn what_is_noted_now_goes_before_what_the_file_says() {
    let (_folder, path) = file();
    let ledger = LocalLedger::open(&path).await;
    for name in ["a", "b", "c"] {
        ledger.note_held(&repository(name), &[blob(1)]).await;
    }
    ledger.flush().await;
    drop(ledger);
    let ledger = LocalLedger::open(&path).await;
    ledger.note_missing(&repository("b"), &[blob(1)]).await;
    ledger.note_held(&repository("a"), &[blob(1)]).await;
    let holders = ledger.holders(&repository("b"), &[blob(1)]).await;
    assert!(holders.here.is_empty());
    assert_eq!(holders.beside[&blob(1)], [repository("a"), repository("c")]);
}

#[tokio::test]
async fn what_was_noted_is_written_though_nobody_asks_for_it() {
    let (_folder, path) = file();
    let ledger = LocalLedger::open(&path).await;
    ledger.note_held(&repository("app"), &[blob(1)]).await;
    drop(ledger);
    let written = async { while !is_here(&LocalLedger::open(&path).await, "app", &blob(1)).await {} };
    timeout(Duration::from_secs(30), written).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_database_is_begun_anew() {
    let (folder, path) = file();
    let text = "nightly: nothing to see here, and long enough to have a header".repeat(10);
    std::fs::write(&path, &text).unwrap();
    costs_knowledge_only(&path).await;
    assert_eq!(std::fs::read_to_string(folder.path().join("ledger.db.aside")).unwrap(), text);
}

#[tokio::test]
async fn a_file_that_is_damaged_anywhere_costs_knowledge_only() {
    let whole = {
        let (_folder, path) = file();
        costs_knowledge_only(&path).await;
        // Closing takes the journal into the file.
        execute(&path, "pragma wal_checkpoint(truncate)").await;
        std::fs::read(&path).unwrap()
    };
    let noise = |from: usize, to: usize| {
        let mut bytes = whole.clone();
        bytes[from..to].iter_mut().enumerate().for_each(|(n, byte)| *byte = (n * 31 % 251) as u8);
        bytes
    };
    let page = 4096;
    let middle = whole.len() / 2;
    let damaged = [
        Vec::new(),
        whole[..50].to_vec(),
        whole[..page].to_vec(),
        whole[..middle].to_vec(),
        noise(0, page),
        noise(100, page),
        noise(page, whole.len()),
        noise(middle, middle + 2 * page),
    ];
    for bytes in damaged {
        let (_folder, path) = file();
        std::fs::write(&path, bytes).unwrap();
        costs_knowledge_only(&path).await;
    }
}

#[tokio::test]
async fn a_file_of_another_form_is_begun_anew_and_kept_aside() {
    let (folder, path) = file();
    costs_knowledge_only(&path).await;
    execute(&path, "pragma user_version = 999; create table newer (something)").await;
    costs_knowledge_only(&path).await;
    let aside = folder.path().join("ledger.db.aside");
    assert_eq!(count(&aside, "select count(*) from newer").await, 0, "the table is there");
    // Of our form, it says, but without a table.
    execute(&path, "drop table held").await;
    costs_knowledge_only(&path).await;
    // And one that is not ours at all.
    let (_folder, path) = file();
    execute(&path, "create table somebody (elses)").await;
    costs_knowledge_only(&path).await;
}

#[tokio::test]
async fn where_no_file_can_be_it_knows_what_it_learned_itself() {
    let (folder, path) = file();
    let sealed = folder.path().join("sealed");
    std::fs::create_dir(&sealed).unwrap();
    let mut permissions = std::fs::metadata(&sealed).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&sealed, permissions).unwrap();
    std::fs::write(&path, "a file is no folder").unwrap();
    for path in [sealed.join("ledger.db"), path.join("ledger.db"), folder.path().join("missing").join("ledger.db")] {
        let ledger = LocalLedger::open(&path).await;
        ledger.note_held(&repository("app"), &[blob(1)]).await;
        ledger.keep_manifest(&manifest()).await;
        ledger.flush().await;
        assert!(is_here(&ledger, "app", &blob(1)).await);
        assert_eq!(ledger.manifest(&manifest().digest).await, Some(manifest()));
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a file is no folder");
}

#[tokio::test]
async fn a_manifest_that_was_changed_on_disk_is_not_given_and_deleted() {
    let (_folder, path) = file();
    let ledger = LocalLedger::open(&path).await;
    ledger.keep_manifest(&manifest()).await;
    ledger.flush().await;
    drop(ledger);
    execute(&path, r#"update manifests set raw = cast('{"schemaVersion":2,"manifests":[] }' as blob)"#).await;
    assert_eq!(LocalLedger::open(&path).await.manifest(&manifest().digest).await, None);
    assert_eq!(count(&path, "select count(*) from manifests").await, 0);
}

#[tokio::test]
async fn a_disk_that_fails_for_a_while_costs_what_was_noted_then() {
    let (_folder, path) = file();
    let ledger = LocalLedger::open(&path).await;
    // As on a full disk, SQLite rolls back by itself, and not because we ask.
    execute(&path, "create trigger full before insert on held begin select raise(rollback, 'full'); end").await;
    ledger.note_held(&repository("app"), &[blob(1)]).await;
    ledger.flush().await;
    assert!(is_here(&ledger, "app", &blob(1)).await);
    execute(&path, "drop trigger full").await;
    ledger.note_held(&repository("app"), &[blob(2)]).await;
    ledger.flush().await;
    drop(ledger);
    let ledger = LocalLedger::open(&path).await;
    assert!(!is_here(&ledger, "app", &blob(1)).await && is_here(&ledger, "app", &blob(2)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_that_have_the_file_open_write_in_turn_and_see_each_other() {
    let (_folder, path) = file();
    let together = Arc::new(tokio::sync::Barrier::new(2));
    let writers = ["one", "two"].map(|name| {
        let (path, together) = (path.clone(), Arc::clone(&together));
        tokio::spawn(async move {
            together.wait().await;
            let ledger = LocalLedger::open(&path).await;
            for n in 0..50 {
                ledger.note_held(&repository(name), &[blob(n)]).await;
                ledger.flush().await;
            }
            ledger
        })
    });
    let [one, two] = writers;
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    for n in 0..50 {
        assert!(is_here(&one, "two", &blob(n)).await && is_here(&two, "one", &blob(n)).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_noted_is_found_at_any_moment_while_it_is_written() {
    let (_folder, path) = file();
    let ledger = Arc::new(LocalLedger::open(&path).await);
    let tasks = (0..8).map(|task| {
        let ledger = Arc::clone(&ledger);
        tokio::spawn(async move {
            for n in 0..200 {
                let (app, blob) = (format!("app{task}"), blob(n));
                ledger.note_held(&repository(&app), std::slice::from_ref(&blob)).await;
                assert!(is_here(&*ledger, &app, &blob).await);
                assert!(
                    ledger.holders(&repository("other"), std::slice::from_ref(&blob)).await.beside.contains_key(&blob)
                );
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    ledger.flush().await;
    assert_eq!(count(&path, "select count(*) from held").await, 8 * 200);
}
