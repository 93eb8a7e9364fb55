//! Registries that are token buckets, and callers that always want more, in simulated time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proto::settings::Limits;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::Budget;
use super::action::Action;
use crate::wire::Request;

const TIME: Duration = Duration::from_secs(120);

/// Callers of each action. There are always fewer slots.
const CALLERS: usize = 32;

/// What a server allows of one kind of requests, or of all.
struct Bucket {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

const BURST: f64 = 5.0;

impl Bucket {
    fn new(per_second: f64) -> Self {
        Self { per_second, tokens: BURST, at: Instant::now() }
    }

    fn takes(&mut self) -> bool {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(BURST);
        self.at = now;
        let takes = self.tokens >= 1.0;
        self.tokens -= if takes { 1.0 } else { 0.0 };
        takes
    }
}

/// A registry so far away, with the bucket that each action takes from, if there is one.
#[derive(Clone)]
struct Server {
    round_trip: Duration,
    buckets: [Option<Arc<Mutex<Bucket>>>; Action::ALL.len()],
}

impl Server {
    /// Without a limit.
    fn new(round_trip: Duration) -> Self {
        Self { round_trip, buckets: Default::default() }
    }

    /// These actions take from one bucket.
    fn limited(mut self, actions: &[Action], per_second: f64) -> Self {
        let bucket = Arc::new(Mutex::new(Bucket::new(per_second)));
        actions.iter().for_each(|action| self.buckets[*action as usize] = Some(bucket.clone()));
        self
    }

    /// The answer to a request whose body is sent for so long.
    async fn answer(&self, action: Action, sending: Duration) -> StatusCode {
        sleep(self.round_trip / 2).await;
        let takes = self.buckets[action as usize].as_ref().is_none_or(|bucket| bucket.lock().unwrap().takes());
        sleep(sending + self.round_trip / 2).await;
        if takes { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS }
    }
}

fn budget(limits: &Limits, slots: usize) -> Arc<Budget> {
    Budget::new(limits, slots, Duration::from_secs(60))
}

fn request(action: Action) -> Request {
    let (method, path) = match action {
        Action::ManifestRead => (Method::HEAD, "manifests/1"),
        Action::ManifestWrite => (Method::PUT, "manifests/1"),
        Action::BlobRead => (Method::GET, "blobs/sha256:0"),
        Action::BlobWrite => (Method::POST, "blobs/uploads/"),
        Action::Listing => (Method::GET, "tags/list"),
    };
    Request::new(method, format!("https://registry.test/v2/a/{path}").parse().unwrap())
}

/// How long a blob is sent, and holds its slot.
const SENDING: Duration = Duration::from_millis(200);

/// One caller of `action`, that never ends. Each second write of a blob is the blob itself.
async fn call(budget: Arc<Budget>, server: Server, action: Action) {
    let request = request(action);
    for turn in 0.. {
        let (slot, entered) = match turn % 2 == 1 && action == Action::BlobWrite {
            true => (Some(budget.write_slot().await), budget.enter_upload(&request).await),
            false => (None, budget.enter(&request).await),
        };
        let mut ticket = entered.unwrap();
        ticket.sending();
        let sending = if slot.is_some() { SENDING } else { Duration::ZERO };
        let status = server.answer(action, sending).await;
        ticket.answered(status, &HeaderMap::new());
        drop(slot);
    }
}

/// What came of the requests of 120 s.
#[derive(Debug, Default, Clone, Copy)]
struct Outcome {
    /// Per second.
    accepted: f64,
    /// The share of all.
    refused: f64,
}

impl Outcome {
    fn new(sent: u64, refused: u64) -> Self {
        Self { accepted: (sent - refused) as f64 / TIME.as_secs_f64(), refused: refused as f64 / sent as f64 }
    }
}

/// Everybody calls for 120 s: what came of all, and of those that write manifests.
async fn run(budget: &Arc<Budget>, server: Server) -> (Outcome, Outcome) {
    let before = budget.view();
    let mut callers = JoinSet::new();
    for action in Action::ALL {
        (0..CALLERS).for_each(|_| drop(callers.spawn(call(budget.clone(), server.clone(), action))));
    }
    timeout(TIME, callers.join_next()).await.unwrap_err();
    let after = budget.view();
    let made = |is_asked: fn(Action) -> bool| {
        let actions = after.actions.iter().zip(&before.actions).filter(|(after, _)| is_asked(after.action));
        let made = actions.map(|(after, before)| (after.requests - before.requests, after.refused - before.refused));
        let (sent, refused) = made.fold((0, 0), |sum, made| (sum.0 + made.0, sum.1 + made.1));
        Outcome::new(sent, refused)
    };
    (made(|_| true), made(|action| action == Action::ManifestWrite))
}

#[tokio::test(start_paused = true)]
async fn a_limit_over_all_actions_is_used_and_hardly_ever_met() {
    // Until the least of these is found, and that it is one for all, some are refused, of few.
    for (per_second, refused) in [(5.0, 0.025), (10.0, 0.02), (20.0, 0.02), (100.0, 0.02), (1000.0, 0.02)] {
        for round_trip in [1, 30].map(Duration::from_millis) {
            for slots in [2, 24] {
                let server = Server::new(round_trip).limited(&Action::ALL, per_second);
                let (all, _) = run(&budget(&Limits::default(), slots), server).await;
                let possible = per_second.min(slots as f64 / round_trip.as_secs_f64());
                let case = format!("{slots} slots, {per_second} per second, {round_trip:?}: {all:?}");
                assert!(all.accepted >= 0.85 * possible && all.refused <= refused, "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_with_a_limit_of_its_own_slows_down_no_other() {
    let round_trip = Duration::from_millis(30);
    let server = Server::new(round_trip).limited(&[Action::ManifestWrite], 10.0);
    let (all, writes) = run(&budget(&Limits::default(), 16), server).await;
    assert!(writes.accepted >= 0.85 * 10.0 && writes.refused <= 0.02, "{writes:?}");
    // As much as 16 requests at once can be that read; those that write have slots of their own.
    assert!(all.accepted >= 0.85 * 16.0 / 0.030, "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_rises_is_found_again() {
    let (budget, round_trip) = (budget(&Limits::default(), 24), Duration::from_millis(30));
    run(&budget, Server::new(round_trip).limited(&Action::ALL, 5.0)).await;
    let (after, _) = run(&budget, Server::new(round_trip).limited(&Action::ALL, 100.0)).await;
    assert!(after.accepted >= 0.5 * 100.0 && after.refused <= 0.02, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn the_rates_of_the_settings_are_kept() {
    let limits = Limits { requests_per_second: Some(50), manifest_writes_per_second: Some(3), ..Limits::default() };
    let (all, writes) = run(&budget(&limits, 24), Server::new(Duration::from_millis(1))).await;
    assert_eq!(all.refused, 0.0);
    assert!((0.95 * 50.0..=50.1).contains(&all.accepted), "{all:?}");
    assert!((0.95 * 3.0..=3.1).contains(&writes.accepted), "{writes:?}");
}
