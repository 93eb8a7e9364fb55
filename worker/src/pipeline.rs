//! The stages of a task in their order, on one screen.

use futures_util::future::join_all;
use proto::outcome::{DestinationResult, End};
use proto::task::{Destination, Fingerprint, Mirror};
use proto::{Digest, Stage};

use crate::attempt::everywhere;
use crate::context::TaskContext;
use crate::images::Images;
use crate::source::Source;
use crate::stage::run_stage;
use crate::stages::resolve::{self, Target};
use crate::stages::{push, tag, verify};

/// Brings an image to its destinations, side by side. They share what is read from the source, an image for each
/// content that is asked for, and nothing else: one that is down does not hold up the others.
pub(crate) async fn mirror(cx: &TaskContext, task: &Mirror) -> Vec<DestinationResult> {
    let source = match run_stage(cx, Stage::Resolve, resolve::source(cx, &task.source)).await {
        Ok(source) => source,
        Err(end) => return everywhere(task, &end),
    };
    let images = Images::of(task);
    let deliveries = task.destinations.iter().map(|destination| deliver(cx, task, &source, &images, destination));
    let ends = join_all(deliveries).await;

    let result = |(destination, end): (&Destination, Result<(Digest, bool), End>)| {
        let fingerprint = Fingerprint::of_copy(&source.digest, &destination.content);
        let end = end.map_or_else(|end| end, |(digest, moved)| End::placed(digest, fingerprint, moved));
        DestinationResult { location: destination.location.clone(), end }
    };
    task.destinations.iter().zip(ends).map(result).collect()
}

/// One destination: everything below the name, then proof that it is there, then the name. What it shows then, and
/// whether that is news to it.
async fn deliver(
    cx: &TaskContext,
    task: &Mirror,
    source: &Source,
    images: &Images<'_>,
    destination: &Destination,
) -> Result<(Digest, bool), End> {
    let target = match run_stage(cx, Stage::Resolve, resolve::destination(cx, task, source, destination)).await? {
        Target::UpToDate(placed) => return Ok((placed.clone(), false)),
        Target::Open(target) => target,
    };
    let image = images.read(cx, source, &destination.content).await?;
    run_stage(cx, Stage::Push, push::run(cx, source, image, &target.place)).await?;
    run_stage(cx, Stage::Verify, verify::run(image, &target.place)).await?;
    let shows = run_stage(cx, Stage::Tag, tag::run(cx, image, &target)).await?;
    let moved = target.shown.as_ref() != Some(&shows);
    Ok((shows, moved))
}
