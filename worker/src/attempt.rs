//! One attempt from beginning to end: whatever happens within, a result comes out.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use daemon::run_span;
use futures_util::FutureExt;
use proto::outcome::{DestinationResult, End};
use proto::task::{Mirror, TaskKind};
use proto::{Class, Code, Failure, Task, TaskResult};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::field::Empty;

use crate::account;
use crate::context::{TaskContext, Tools};
use crate::pipeline;

/// Runs `task` once. Errors, panics, the deadline and `interrupt` become part of the result.
pub async fn attempt(tools: &Tools, task: &Task, interrupt: CancellationToken) -> TaskResult {
    let TaskKind::Mirror(mirror) = &task.kind;
    let (began, source) = (Instant::now(), &mirror.source);
    let span = run_span!(
        "attempt",
        task.run,
        task.id = %task.id,
        attempt = task.attempt.0,
        image.ref = %source,
        outcome = Empty
    );
    let cx = TaskContext::new(tools, task, mirror, interrupt);
    let work = AssertUnwindSafe(pipeline::mirror(&cx, mirror)).catch_unwind().instrument(span.clone());
    let destinations = work.await.unwrap_or_else(|panic| {
        let message = panic_message(panic.as_ref());
        tracing::error!(task.id = %task.id, "attempt {} panicked: {message}", task.message_id());
        everywhere(mirror, &End::Failed(our_fault(&message)))
    });
    let result = cx.into_result(task, destinations);
    account::close(&tools.metrics, &span, task, mirror, &result, began.elapsed());
    result
}

/// The same end at every destination.
pub(crate) fn everywhere(mirror: &Mirror, end: &End) -> Vec<DestinationResult> {
    let result = |location: &proto::Location| DestinationResult { location: location.clone(), end: end.clone() };
    mirror.destinations.iter().map(|destination| result(&destination.location)).collect()
}

/// A failure that nobody outside can mend.
pub(crate) fn our_fault(message: &str) -> Failure {
    let hint = "this is a fault of Image Factory: please report it with this message";
    Failure::new(None, Code::Internal, Class::Bug, message, Some(hint))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic without a message").to_owned()
}
