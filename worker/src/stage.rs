//! What all stages have in common: a deadline, interruption, timing, and the stage's name on any error.

use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use proto::outcome::End;
use proto::{Code, Stage};
use tracing::Instrument;

use crate::context::TaskContext;
use crate::failure::{StageError, end_of};

/// Runs one stage of an attempt. What goes wrong in it becomes the attempt's end at the destinations it was run for.
pub(crate) async fn run_stage<T>(
    cx: &TaskContext,
    stage: Stage,
    work: impl Future<Output = Result<T, StageError>>,
) -> Result<T, End> {
    cx.activity.enter(stage);
    let began = Instant::now();
    let result = tokio::select! {
        biased;
        () = cx.interrupt.cancelled() => return Err(End::INTERRUPTED),
        () = tokio::time::sleep_until(cx.deadline) => Err(StageError::Deadline(stage)),
        result = work.instrument(tracing::info_span!("stage", stage = %stage)) => result,
    };
    cx.note_stage(stage, began.elapsed());
    result.map_err(|error| match end_of(stage, &error) {
        // What was completed lies at the destination and is found there, so the next attempt goes on from it.
        End::Failed(failure) if failure.code == Code::BlobExceedsDeadline && cx.has_done_work() => End::INTERRUPTED,
        end => end,
    })
}

/// What all of `work` gives, in its order, with at most `limit` under way at once. The first error ends the rest.
pub(crate) async fn concurrently<T, E>(
    limit: usize,
    work: impl IntoIterator<Item = impl Future<Output = Result<T, E>>>,
) -> Result<Vec<T>, E> {
    // Collected first: the compiler cannot show that a stream over a borrowing closure may cross threads.
    let work: Vec<_> = work.into_iter().collect();
    stream::iter(work).buffered(limit).try_collect().await
}
