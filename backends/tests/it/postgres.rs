//! PostgreSQL for the Store's tests: a database for each, of one server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backends::Store;
use backends::conformance::server::{Kind, Server};
use backends::store::{Recorded, StoreError};
use proto::failure::{Class, Code};
use proto::outcome::{DestinationResult, End, Spent};
use proto::task::TaskKind;
use proto::{Failure, Task, TaskResult};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;

use crate::sqlite_file::{new_run, now, task};

/// A Store on a database of its own; none if PostgreSQL is not here.
pub(crate) async fn store() -> Option<(Store, ())> {
    Some((Store::connect(database().await?.as_str()).await.unwrap(), ()))
}

/// The address of a database that has our tables and nothing in them.
///
/// The database sorts as people do, to show that ours does not.
pub(crate) async fn database() -> Option<String> {
    static TEMPLATE: OnceCell<()> = OnceCell::const_new();
    let server = Server::shared(Kind::PostgreSql)?;
    TEMPLATE
        .get_or_init(|| async {
            let sorted = "template template0 locale_provider icu icu_locale 'en-US'";
            create(server, "template_of_stores", sorted).await;
            drop(Store::connect(url(server, "template_of_stores").as_str()).await.unwrap());
        })
        .await;
    let name = fresh_name();
    create(server, &name, "template template_of_stores").await;
    Some(url(server, &name))
}

/// The address of a database of a server.
pub(crate) fn url(server: &Server, name: &str) -> String {
    format!("{}/{name}", server.url().strip_suffix("/robot").unwrap())
}

pub(crate) fn fresh_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Makes a database.
pub(crate) async fn create(server: &Server, name: &str, how: &str) {
    execute(&server.url(), &format!("create database {name} {how}")).await;
}

/// Does behind the Store's back what the Store has no verb for.
pub(crate) async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn two_stores() -> Option<(Store, Store, String)> {
    let url = database().await?;
    Some((Store::connect(url.as_str()).await.unwrap(), Store::connect(url.as_str()).await.unwrap(), url))
}

#[tokio::test]
async fn several_that_start_at_once_all_find_the_tables_as_they_need_them() {
    let Some(server) = Server::shared(Kind::PostgreSql) else { return };
    let name = fresh_name();
    create(server, &name, "").await;
    let url = url(server, &name);
    let starting: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Store::connect(url.as_str()).await.unwrap() })
        })
        .collect();
    for started in starting {
        assert!(started.await.unwrap().runs(1).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let Some(url) = database().await else { return };
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'from the future', true, '\\x00', 0)";
    execute(&url, newer).await;
    let error = Store::connect(url.as_str()).await.err().unwrap();
    assert!(matches!(error, StoreError::Migrate(_)), "{error:?}");
    assert!(!error.is_unreachable(), "it will not help to try again");
}

