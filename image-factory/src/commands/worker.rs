//! `worker`: take tasks of a fleet, until told to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use backends::Ledger;
use clap::Args;
use daemon::{Metrics, Shutdown};
use proto::limits;
use proto::settings::Access;
use registry::Client;
use worker::{Activity, ContentStore, Tools, Worker, Workshop};

use crate::cli::args::{PatienceArgs, parse_duration, parse_slots};
use crate::exit::Exit;
use crate::fleet::{self, EvidenceArgs, LedgerArgs, QueueArgs, process_name};

/// Take tasks of a fleet from its queue, and bring their images to where they go.
///
/// A worker keeps nothing but scratch: it may be stopped, killed or added at any time. SIGTERM lets running copies go on
/// for the grace, and gives the rest back; a second one leaves at once. Every option may be given as its environment
/// variable.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    queue: QueueArgs,

    #[command(flatten)]
    ledger: LedgerArgs,

    #[command(flatten)]
    evidence: EvidenceArgs,

    #[command(flatten)]
    work: WorkArgs,

    #[command(flatten)]
    patience: PatienceArgs,
}

/// How it works.
#[derive(Debug, Args)]
#[command(next_help_heading = "Work")]
struct WorkArgs {
    /// Images under way at once.
    #[arg(long, value_name = "NUMBER", env = "IMAGE_FACTORY_SLOTS", default_value_t = limits::SLOTS, value_parser = parse_slots)]
    slots: usize,

    /// Folder for blobs that go to several destinations; nothing in it outlives the worker. Default: one in the system's folder for such.
    #[arg(long, value_name = "DIR", env = "IMAGE_FACTORY_SCRATCH")]
    scratch: Option<PathBuf>,

    /// How long running copies may go on after SIGTERM; the pod's own grace must be longer.
    #[arg(long, value_name = "TIME", env = "IMAGE_FACTORY_GRACE", default_value = "60s", value_parser = parse_duration)]
    grace: Duration,

    /// Address for `/healthz`, `/readyz` and `/metrics`; port 0 is any that is free, and the log says which.
    #[arg(long, value_name = "ADDRESS", env = "IMAGE_FACTORY_LISTEN", default_value = "127.0.0.1:0")]
    listen: String,
}

const EXAMPLE: &str = "\
Example:
  image-factory worker --queue amqp://broker --ledger redis://ledger --evidence s3://compliance/image-factory";

pub(crate) async fn run(args: WorkerArgs) -> anyhow::Result<Exit> {
    let shutdown = Shutdown::on_signals().context("listen for signals")?;
    let WorkArgs { slots, scratch, grace, listen } = args.work;
    let name = process_name();
    let (queue, queue_address) = args.queue.open(&name)?;
    let (evidence, place) = args.evidence.open()?;
    let ledger = args.ledger.open()?;
    let metrics = Arc::new(Metrics::default());

    // Without a folder of its own, this process makes one that ends with it.
    let own = scratch.is_none().then(tempfile::tempdir).transpose().context("make a folder for scratch")?;
    let scratch = scratch.or_else(|| own.as_ref().map(|own| own.path().join("scratch"))).unwrap_or_default();
    let content = ContentStore::open(scratch, limits::CONTENT_BYTES_MAX).await?;

    let health = fleet::health(&metrics, &shutdown, (&queue, &queue_address), (&evidence, &place));
    let _listening = health.listen(&listen).await.with_context(|| format!("listen on `{listen}`"))?;

    let client = Client::new(&Access::default(), args.patience.options())?;
    let tools = Tools::new(client, ledger.clone() as Arc<dyn Ledger>, Activity::default());
    let tools = tools.with_content(content).with_metrics(metrics);
    let workshop = Workshop::by_bundle(tools, evidence, args.patience.options());
    tracing::info!(worker = name, slots, "worker {name} takes tasks from {queue_address}, {slots} at once");
    Worker::new(queue, workshop, slots, grace).in_crew(name).run(shutdown).await.context("take tasks")?;
    Ok(Exit::Done)
}
