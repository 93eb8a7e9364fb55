//! `plan`: what a run would do, before it is done.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context;
use backends::Store;
use clap::{Args, ValueEnum};
use daemon::Shutdown;
use jiff::Timestamp;
use registry::Client;

use crate::cli::args::{DataArgs, PatienceArgs, parse_duration, two_delays};
use crate::data::DataFolder;
use crate::exit::{Exit, UsageError};
use crate::files;
use crate::plan::change::Change;
use crate::plan::make::Planner;
use crate::plan::text::Form;
use crate::plan::{self, Action, Plan};
use crate::progress::{DRAW_EVERY, Display, line, say, warn};
use crate::records::refuse_namesake;
use crate::text;

/// Say what a run would do: which tags would be created or moved, what would fail, and what it costs. Nothing is written.
///
/// Sources and destinations are asked, with questions that no registry counts as a pull. Against another version of the
/// file, it says what the change does: tags in and out, bytes, pulls, other destinations and owners.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PlanArgs {
    /// The job file.
    pub(crate) file: PathBuf,

    /// Compare with the version of the file that lies in this folder, as in a checkout of the main branch.
    #[arg(long, value_name = "DIR")]
    pub(crate) against: Option<PathBuf>,

    /// Keep the plan, for `run --plan`.
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    pub(crate) out: Option<PathBuf>,

    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// The only job of the file to plan; for a file without `jobs`, the name that its run is given.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) job: Option<String>,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Delays before the second and the third try of a repository that could not be listed.
    #[arg(long, value_name = "TIMES", default_value = "5s,30s", value_delimiter = ',', value_parser = parse_duration)]
    pub(crate) retry_after: Vec<Duration>,

    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}

const EXAMPLES: &str = "\
Examples:
  image-factory plan factory.yaml
  image-factory plan factory.yaml --out tonight.json && image-factory run --plan tonight.json
  git worktree add ../main main && image-factory plan factory.yaml --against ../main --format markdown";

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For machines: all of it.
    Json,
    /// For a pull request.
    Markdown,
}

pub(crate) async fn run(args: PlanArgs) -> anyhow::Result<Exit> {
    let shutdown = Shutdown::on_signals().context("listen for signals")?;
    let Some(plan) = shutdown.drain.run_until_cancelled(make(&args)).await else {
        say("stopped: there is no plan");
        return Ok(Exit::Incomplete);
    };
    let plan = plan?;
    if let Some(path) = &args.out {
        keep(&plan, path)?;
    }
    let mut out = text::stdout();
    match args.format {
        Format::Text => plan::text::write(&mut out, &plan, Form::Text)?,
        Format::Markdown => plan::text::write(&mut out, &plan, Form::Markdown)?,
        Format::Json => text::write_json(&mut out, &plan)?,
    }
    let has_failed = plan.failed() > 0
        || plan.change.iter().flat_map(|change| &change.repositories).any(|change| change.failure.is_some());
    Ok(match (has_failed || plan.count(Action::Fail) > 0, plan.count(Action::Wait)) {
        (true, _) => Exit::Failed,
        (false, 0) => Exit::Done,
        (false, _) => Exit::Incomplete,
    })
}

async fn make(args: &PlanArgs) -> anyhow::Result<Plan> {
    let file = files::load(&args.file)?;
    let client = Client::new(&file.access, args.patience.options())?;
    let mut plan = Plan::of(files::absolute(&args.file)?, file.digest.clone(), args.job.clone(), Timestamp::now());
    if let Some(folder) = &args.against {
        let path = other_version(&args.file, folder)?;
        let other = files::load(&path)?;
        // What was placed says nothing of what the change does, so nothing on record is asked.
        let mut planner = Planner::new(client, None, two_delays(&args.retry_after)?).await;
        let name = |job: Option<&str>| job.map_or_else(|| files::stem(&args.file), str::to_owned);
        let (repositories, jobs) = planner.compare(&other, &file, name).await?;
        let against = path.display().to_string();
        plan.change = Some(Change { against, against_digest: other.digest, repositories });
        plan.jobs = jobs;
        plan.costs = planner.into_costs().await;
        return Ok(plan);
    }
    for warning in file.warnings.lines() {
        warn(&format!("warning  {warning}"));
    }
    let store = store(&args.data).await?;
    let jobs = files::jobs(&file, &args.file, args.job.as_deref())?;
    if let (None, Some(store)) = (&args.job, &store) {
        // As the run will.
        for (name, _) in &jobs {
            refuse_namesake(store, name, &plan.file).await?;
        }
    }
    let mut planner = Planner::new(client, store, two_delays(&args.retry_after)?).await;
    let looked = AtomicU64::new(0);
    for (name, job) in jobs {
        let looking = planner.job(&name, &job.sources, || {
            looked.fetch_add(1, Relaxed);
        });
        let planned = tokio::select! {
            never = show(&looked) => match never {},
            planned = looking => planned?,
        };
        plan.jobs.push(planned);
    }
    plan.costs = planner.into_costs().await;
    Ok(plan)
}

/// Shows how far it is.
async fn show(looked: &AtomicU64) -> std::convert::Infallible {
    let (mut display, began) = (Display::begin(false), Instant::now());
    let mut ticks = tokio::time::interval(DRAW_EVERY);
    loop {
        ticks.tick().await;
        let images = format!("planning: {} looked at so far", text::count(looked.load(Relaxed), "image"));
        display.show(
            || images.clone(),
            |size| vec![line(&[images.clone(), text::duration(began.elapsed())], size.columns)],
        );
    }
}

/// What is on record; none before the first run.
async fn store(data: &DataArgs) -> anyhow::Result<Option<Store>> {
    Ok(Store::look(&DataFolder::find(data)?.store()).await?)
}

/// The same file in another folder: by its own path if that is relative, else by its name.
fn other_version(file: &Path, folder: &Path) -> anyhow::Result<PathBuf> {
    let name = file.file_name().map(PathBuf::from).unwrap_or_default();
    let candidates = [Some(file.to_owned()).filter(|file| file.is_relative()), Some(name)];
    let mut candidates: Vec<PathBuf> = candidates.into_iter().flatten().map(|path| folder.join(path)).collect();
    candidates.dedup();
    match candidates.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => {
            let tried: Vec<String> = candidates.iter().map(|path| format!("`{}`", path.display())).collect();
            Err(UsageError(format!("there is no other version of the file: looked for {}", tried.join(" and "))).into())
        }
    }
}

/// Writes the plan whole or not at all.
fn keep(plan: &Plan, path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, plan)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("write plan `{}`", path.display()))
}
