//! The stages of a task in their order, on one screen.

use proto::outcome::{DestinationResult, End};
use proto::task::{Destination, Fingerprint, Mirror, Placed};
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
        let fingerprint = source.fingerprint(destination);
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
    let found = run_stage(cx, Stage::Resolve, resolve::destination(cx, task, source, destination)).await?;
    let (target, placed, is_up_to_date) = match found {
        Target::UpToDate(target, placed) => {
            supplies.close(&destination.location);
            (target, Some(placed), true)
        }
        Target::Open(target) => {
            let made_of_this = source.fingerprint(destination);
            let placed = destination.placed.as_ref().filter(|placed| placed.fingerprint == made_of_this);
            (target, placed, false)
        }
    };
    let mut is_whole = true;
    if let Some(placed) = placed.filter(|_| is_up_to_date || destination.read_back) {
        let mut found = Delivered { digest: placed.digest.clone(), moved: false, read_back: false, parts: None };
        if destination.read_back {
            let parts;
            (is_whole, parts) = read_back(cx, source, images, &target, placed).await?;
            (found.read_back, found.parts) = (true, Some(parts));
        }
        if is_up_to_date && is_whole {
            return Ok(found);
        }
    }
    let image = images.read(cx, source, &destination.content).await?;
    let shipment = run_stage(cx, Stage::Push, Shipment::new(cx, supplies, image, &target)).await?;
    run_stage(cx, Stage::Push, push::run(&shipment)).await?;
    run_stage(cx, Stage::Verify, verify::run(&shipment)).await?;
    let digest = run_stage(cx, Stage::Tag, tag::run(&shipment, &target)).await?;
    if !is_whole {
        run_stage(cx, Stage::Verify, audit::again(cx, image, &target)).await?;
    }
    let moved = target.shown.as_ref() != Some(&digest);
    Ok(Delivered { digest, moved, read_back: destination.read_back, parts: Some(image.parts()) })
}

/// Asks for all of what was placed at a destination, whatever its tag shows; says whether it is there, and of how many
/// parts it consists.
async fn read_back(
    cx: &TaskContext,
    source: &Source<'_>,
    images: &Images<'_>,
    target: &OpenTarget<'_>,
    placed: &Placed,
) -> Result<(bool, u32), End> {
    let location = &target.destination.location;
    let read = images.read(cx, source, &target.destination.content).await;
    let image = match read {
        // Manifests may be known from before; what refers to them is not.
        Ok(image) => run_stage(cx, Stage::Fetch, source.is_there()).await?.then_some(image),
        Err(End::Failed(failure)) if failure.code == Code::SourceNotFound => None,
        Err(end) => return Err(end),
    };
    let Some(image) = image else {
        let parts = run_stage(cx, Stage::Verify, audit::alone(cx, target, placed)).await?.parts();
        cx.warn(format!("{location} is whole, and could not be mended: the source no longer has {}", source.digest));
        return Ok((true, parts));
    };
    let missing = run_stage(cx, Stage::Verify, audit::run(cx, image, target)).await?;
    if !missing.is_empty() {
        cx.warn(format!("{location} lacked {}, which belongs to what was placed there", audit::listed(&missing)));
    }
    Ok((missing.is_empty(), image.parts()))
}
