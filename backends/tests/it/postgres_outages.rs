//! What a Store does while its PostgreSQL is away, stands still, or lets nobody in, and when it is back.

use std::error::Error as _;
use std::future::Future;
use std::net::TcpListener;
use std::time::Duration;

use backends::conformance::server::{Kind, PASSWORD, Server, USER};
use backends::store::PostgresSettings;
use backends::{Store, StoreError};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;

use crate::postgres::{is_locked, url};
use crate::sqlite_file::{new_run, now, task};

/// Far above our limits, and far below those of the network.
const PATIENCE: Duration = Duration::from_secs(40);

/// The error of a verb that cannot reach the database: it says so in time, where that is and why, and no secret.
async fn outage<T: std::fmt::Debug>(address: &str, verb: impl Future<Output = Result<T, StoreError>>) -> String {
    let error = timeout(PATIENCE, verb).await.unwrap().unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    let cause = error.source().unwrap().to_string();
    let told = format!("{error}: {cause}");
    assert!(error.to_string().ends_with(&format!("in the store at `{address}`")), "{told}");
    assert!(!format!("{told} {error:?}").contains(PASSWORD), "{told}");
    told
}

fn address(server: &Server) -> String {
    format!("{}/robot", server.address)
}

#[tokio::test]
async fn a_database_that_is_missing_is_named_with_the_cause() {
    let Some(server) = Server::shared(Kind::PostgreSql) else { return };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let at = format!("postgres://{USER}:{PASSWORD}@{closed}/factory");
    let told = outage(&format!("{closed}/factory"), async { Store::connect(at.as_str()).await.map(drop) }).await;
    assert!(told.contains("refused"), "{told}");

    let unknown = url(server, "nowhere");
    let at = format!("{}/nowhere", server.address);
    let told = outage(&at, async { Store::connect(unknown.as_str()).await.map(drop) }).await;
    assert!(told.contains("does not exist"), "{told}");
}

#[tokio::test]
async fn user_and_password_may_be_given_apart_and_a_wrong_one_is_not_told() {
    let Some(server) = Server::shared(Kind::PostgreSql) else { return };
    let apart = |password: &str| PostgresSettings {
        url: format!("postgres://{}/robot", server.address),
        user: Some(USER.to_owned()),
        password: Some(password.to_owned()),
    };
    Store::connect(apart(PASSWORD)).await.unwrap().health().await.unwrap();
    let told = outage(&address(server), async { Store::connect(apart("gu3ssed")).await.map(drop) }).await;
    assert!(told.contains("password authentication failed") && !told.contains("gu3ssed"), "{told}");
}

#[tokio::test]
async fn a_verb_that_its_server_is_killed_under_is_whole_or_nothing_and_the_next_ones_work() {
    let Some(mut server) = Server::start(Kind::PostgreSql) else { return };
    let store = Store::connect(server.url().as_str()).await.unwrap();
    let run = new_run(&store).await;
    let mut watcher = PgConnection::connect(&server.url()).await.unwrap();
    let tasks: Vec<_> = (0..2_000).map(task).collect();
    let verb = tokio::spawn({
        let (store, tasks) = (store.clone(), tasks.clone());
        async move { store.add_tasks(run, &tasks, now()).await }
    });
    while !is_locked(&mut watcher).await {}
    server.kill();
    let at = address(&server);
    outage(&at, async { verb.await.unwrap() }).await;
    let verbs = tokio::join!(
        outage(&at, store.run(run)),
        outage(&at, store.set_expanded(run, now())),
        outage(&at, store.health())
    );
    for told in <[String; 3]>::from(verbs) {
        assert!(told.contains("refused"), "{told}");
    }

    server.start_again();
    store.health().await.unwrap();
    assert_eq!(store.progress(run).await.unwrap().counts.tasks, 0);
    assert_eq!(store.add_tasks(run, &tasks, now()).await.unwrap(), 2_000);
    assert_eq!(store.books().await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn a_restart_between_two_verbs_is_not_noticed() {
    let Some(mut server) = Server::start(Kind::PostgreSql) else { return };
    let store = Store::connect(server.url().as_str()).await.unwrap();
    let run = new_run(&store).await;
    for round in 0..2 {
        // All connections of the pools are in use at once, so all of them die.
        let reads = (0..8).map(|_| store.progress(run));
        futures_util::future::try_join_all(reads).await.unwrap();
        store.add_tasks(run, &[task(round)], now()).await.unwrap();
        server.kill();
        server.start_again();
        let reads = (0..8).map(|_| store.progress(run));
        for progress in futures_util::future::try_join_all(reads).await.unwrap() {
            assert_eq!(progress.counts.tasks, round as u64 + 1);
        }
        assert_eq!(store.take_ready(10, now()).await.unwrap().len(), round + 1);
    }
}

#[tokio::test]
async fn a_server_that_stands_still_gives_errors_and_goes_on_where_it_was() {
    let Some(server) = Server::start(Kind::PostgreSql) else { return };
    let store = Store::connect(server.url().as_str()).await.unwrap();
    let run = new_run(&store).await;
    store.add_tasks(run, &[task(1)], now()).await.unwrap();
    let mut watcher = PgConnection::connect(&server.url()).await.unwrap();
    let tasks: Vec<_> = (2..2_000).map(task).collect();
    let verb = tokio::spawn({
        let store = store.clone();
        async move { store.add_tasks(run, &tasks, now()).await }
    });
    while !is_locked(&mut watcher).await {}
    server.freeze();
    let at = address(&server);
    tokio::join!(
        outage(&at, async { verb.await.unwrap() }),
        outage(&at, store.run(run)),
        outage(&at, store.take_ready(10, now())),
        outage(&at, store.health()),
        outage(&at, async { Store::connect(server.url().as_str()).await.map(drop) }),
    );
    server.resume();
    // What the server was told before it stood still it does now: then it finds that nobody waits for it.
    while is_locked(&mut watcher).await {}
    let added = store.progress(run).await.unwrap().counts.tasks;
    assert_eq!(added, 1);
    assert_eq!(store.take_ready(10, now()).await.unwrap().len(), 1);
    assert_eq!(store.books().await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn over_tls_the_server_is_who_the_authority_says() {
    let Some(server) = Server::start_with_tls(Kind::PostgreSql) else { return };
    let with = |parameters: &str| format!("{}?{parameters}", server.url());
    let known = with(&format!("sslmode=verify-full&sslrootcert={}", server.file("ca.crt")));
    let store = Store::connect(known.as_str()).await.unwrap();
    let run = new_run(&store).await;
    assert_eq!(store.run(run).await.unwrap().id, run);

    for stranger in [with("sslmode=verify-full"), with("sslmode=disable")] {
        let told = outage(&address(&server), async { Store::connect(stranger.as_str()).await.map(drop) }).await;
        assert!(told.contains("certificate") || told.contains("no encryption"), "{told}");
    }
}
