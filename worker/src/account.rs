//! What is counted and told of an attempt that is over.

use std::time::Duration;

use daemon::Metrics;
use daemon::metrics::Requests;
use proto::outcome::{DestinationResult, End, Spent};
use proto::task::Mirror;
use proto::{Task, TaskResult};
use tracing::Span;

use crate::context::Tools;

/// Counts what an attempt took and how it ended, says so in one line, and notes it in its span.
pub(crate) fn close(metrics: &Metrics, span: &Span, task: &Task, mirror: &Mirror, result: &TaskResult, took: Duration) {
    let worst = result.destinations.iter().max_by_key(|destination| rank(&destination.end));
    let outcome = worst.map_or("failed", |destination| name(&destination.end));
    metrics.attempts.add(1, [outcome]);
    count(metrics, &result.spent);
    span.record("outcome", outcome);
    if let Some(End::Failed(failure)) = worst.map(|destination| &destination.end) {
        daemon::trace::failed(span, failure.message.clone());
    }
    let ends: Vec<_> = result.destinations.iter().map(told).collect();
    let (source, number, duration_ms) = (&mirror.source, task.attempt, took.as_millis());
    tracing::info!(
        run.id = %task.run,
        task.id = %task.id,
        image.ref = %source,
        attempt = number.0,
        outcome,
        duration_ms,
        "attempt {number} of {source} took {duration_ms} ms: {}",
        ends.join("; ")
    );
}

fn count(metrics: &Metrics, spent: &Spent) {
    for (what, bytes) in [
        ("read", spent.bytes_read),
        ("written", spent.bytes_written),
        ("skipped", spent.bytes_skipped),
        ("mounted", spent.bytes_mounted),
    ] {
        metrics.blob_bytes.add(bytes, [what]);
    }
    for (what, blobs) in
        [("written", spent.blobs_written), ("skipped", spent.blobs_skipped), ("mounted", spent.blobs_mounted)]
    {
        metrics.blobs.add(blobs, [what]);
    }
}

/// From best to worst.
fn rank(end: &End) -> u8 {
    match end {
        End::Placed { moved: false, .. } => 0,
        End::Placed { .. } => 1,
        End::Interrupted { .. } => 2,
        End::Deferred { .. } => 3,
        End::Failed(_) => 4,
    }
}

fn name(end: &End) -> &'static str {
    match end {
        End::Placed { moved: false, .. } => "up_to_date",
        End::Placed { .. } => "pushed",
        End::Interrupted { .. } => "interrupted",
        End::Deferred { .. } => "deferred",
        End::Failed(_) => "failed",
    }
}

fn told(destination: &DestinationResult) -> String {
    let (location, name) = (&destination.location, name(&destination.end));
    match &destination.end {
        End::Failed(failure) | End::Deferred { failure, .. } => {
            format!("{location} {name}, {}: {}", failure.code.as_str(), failure.message)
        }
        _ => format!("{location} {name}"),
    }
}

impl Tools {
    /// Brings up to date what is counted elsewhere: before each look at the metrics.
    pub fn measure(&self) {
        for ((host, action), tally) in self.places.tally() {
            let answers = &tally.by_class();
            let (refused, waited, answering) = (tally.refused, tally.waited, tally.answering);
            let requests = Requests { answers, refused, waited, answering };
            self.metrics.note_requests(host.as_str(), action.as_str(), &requests);
        }
    }
}
