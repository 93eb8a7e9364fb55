//! The stages of a task in their order, on one screen.

use proto::outcome::{DestinationResult, End};
use proto::task::{Destination, Fingerprint, Mirror};
use proto::{Code, Digest, Stage};

use crate::attempt::everywhere;
use crate::context::TaskContext;
use crate::images::Images;
use crate::laggard::side_by_side;
use crate::shipment::Shipment;
use crate::source::Source;
use crate::stage::run_stage;
use crate::stages::resolve::{self, OpenTarget, Target};
use crate::stages::{audit, push, tag, verify};
use crate::supplies::Supplies;

/// Brings an image to its destinations, side by side. They share what is read from the source, an image for each
/// content that is asked for, and nothing else: one that is down does not hold up the others.
pub(crate) async fn mirror(cx: &TaskContext, task: &Mirror) -> Vec<DestinationResult> {
    let source = match run_stage(cx, Stage::Resolve, resolve::source(cx, task)).await {
        Ok(source) => source,
        Err(end) => return everywhere(task, &end),
    };
    let images = Images::of(task);
    let supplies = Supplies::new(cx, &source, task);
    let deliveries = task.destinations.iter().map(async |destination| {
        let end = deliver(cx, task, &supplies, &images, destination).await;
        supplies.close(&destination.location);
        end
    });
    let ends = side_by_side(deliveries, cx.tools.laggard_grace).await;

    let result = |(destination, end): (&Destination, Result<Delivered, End>)| {
        let fingerprint = Fingerprint::of_copy(&source.digest, &destination.content);
        let end = end.map_or_else(|end| end, |delivered| delivered.end(fingerprint));
        DestinationResult { location: destination.location.clone(), end }
    };
    task.destinations.iter().zip(ends).map(result).collect()
}

/// What a destination shows now.
struct Delivered {
    digest: Digest,
    /// Whether that is news to it.
    moved: bool,
    read_back: bool,
    parts: Option<u32>,
}

impl Delivered {
    fn end(self, fingerprint: Fingerprint) -> End {
        let Self { digest, moved, read_back, parts } = self;
        End::Placed { digest, fingerprint, moved, read_back, parts }
    }
}

/// One destination: everything below the name, then proof that it is there, then the name.
async fn deliver(
    cx: &TaskContext,
    task: &Mirror,
    supplies: &Supplies<'_>,
    images: &Images<'_>,
    destination: &Destination,
) -> Result<Delivered, End> {
    let source = supplies.source;
    let target = match run_stage(cx, Stage::Resolve, resolve::destination(cx, task, source, destination)).await? {
        Target::UpToDate(target) => {
            supplies.close(&destination.location);
            match read_back(cx, source, images, &target).await? {
                Ok(delivered) => return Ok(delivered),
                Err(Drift) => target,
            }
        }
        Target::Open(target) => target,
    };
    let image = images.read(cx, source, &destination.content).await?;
    let shipment = run_stage(cx, Stage::Push, Shipment::new(cx, supplies, image, &target)).await?;
    run_stage(cx, Stage::Push, push::run(&shipment)).await?;
    run_stage(cx, Stage::Verify, verify::run(&shipment)).await?;
    let digest = run_stage(cx, Stage::Tag, tag::run(&shipment, &target)).await?;
    let moved = target.shown.as_ref() != Some(&digest);
    Ok(Delivered { digest, moved, read_back: destination.read_back, parts: Some(image.parts()) })
}

/// Something of what was placed is not there any more, and is to be sent again.
struct Drift;

/// What lies at a destination that is up to date: all of it is asked for, where that is wanted.
async fn read_back(
    cx: &TaskContext,
    source: &Source<'_>,
    images: &Images<'_>,
    target: &OpenTarget<'_>,
) -> Result<Result<Delivered, Drift>, End> {
    let OpenTarget { destination, shown, .. } = target;
    // Up to date means that it shows something.
    let digest = shown.clone().unwrap_or_else(|| source.digest.clone());
    if !destination.read_back {
        return Ok(Ok(Delivered { digest, moved: false, read_back: false, parts: None }));
    }
    let parts = match images.read(cx, source, &destination.content).await {
        Ok(image) => {
            let missing = run_stage(cx, Stage::Verify, audit::run(cx, image, target)).await?;
            if !missing.is_empty() {
                let lacked = audit::listed(&missing);
                cx.warn(format!("{} lacked {lacked}, which belongs to what was placed there", destination.location));
                return Ok(Err(Drift));
            }
            image.parts()
        }
        Err(End::Failed(failure)) if failure.code == Code::SourceNotFound => {
            run_stage(cx, Stage::Verify, audit::alone(cx, target, &digest)).await?.parts()
        }
        Err(end) => return Err(end),
    };
    Ok(Ok(Delivered { digest, moved: false, read_back: true, parts: Some(parts) }))
}
