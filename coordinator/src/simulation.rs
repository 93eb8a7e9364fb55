//! Nights of mishaps, each played from a seed: the real steps of a coordinator over a real Store, with a Queue, workers
//! and a registry that go wrong in every way, and a clock that is moved by hand.
//!
//! A seed that fails is printed. `SIMULATION_SEED=17 cargo test -p coordinator simulation` plays it alone,
//! `SIMULATION_SEEDS=100000` plays more.
//!
//! # Layout
//!
//! - `broker`: a Queue that refuses, repeats, reorders and forgets
//! - `jobs`: what is to be mirrored
//! - `workers`: attempts by script, and the registry that they write to
//! - `night`: what may happen, step by step
//! - `verdict`: what must be true after each step, and at the end, when all goes well again

mod broker;
mod jobs;
mod night;
mod verdict;
mod workers;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use night::Night;

/// Seeds played unless the environment names another number.
const SEEDS: u64 = 1_000;

/// How often each thing happened, over all nights.
type Seen = BTreeMap<String, u64>;

#[test]
fn whatever_happens_each_task_is_closed_once_and_each_run_is_reported() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let (next, failed, seen) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()), Mutex::new(Seen::new()));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if !seeds.contains(&seed) {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| play(seed))) {
                        Ok(night) => {
                            night.into_iter().for_each(|(what, times)| {
                                *seen.lock().unwrap().entry(what).or_default() += times;
                            });
                        }
                        Err(_) => failed.lock().unwrap().push(seed),
                    }
                }
            });
        }
    });
    let (played, took) = (seeds.end - seeds.start, began.elapsed());
    println!("{played} seeds in {took:.1?}: {:.0} a second", played as f64 / took.as_secs_f64());
    println!("{:#?}", seen.lock().unwrap());
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "these seeds fail: {failed:?}");
    if played >= SEEDS {
        let missing: Vec<_> = MUST_BE_SEEN.iter().filter(|what| !seen.lock().unwrap().contains_key(**what)).collect();
        assert!(missing.is_empty(), "nothing of this ever happened: {missing:?}");
    }
}

/// A simulation in which these never happen proves nothing about them.
const MUST_BE_SEEN: &[&str] = &[
    "outcome up to date",
    "outcome pushed",
    "outcome postponed",
    "outcome cancelled",
    "outcome failed",
    "a worker died",
    "a worker was cut off and worked on",
    "a result was said and its task not acked",
    "an old result came again",
    "a dead letter",
    "a late attempt left the tag alone",
    "the queue refused a task",
    "the coordinator died while it published",
    "the coordinator died",
    "the queue forgot everything",
    "a tag had another owner",
    "a late result disagreed",
    "a placement was compared",
    "an image was seen unchanged",
    "an image that seemed unchanged became a task",
    "a run was cancelled",
    "a run was interrupted",
];

fn play(seed: u64) -> Seen {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut night = Night::new(seed).await;
        night.play().await;
        night.seen
    })
}
