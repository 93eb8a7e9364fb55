//! `copy`: one image through the worker's pipeline, without Store and Queue.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use backends::LocalLedger;
use clap::Args;
use daemon::Shutdown;
use proto::content::{IndexForm, Platforms, ReferrerKind, Referrers};
use proto::outcome::{DestinationResult, End, TaskResult};
use proto::task::{Destination, Mirror, TaskKind};
use proto::{Attempt, Content, Digest, ImageRef, LayoutRef, Location, Platform, RunId, Task, TaskId, limits};
use registry::Client;
use worker::{Activity, Tools};

use crate::cli::args::{PatienceArgs, SettingsArgs};
use crate::exit::{Exit, UsageError};
use crate::files;
use crate::progress::{DRAW_EVERY, Display, Progress, Standing};
use crate::text;

/// Copy one image with its signatures and SBOMs, byte for byte, or some of it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct CopyArgs {
    /// Where it lies: a reference, `oci:FOLDER[:NAME]` or `oci-archive:FILE[:NAME]`.
    pub(crate) source: Location,

    /// Where it is to go, in the same forms. A layout folder is added to; an archive is written anew, with this image.
    pub(crate) destination: Location,

    #[command(flatten)]
    pub(crate) content: ContentArgs,

    #[command(flatten)]
    pub(crate) settings: SettingsArgs,

    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}

const EXAMPLE: &str = "\
Examples:
  image-factory copy alpine:3.22 registry.example.com/mirror/alpine:3.22
  image-factory copy quay.io/prometheus/prometheus:v3.5.0 oci:./images
  image-factory copy oci:./images:quay.io/prometheus/prometheus:v3.5.0 localhost:5000/prometheus:v3.5.0
  image-factory copy alpine:3.22 localhost:5000/alpine:3.22 --platform linux/amd64 --index rewrite";

/// What of an image is copied; by default all of it.
#[derive(Debug, Args)]
pub(crate) struct ContentArgs {
    /// Of an index, copy this platform alone, as in `linux/amd64`. Give it once for each platform, with `--index`.
    #[arg(long = "platform", value_name = "PLATFORM", requires = "index")]
    platforms: Vec<Platform>,

    /// What becomes of the index: `rewrite` makes one of these platforms alone, with another digest, which no signature of the source fits; `sparse` keeps its bytes, which many registries refuse.
    #[arg(long, value_name = "FORM", requires = "platforms", value_parser = parse_index)]
    index: Option<IndexForm>,

    /// Which of what refers to the image is copied: `all`, `none`, or some of `signature,sbom,attestation`.
    #[arg(long, value_name = "KINDS", default_value = "all", value_parser = parse_referrers)]
    referrers: Referrers,
}

impl ContentArgs {
    pub(crate) fn content(self) -> Content {
        let only = |index| Platforms::Only { platforms: self.platforms.into_iter().collect(), index };
        Content { platforms: self.index.map_or(Platforms::All, only), referrers: self.referrers }
    }
}

pub(crate) async fn run(args: CopyArgs) -> anyhow::Result<Exit> {
    let content = args.content.content();
    check_digest(&args.source, &args.destination, &content)?;
    let access = files::access(&args.settings)?;
    let ledger = Arc::new(LocalLedger::in_memory().await);
    let client = Client::new(&access, args.patience.options())?;
    let tools = Tools::new(client.clone(), ledger, Activity::default());
    let shutdown = Shutdown::on_signals().context("listen for signals")?;
    let destination = named(args.destination, &args.source);
    let task = made_up_task(args.source.clone(), destination, content);
    let began = Instant::now();
    let result = tokio::select! {
        biased;
        never = show(&tools.activity, args.source.to_string()) => never,
        result = worker::attempt(&tools, &task, shutdown.drain) => result,
    };
    client.settled().await;
    let mut out = text::stdout();
    let [DestinationResult { location, end }] = &result.destinations[..] else {
        bail!("a copy to one destination came back with {} results", result.destinations.len());
    };
    match end {
        End::Placed { digest, moved, .. } => {
            let spent = &result.spent;
            let is_news = *moved || spent.manifests_written + spent.blobs_written + spent.blobs_mounted > 0;
            writeln!(out, "{}  {location}  {digest}", if is_news { "copied" } else { "up to date" })?;
            tell_spent(&mut out, digest, &result, began)?;
        }
        End::Failed(failure) | End::Deferred { failure, .. } => {
            writeln!(out, "failed  {} → {location}", args.source)?;
            writeln!(out, "        {failure}")?;
            if let Some(hint) = &failure.hint {
                writeln!(out, "        mend: {}", text::mend_without_file(hint))?;
            }
        }
        End::Interrupted { .. } => {
            writeln!(out, "stopped {} → {location}", args.source)?;
            writeln!(out, "        run it again to be sure: whether the tag has moved is not known")?;
        }
    }
    for warning in &result.warnings {
        writeln!(out, "warning  {warning}")?;
    }
    Ok(match end {
        End::Placed { .. } => Exit::Done,
        End::Failed(_) => Exit::Failed,
        End::Deferred { .. } | End::Interrupted { .. } => Exit::Incomplete,
    })
}

