//! `coordinator`: turn job files into runs of a fleet, by their schedules and by whoever asks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use backends::store::PostgresSettings;
use backends::{Ledger, Queue, Store};
use clap::Args;
use coordinator::catalogue::{Catalogue, CatalogueJob, Origin};
use coordinator::report::Reports;
use coordinator::{Coordinator, Fleet, LeadTimes, Pace, Retention, lead};
use daemon::{ErrorChain, Metrics, Shutdown};
use jiff::Timestamp;
use proto::settings::Access;
use registry::Client;
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;

use crate::cli::args::{PatienceArgs, parse_duration};
use crate::exit::{Exit, UsageError};
use crate::fleet::{EvidenceArgs, LedgerArgs, QueueArgs, StoreArgs, process_name};

/// Turn job files into runs of a fleet, hand out their images to workers, and report.
///
/// Several may run: one of them leads, and another one takes over within seconds when it stops or dies. Nothing is lost
/// whenever that is. Every option may be given as its environment variable.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct CoordinatorArgs {
    #[command(flatten)]
    files: FilesArgs,

    #[command(flatten)]
    store: StoreArgs,

    #[command(flatten)]
    queue: QueueArgs,

    #[command(flatten)]
    ledger: LedgerArgs,

    #[command(flatten)]
    evidence: EvidenceArgs,

    #[command(flatten)]
    patience: PatienceArgs,
}

/// What it runs, and where it answers.
#[derive(Debug, Args)]
#[command(next_help_heading = "Job files")]
struct FilesArgs {
    /// Where the job files are: a file, a folder of them (in a Git checkout or not), or an artifact `oci://REGISTRY/REPOSITORY:TAG`.
    ///
    /// They are read again when they change. One that is wrong then is told, and the one before stays in force.
    #[arg(long, value_name = "PLACE", env = "IMAGE_FACTORY_JOBS")]
    jobs: String,

    /// How often it is looked whether they changed.
    #[arg(long, value_name = "TIME", env = "IMAGE_FACTORY_LOOK_EVERY", default_value = "10s", value_parser = parse_duration)]
    look_every: Duration,

    /// Folder in which reports are written before they are kept as evidence. Default: one in the system's folder for such.
    #[arg(long, value_name = "DIR", env = "IMAGE_FACTORY_SCRATCH")]
    scratch: Option<PathBuf>,

    /// Address for `/healthz`, `/readyz` and `/metrics`; port 0 is any that is free, and the log says which.
    #[arg(long, value_name = "ADDRESS", env = "IMAGE_FACTORY_LISTEN", default_value = "127.0.0.1:0")]
    listen: String,
}

const EXAMPLE: &str = "\
Example:
  image-factory coordinator --jobs /etc/image-factory/jobs --store postgres://factory@database/factory \\
    --store-password-file /run/secrets/store --queue amqp://broker --ledger redis://ledger \\
    --evidence s3://compliance/image-factory";

/// How long it is waited before a database that was not reached at the start is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

pub(crate) async fn run(args: CoordinatorArgs) -> anyhow::Result<Exit> {
    let shutdown = Shutdown::on_signals().context("listen for signals")?;
    let CoordinatorArgs { files, store: store_args, queue, ledger, evidence, patience } = args;
    let name = process_name();
    let (queue, queue_address) = queue.open(&name)?;
    let (evidence, place) = evidence.open()?;
    let ledger: Arc<dyn Ledger> = ledger.open()?;
    let metrics = Arc::new(Metrics::default());
    let origin = files.jobs.parse::<Origin>().map_err(|error| UsageError(format!("--jobs: {}", ErrorChain(&error))))?;
    let own = files.scratch.is_none().then(tempfile::tempdir).transpose().context("make a folder for scratch")?;
    let scratch = files.scratch.or_else(|| own.as_ref().map(|own| own.path().to_owned())).unwrap_or_default();

    let at = store_args.settings()?;
    let found: Arc<OnceCell<Store>> = Arc::default();
    let health = crate::fleet::health(&metrics, &shutdown, (&queue, &queue_address), (&evidence, &place));
    let health = health.depends_on("store", at.address(), {
        let found = found.clone();
        move || {
            let found = found.clone();
            async move {
                let store = found.get().ok_or("it was not reached yet")?;
                store.health().await.map_err(|error| ErrorChain(&error).to_string())
            }
        }
    });
    let _listening = health.listen(&files.listen).await.with_context(|| format!("listen on `{}`", files.listen))?;

    let Some(store) = connect(&at, &shutdown.drain).await? else { return Ok(Exit::Done) };
    let store = found.get_or_init(async || store).await.clone();
    let client = Client::new(&Access::default(), patience.options())?;
    let (jobs, known) = watch::channel(Arc::default());
    let looking = look(Catalogue::new(origin, client), jobs, files.look_every, &shutdown.drain);

    let fleet =
        Fleet { evidence: evidence.clone(), options: patience.options(), retention: Retention::default(), jobs: known };
    let work = |led: Store, lost: CancellationToken| {
        let reports = Reports::Evidence { evidence: evidence.clone(), scratch: scratch.clone() };
        let pace = Pace { stays: true, ..Pace::for_slots(1) };
        let coordinator = Coordinator::new(led, queue.clone() as Arc<dyn Queue>, pace, reports);
        let coordinator = coordinator.with_crew(ledger.clone());
        let fleet = &fleet;
        async move {
            if let Err(error) = coordinator.run_fleet(fleet, &lost).await {
                tracing::warn!("stopped leading: {}", ErrorChain(&error));
            }
        }
    };
    tracing::info!(coordinator = name, "coordinator {name} works");
    tokio::join!(lead(&store, &name, LeadTimes::default(), &shutdown.drain, work), looking);
    Ok(Exit::Done)
}

/// Connects to the store, however long that takes; none if `stop` comes first. What no waiting mends is an error.
async fn connect(at: &PostgresSettings, stop: &CancellationToken) -> anyhow::Result<Option<Store>> {
    let mut was_told = false;
    loop {
        let opened = stop.run_until_cancelled(Store::connect(at.clone())).await;
        match opened {
            None => return Ok(None),
            Some(Ok(store)) => return Ok(Some(store)),
            Some(Err(error)) if error.is_unreachable() => {
                if !was_told {
                    tracing::warn!("{}; trying again", ErrorChain(&error));
                }
                was_told = true;
            }
            Some(Err(error)) => return Err(error).context("open the store"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(AGAIN_AFTER)).await.is_none() {
            return Ok(None);
        }
    }
}

/// Keeps the jobs in force up to date, until `stop`.
async fn look(
    mut catalogue: Catalogue,
    jobs: watch::Sender<Arc<BTreeMap<String, CatalogueJob>>>,
    every: Duration,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        if !catalogue.look(Timestamp::now()).await.is_empty() {
            jobs.send_replace(Arc::new(catalogue.jobs().clone()));
        }
        let _ = stop.run_until_cancelled(tokio::time::sleep(every)).await;
    }
}