#[tokio::test]
async fn two_that_write_do_so_in_turn_and_see_each_other() {
    let Some((first, second, _)) = two_stores().await else { return };
    let run = new_run(&first).await;
    let writers: Vec<_> = [first.clone(), second]
        .into_iter()
        .enumerate()
        .map(|(writer, store)| {
            tokio::spawn(async move {
                for n in 0..25 {
                    store.add_tasks(run, &[task(100 * writer + n)], now()).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(first.progress(run).await.unwrap().counts.tasks, 50);
    assert_eq!(first.books().await.unwrap().faults, Vec::<String>::new());
}

fn failed_result(task: &Task) -> TaskResult {
    let TaskKind::Mirror(mirror) = &task.kind;
    let failure = Failure::new(None, Code::SourceNotFound, Class::Reject, "no such tag", None);
    let end = |to: &proto::task::Destination| DestinationResult {
        location: to.location.clone(),
        end: End::Failed(failure.clone()),
    };
    TaskResult {
        run: task.run,
        task: task.id,
        attempt: task.attempt,
        source_digest: None,
        destinations: mirror.destinations.iter().map(end).collect(),
        spent: Spent::default(),
        stages: Vec::new(),
        warnings: Vec::new(),
    }
}

/// Eight coordinators, with nothing in common but the database.
async fn eight<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    url: &str,
    verb: impl Fn(usize, Store) -> F,
) -> Vec<T> {
    let mut at_once = Vec::new();
    for n in 0..8 {
        let store = Store::connect(url).await.unwrap();
        // It has its connections before it begins.
        store.health().await.unwrap();
        at_once.push(verb(n, store));
    }
    let running: Vec<_> = at_once.into_iter().map(tokio::spawn).collect();
    let mut done = Vec::new();
    for each in running {
        done.push(each.await.unwrap());
    }
    done
}

#[tokio::test]
async fn of_eight_recorders_with_connections_of_their_own_exactly_one_is_first() {
    let Some((store, _, url)) = two_stores().await else { return };
    let run = new_run(&store).await;
    for n in 0..5 {
        store.add_tasks(run, &[task(n)], now()).await.unwrap();
        let taken = store.take_ready(1, now()).await.unwrap().remove(0);
        store.mark_published(std::slice::from_ref(&taken)).await.unwrap();
        let answer = failed_result(&taken);
        let recorded = eight(&url, |_, store| {
            let answer = answer.clone();
            async move { store.record(&[answer], now()).await.unwrap()[0] }
        });
        let recorded = recorded.await;
        assert_eq!(recorded.iter().filter(|each| **each == Recorded::First).count(), 1, "{recorded:?}");
        assert_eq!(recorded.iter().filter(|each| **each == Recorded::Duplicate).count(), 7, "{recorded:?}");
    }
    assert_eq!(store.progress(run).await.unwrap().counts.failed, 5);
}

#[tokio::test]
async fn of_eight_that_want_the_lead_exactly_one_has_it() {
    let Some(url) = database().await else { return };
    let lasts = Duration::from_secs(3_600);
    let terms = eight(&url, |n, store| async move { store.take_leadership(&n.to_string(), lasts).await.unwrap() });
    assert_eq!(terms.await.into_iter().flatten().count(), 1);
}

/// Whether one of our transactions is under way in a database.
pub(crate) async fn is_locked(watcher: &mut PgConnection) -> bool {
    let sql = "select count(*) from pg_locks join pg_database on pg_database.oid = pg_locks.database
         where locktype = 'advisory' and granted and datname = current_database()";
    sqlx::query_scalar::<_, i64>(sql).fetch_one(watcher).await.unwrap() > 0
}

/// It is suspended, or its machine is, and its connection is whole.
#[tokio::test]
async fn a_coordinator_that_stands_still_within_a_verb_holds_up_the_next_one_for_seconds_only() {
    let Some((frozen, next, url)) = two_stores().await else { return };
    let run = new_run(&next).await;
    let mut watcher = PgConnection::connect(&url).await.unwrap();
    let tasks: Vec<_> = (0..2_000).map(task).collect();
    let mut verb = Box::pin(frozen.add_tasks(run, &tasks, now()));
    // From the moment at which it writes, nobody drives it any more.
    let writes = async { while !is_locked(&mut watcher).await {} };
    tokio::select! {
        biased;
        added = &mut verb => panic!("it was done before anybody could look: {added:?}"),
        () = writes => {}
    }
    assert!(is_locked(&mut watcher).await);
    let other = new_run(&next).await;
    assert_ne!(other, run);
    assert_eq!(next.progress(run).await.unwrap().counts.tasks, 0);

    let error = verb.await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert_eq!(next.books().await.unwrap().tasks, []);
    assert_eq!(frozen.add_tasks(run, &tasks[..1], now()).await.unwrap(), 1, "it goes on");
}

/// Somebody else's client has locked a table, and has no limits.
#[tokio::test]
async fn whoever_waits_for_long_to_write_gives_up_and_reads_meanwhile() {
    let Some((store, _, url)) = two_stores().await else { return };
    let run = new_run(&store).await;
    let mut stranger = PgConnection::connect(&url).await.unwrap();
    let sql = "lock table runs in exclusive mode";
    let mut held = stranger.begin().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut *held).await.unwrap();
    let error = store.set_expanded(run, now()).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert_eq!(store.run(run).await.unwrap().id, run);
    held.rollback().await.unwrap();
    store.set_expanded(run, now()).await.unwrap();
}
