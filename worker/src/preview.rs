//! What an attempt would find and do, without doing it: the resolve stage, and the manifests where reading them is free.

use futures_util::future::join_all;
use proto::outcome::End;
use proto::task::{Destination, Mirror, TaskKind};
use proto::{Descriptor, Digest, Location, Stage, Task};
use registry::Place;

use crate::context::{TaskContext, Tools};
use crate::images::Images;
use crate::source::Source;
use crate::stage::run_stage;
use crate::stages::fetch::Image;
use crate::stages::resolve::{self, Target};

/// What an attempt would do.
#[derive(Debug)]
pub struct Preview {
    /// What the source shows; why it cannot be told else.
    pub source: Result<Digest, End>,
    /// Each destination; none if the source cannot be read.
    pub destinations: Vec<(Location, Prospect)>,
    /// What is worth a person's look, and is no failure.
    pub warnings: Vec<String>,
}

/// What an attempt would do at a destination.
#[derive(Debug)]
pub enum Prospect {
    /// Nothing.
    UpToDate,
    /// Send what is missing, and set the tag.
    Write {
        /// What the tag shows until then.
        shows: Option<Digest>,
        /// What the image consists of, if that was asked for and could be read.
        weight: Option<Weight>,
    },
    /// Come to this end.
    Unable(End),
}

/// What an image consists of.
#[derive(Debug, Clone)]
pub struct Weight {
    /// What the tag will show: another digest than the source's where an index is written anew.
    pub digest: Digest,
    /// How many manifests, all that refer to it included.
    pub manifests: usize,
    /// Its distinct blobs.
    pub blobs: Vec<Descriptor>,
}

/// Looks at both sides of a task. The manifests of what would be sent are read, but where that counts as a pull.
pub async fn preview(tools: &Tools, task: &Task) -> Preview {
    let TaskKind::Mirror(mirror) = &task.kind;
    let cx = TaskContext::to_look(tools, task, mirror);
    let source = match run_stage(&cx, Stage::Resolve, resolve::source(&cx, mirror)).await {
        Ok(source) => source,
        Err(end) => return Preview { source: Err(end), destinations: Vec::new(), warnings: Vec::new() },
    };
    let images = (!is_counted(&source).await).then(|| Images::of(mirror));
    let prospects = mirror.destinations.iter().map(|destination| async {
        let prospect = prospect(&cx, mirror, &source, destination, images.as_ref()).await;
        (destination.location.clone(), prospect.unwrap_or_else(Prospect::Unable))
    });
    let destinations = join_all(prospects.collect::<Vec<_>>()).await;
    let source = Ok(source.digest);
    Preview { source, destinations, warnings: cx.into_result(task, Vec::new()).warnings }
}

/// Whether reading a manifest of the source counts as a pull, as far as its answers told.
async fn is_counted(source: &Source<'_>) -> bool {
    match &source.place {
        // An error shows again where it matters.
        Place::Repository { client, image } => client.counts_pulls(&image.repository).await.unwrap_or(true),
        Place::Layout { .. } => false,
    }
}

async fn prospect(
    cx: &TaskContext,
    mirror: &Mirror,
    source: &Source<'_>,
    destination: &Destination,
    images: Option<&Images<'_>>,
) -> Result<Prospect, End> {
    let shows = match run_stage(cx, Stage::Resolve, resolve::look(cx, mirror, source, destination)).await? {
        Some(Target::UpToDate(..)) => return Ok(Prospect::UpToDate),
        Some(Target::Open(target)) => target.shown,
        None => None,
    };
    let weight = match images {
        Some(images) => Some(Weight::of(images.read(cx, source, &destination.content).await?)),
        None => None,
    };
    Ok(Prospect::Write { shows, weight })
}

impl Weight {
    fn of(image: &Image) -> Self {
        let manifests = 1 + image.below.iter().map(Vec::len).sum::<usize>();
        let blobs = image.blobs().into_iter().cloned().collect();
        Self { digest: image.top.digest.clone(), manifests, blobs }
    }
}
