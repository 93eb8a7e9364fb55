//! The stages of a task in their order, on one screen.

use futures_util::future::join_all;
use proto::outcome::{DestinationResult, End};
use proto::task::{Fingerprint, Mirror};
use proto::{Digest, Stage};

use crate::attempt::everywhere;
use crate::context::TaskContext;
use crate::stage::run_stage;
use crate::stages::fetch::{self, Image};
use crate::stages::resolve::{self, Source, Target};
use crate::stages::{push, tag, verify};

/// Brings an image to its destinations. They share what is read from the source and nothing else: one that is down
/// does not hold up the others.
pub(crate) async fn mirror(cx: &TaskContext, task: &Mirror) -> Vec<DestinationResult> {
    let source = match run_stage(cx, Stage::Resolve, resolve::source(cx, &task.source)).await {
        Ok(source) => source,
        Err(end) => return everywhere(task, &end),
    };
    let resolve = |destination| run_stage(cx, Stage::Resolve, resolve::destination(cx, &source, destination));
    let targets = join_all(task.destinations.iter().map(resolve)).await;

    // The source's manifests are read only if some destination needs them.
    let image = if targets.iter().any(|target| matches!(target, Ok(Target::Open(_)))) {
        Some(run_stage(cx, Stage::Fetch, fetch::run(&source)).await)
    } else {
        None
    };

    let ends = join_all(targets.iter().map(|target| finish(cx, &source, image.as_ref(), target))).await;

    let fingerprint = Fingerprint::of_copy(&source.digest);
    let result = |(destination, end): (&proto::task::Destination, Result<Digest, End>)| DestinationResult {
        location: destination.location.clone(),
        end: end.map_or_else(|end| end, |digest| End::Placed { digest, fingerprint: fingerprint.clone() }),
    };
    task.destinations.iter().zip(ends).map(result).collect()
}

/// What is left at one destination: everything below the name, then proof that it is there, then the name.
async fn finish(
    cx: &TaskContext,
    source: &Source,
    image: Option<&Result<Image, End>>,
    target: &Result<Target, End>,
) -> Result<Digest, End> {
    let (target, image) = match (target, image) {
        (Ok(Target::Open(target)), Some(Ok(image))) => (target, image),
        (Err(end), _) | (Ok(Target::Open(_)), Some(Err(end))) => return Err(end.clone()),
        (Ok(_), _) => return Ok(source.digest.clone()),
    };
    run_stage(cx, Stage::Push, push::run(cx, source, image, &target.place)).await?;
    run_stage(cx, Stage::Verify, verify::run(image, &target.place)).await?;
    run_stage(cx, Stage::Tag, tag::run(cx, image, target)).await
}