/// A copy has the digest of its source: a destination that names another one would never show it, and one that names
/// a tag too would be pushed by digest alone. Only an index that is written anew has another, which nobody knows yet.
fn check_digest(source: &Location, destination: &Location, content: &Content) -> Result<(), UsageError> {
    let pinned = |location: &Location| match location {
        Location::Registry(image) => image.digest.clone(),
        Location::Layout(_) | Location::Archive(_) => None,
    };
    if let Location::Registry(ImageRef { tag: Some(_), digest: Some(_), .. }) = destination {
        return Err(UsageError(format!(
            "the destination, `{destination}`, names a tag and a digest: leave the digest out"
        )));
    }
    let is_rewritten = matches!(content.platforms, Platforms::Only { index: IndexForm::Rewrite, .. });
    match pinned(destination) {
        Some(digest) if is_rewritten => Err(UsageError(format!(
            "the destination names a digest, `{digest}`, and an index that is written anew has another; leave it out"
        ))),
        Some(digest) if pinned(source).as_ref() != Some(&digest) => Err(UsageError(format!(
            "the destination names a digest, `{digest}`, that the source does not; leave it out"
        ))),
        _ => Ok(()),
    }
}

/// A layout without a name takes the source's own, so that the image is found by it again.
fn named(destination: Location, source: &Location) -> Location {
    let name = match source {
        Location::Registry(image) => Some(image.to_string()),
        Location::Layout(layout) | Location::Archive(layout) => layout.name.clone(),
    };
    let with_name = |layout: LayoutRef| LayoutRef { name: layout.name.or(name), ..layout };
    match destination {
        Location::Layout(layout) => Location::Layout(with_name(layout)),
        Location::Archive(layout) => Location::Archive(with_name(layout)),
        registry @ Location::Registry(_) => registry,
    }
}

/// The one task of a run that no Store knows.
fn made_up_task(source: Location, destination: Location, content: Content) -> Task {
    let destinations = vec![Destination { content, ..Destination::new(destination) }];
    Task {
        run: RunId::new(),
        id: TaskId::new(),
        attempt: Attempt::FIRST,
        solo: true,
        deadline: limits::ATTEMPT_DEADLINE,
        bundle: None,
        kind: TaskKind::Mirror(Mirror { source, listed: None, sidecars: Default::default(), destinations }),
    }
}

async fn show<T>(activity: &Activity, name: String) -> T {
    let mut progress = Progress::begin(name, Display::begin(false));
    let mut ticks = tokio::time::interval(DRAW_EVERY);
    loop {
        ticks.tick().await;
        progress.show(&Standing { images: 1, complete: true, done: Default::default(), moving: activity.snapshot() });
    }
}

fn tell_spent(out: &mut impl Write, digest: &Digest, result: &TaskResult, began: Instant) -> io::Result<()> {
    let spent = &result.spent;
    if let Some(source) = result.source_digest.as_ref().filter(|source| *source != digest) {
        writeln!(out, "        of {source}, written anew")?;
    }
    writeln!(
        out,
        "        {} sent in {}, {} saved, {}",
        text::bytes(spent.bytes_written),
        text::count(spent.blobs_written, "blob"),
        text::bytes(spent.bytes_skipped + spent.bytes_mounted),
        text::duration(began.elapsed()),
    )
}

fn parse_index(text: &str) -> Result<IndexForm, String> {
    IndexForm::from_name(text).ok_or_else(|| "expected `rewrite` or `sparse`".to_owned())
}

fn parse_referrers(text: &str) -> Result<Referrers, String> {
    let kinds = || text.split(',').map(|kind| ReferrerKind::from_name(kind.trim())).collect::<Option<_>>();
    match text {
        "all" => Ok(Referrers::All),
        "none" => Ok(Referrers::None),
        _ => kinds().map(Referrers::Only).ok_or_else(|| {
            "expected `all`, `none`, or some of `signature,sbom,attestation` with commas between them".to_owned()
        }),
    }
}
