//! The three routes, asked over HTTP.

use std::future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use daemon::health::{ANSWER_WITHIN, Listening};
use daemon::{Health, Metrics, Shutdown};
use reqwest::StatusCode;

async fn listen(health: Health) -> Listening {
    health.listen("127.0.0.1:0").await.unwrap()
}

async fn ask(at: &Listening, path: &str) -> (StatusCode, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("http://{}{path}", at.address)).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

fn health() -> (Health, Arc<Metrics>, Shutdown) {
    let (metrics, shutdown) = (Arc::<Metrics>::default(), Shutdown::default());
    (Health::new(metrics.clone(), &shutdown), metrics, shutdown)
}

#[tokio::test]
async fn a_process_that_depends_on_nothing_lives_and_is_ready_until_it_drains() {
    let (health, _, shutdown) = health();
    let at = listen(health).await;
    assert_eq!(ask(&at, "/healthz").await, (StatusCode::OK, "alive\n".to_owned()));
    assert_eq!(ask(&at, "/readyz").await, (StatusCode::OK, "ready\n".to_owned()));
    shutdown.drain.cancel();
    assert_eq!(ask(&at, "/healthz").await.0, StatusCode::OK);
    let draining = "draining: this process takes nothing new\n".to_owned();
    assert_eq!(ask(&at, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, draining));
}

#[tokio::test]
async fn each_dependency_that_is_missed_has_a_line_with_its_address_and_why() {
    let (health, metrics, _) = health();
    let is_up = Arc::new(AtomicBool::new(false));
    let store = is_up.clone();
    let check = move || {
        let answer = if store.load(Ordering::SeqCst) { Ok(()) } else { Err("connection refused\nby it".to_owned()) };
        future::ready(answer)
    };
    let health = health.depends_on("store", "postgres://db:5432/factory", check);
    let health = health.depends_on("queue", "amqp://rabbit:5672", future::pending);
    let at = listen(health.depends_on("ledger", "redis://cache:6379", || future::ready(Ok(())))).await;

    let lines = format!(
        "store postgres://db:5432/factory: connection refused by it\n\
         queue amqp://rabbit:5672: no answer within {} s\n",
        ANSWER_WITHIN.as_secs()
    );
    assert_eq!(ask(&at, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, lines));
    let up = |name| metrics.text().unwrap().contains(&format!("image_factory_up{{dependency=\"{name}\"}} 1"));
    assert_eq!([up("store"), up("queue"), up("ledger")], [false, false, true]);

    is_up.store(true, Ordering::SeqCst);
    assert!(ask(&at, "/readyz").await.1.starts_with("queue "));
    assert!(up("store"));
}

#[tokio::test]
async fn what_others_count_is_measured_before_each_look_and_a_measure_that_fails_hides_no_other() {
    let (health, metrics, _) = health();
    let ours = metrics.clone();
    let health = health.measuring(|| future::ready(Err("the store is down".to_owned())));
    let at = listen(health.measuring(move || {
        ours.runs_open.set(3.0, []);
        future::ready(Ok(()))
    }))
    .await;
    metrics.attempts.add(2, ["pushed"]);
    let (status, text) = ask(&at, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("\nimage_factory_runs_open 3\n"), "{text}");
    assert!(text.contains("\nimage_factory_attempts_total{outcome=\"pushed\"} 2\n"), "{text}");
}

#[tokio::test]
async fn the_routes_can_be_merged_with_others_and_an_address_in_use_is_an_error() {
    let (health, ..) = health();
    let at = listen(health).await;
    let (other, ..) = self::health();
    assert!(other.listen(&at.address.to_string()).await.is_err());
    let (merged, ..) = self::health();
    let routes = axum::Router::new().route("/api", axum::routing::get(async || "api"));
    drop(merged.router().merge(routes));
}
