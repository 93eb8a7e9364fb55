//! Every number that a process shows, by its name: nothing is counted under a name that does not stand here.
//!
//! Labels are bounded: hosts and jobs of job files, and words of ours, never images. Where work can wait, waiting and
//! working are two numbers.

mod kinds;

use std::time::Duration;

use prometheus::{Registry, TextEncoder};

pub use kinds::{Counter, Gauge, Held, Histogram};

/// What the documents say of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Described {
    /// As it is scraped.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// In what it is counted.
    pub unit: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($field:ident: $kind:ident [$($label:literal),*] = $name:literal, $unit:literal, $help:literal;)+) => {
        /// The numbers of one process. Whoever has something to count is given them; [`Metrics::text`] shows all.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: $kind<{ <[&str]>::len(&[$($label),*]) }>,)+
        }

        impl Metrics {
            /// All of them, in the order of the documents.
            pub const ALL: [Described; { [$($name),+].len() }] = [$(Described {
                name: concat!("image_factory_", $name),
                kind: $kind::<0>::KIND,
                unit: $unit,
                labels: &[$($label),*],
                help: $help,
            }),+];
        }

        impl Default for Metrics {
            fn default() -> Self {
                let registry = Registry::new();
                let [$($field),+] = &Self::ALL;
                Self { $($field: $kind::new(&registry, $field),)+ registry }
            }
        }
    };
}

metrics! {
    up: Gauge["dependency"] = "up", "0 or 1",
        "Whether what this process depends on answers, as it did when last asked.";

    deliveries: Counter["delivery"] = "deliveries_total", "deliveries",
        "Tasks that were taken from the queue: for the `first` time, or `again` because nobody answered for them.";
    attempts: Counter["outcome"] = "attempts_total", "attempts",
        "Attempts that ended, by the worst of their destinations: `up_to_date`, `pushed`, `interrupted`, `deferred`, `failed`.";
    stage_seconds: Histogram["stage"] = "stage_seconds", "seconds",
        "What a stage of an attempt took, its waits for budgets included.";
    blob_bytes: Counter["what"] = "blob_bytes_total", "bytes",
        "Bytes of blobs: `read` from sources, `written` to destinations, or saved: `skipped` since they lay there, `mounted`.";
    blobs: Counter["what"] = "blobs_total", "blobs",
        "Blobs that destinations have now: `written`, `skipped` since they lay there, `mounted` from another repository.";
    slots: Gauge[] = "slots", "slots",
        "Attempts that this worker may run at once.";
    slots_busy: Gauge[] = "slots_busy", "slots",
        "Attempts that run now.";

    registry_requests: Counter["host", "action", "status"] = "registry_requests_total", "requests",
        "Requests that were sent, by the class of their answer, as in `2xx`; `none` were not answered.";
    registry_refused: Counter["host", "action"] = "registry_refused_total", "requests",
        "Requests that were refused for now: 429, or 503 with `Retry-After`.";
    registry_wait_seconds: Counter["host", "action"] = "registry_wait_seconds_total", "seconds",
        "Time that requests waited for a budget before they were sent.";
    registry_answer_seconds: Counter["host", "action"] = "registry_answer_seconds_total", "seconds",
        "Time from sending a request to the head of its answer.";

    queue_failures: Counter["lane", "action"] = "queue_failures_total", "calls",
        "Calls of the queue that failed: `publish` (a confirm that did not come among them), `next`, `ack`; `read` is a message that nobody can read.";
    messages: Gauge["lane"] = "messages", "messages",
        "Messages that wait on a lane of the queue.";

    leader: Gauge[] = "leader", "0 or 1",
        "Whether this coordinator is the one that runs the loops.";
    runs_open: Gauge[] = "runs_open", "runs",
        "Runs that have not ended.";
    tasks: Gauge["state"] = "tasks", "tasks",
        "Open tasks of open runs: `ready`, `published`, `deferred`.";
    results: Counter["recorded"] = "results_total", "results",
        "Results that came in: `first`, `up_to_date`, `duplicate`, `stale`.";
    dead_letters: Counter[] = "dead_letters_total", "messages",
        "Tasks that were delivered as often as may be, and never answered for.";
    last_success: Gauge["job"] = "last_success_timestamp_seconds", "seconds since 1970",
        "When a job's last whole run ended in which nothing failed.";
    events_dropped: Counter[] = "events_dropped_total", "events",
        "Events that a listener was too slow to hear.";
}

/// What became of the requests of one kind to one registry, since the process began.
#[derive(Debug, Clone, Copy)]
pub struct Requests<'a> {
    /// How many have which answer: `2xx` and so on, or `none`.
    pub answers: &'a [(&'static str, u64)],
    /// How many were refused for now.
    pub refused: u64,
    /// How long they waited for a budget, all together.
    pub waited: Duration,
    /// How long they waited for the head of an answer, all together.
    pub answering: Duration,
}

impl Metrics {
    /// Notes what a registry's client counted.
    pub fn note_requests(&self, host: &str, action: &str, requests: &Requests<'_>) {
        for (status, count) in requests.answers {
            self.registry_requests.raise_to(*count as f64, [host, action, status]);
        }
        let labels = [host, action];
        self.registry_refused.raise_to(requests.refused as f64, labels);
        self.registry_wait_seconds.raise_to(requests.waited.as_secs_f64(), labels);
        self.registry_answer_seconds.raise_to(requests.answering.as_secs_f64(), labels);
    }

    /// All that was counted, in Prometheus' text form.
    ///
    /// # Errors
    /// Two parts of the process count different things under one name.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}
