//! `run`: mirror what a job file says.

mod planned;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use backends::store::Run;
use clap::Args;
use coordinator::Extent;
use coordinator::audit::Audit;
use coordinator::expand::Only;
use coordinator::git;
use coordinator::intake::Submission;
use coordinator::report::{self, JSON, Summary};
use daemon::Shutdown;
use jobfile::{Job, JobFile};
use proto::RunId;
use registry::{Client, Options};

use crate::cli::args::{DataArgs, PatienceArgs, parse_duration, parse_slots, two_delays};
use crate::commands::verify;
use crate::data::DataFolder;
use crate::embedded::Factory;
use crate::exit::{Exit, UsageError};
use crate::files;
use crate::machine::Machine;
use crate::progress::{say, warn};
use crate::summary;

/// Mirror what a job file says, in this process, and write a report.
///
/// Unchanged tags cost a question or two each; what moved is copied once, checked, and only then named. Ctrl-C lets
/// running copies finish; a second one stops at once. Whatever stops it, run it again: it goes on from what is done.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct RunArgs {
    /// The job file.
    #[arg(required_unless_present = "plan")]
    pub(crate) file: Option<PathBuf>,

    /// Do what this plan says and nothing else; it was made by `plan FILE --out PLAN`, of a file that is still the same.
    #[arg(long, conflicts_with_all = ["file", "job", "only"])]
    pub(crate) plan: Option<PathBuf>,

    /// The only job of the file to run. A file without `jobs` is one job, which gets this name instead of the file's own.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) job: Option<String>,

    #[command(flatten)]
    pub(crate) way: WayArgs,
}

/// How a run goes, whatever it is of.
#[derive(Debug, Args)]
pub(crate) struct WayArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Images to take of those that the file names: `REPOSITORY` or `REPOSITORY:TAG`, as in `docker.io/library/nginx*` or `*:1.29*`.
    ///
    /// A `*` stands for any text, slashes too. Repeatable. The report says that the run was limited.
    #[arg(long, value_name = "GLOB")]
    pub(crate) only: Vec<String>,

    /// Folder for a copy of the report, with a folder for each job if there are several; one of an earlier run that
    /// lies there moves to `DIR/<its run>/`.
    ///
    /// The report is `report.html`, `report.csv` and `report.json`; it is always in `reports/<run>/` of the data folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) report_dir: Option<PathBuf>,

    /// Write what happens to standard output, one JSON object a line, instead of a summary.
    #[arg(long)]
    pub(crate) json: bool,

    /// Images under way at once.
    #[arg(long, default_value_t = proto::limits::SLOTS, value_parser = parse_slots)]
    pub(crate) slots: usize,

    /// Take tags over that another job file has mirrored before.
    #[arg(long)]
    pub(crate) take_over: bool,

    /// Delays before the second and the third try of an image that failed.
    #[arg(long, value_name = "TIMES", default_value = "5s,30s", value_delimiter = ',', value_parser = parse_duration)]
    pub(crate) retry_after: Vec<Duration>,

    #[command(flatten)]
    pub(crate) patience: PatienceArgs,
}

const EXAMPLE: &str = r#"Example: a file `first.yaml`

  version: 1
  to: registry.example.com/mirror/{path}
  images:
    docker.io/library/alpine: ">=3.18"
    docker.io/library/nginx: ["1.*", "!*-perl"]

and then

  image-factory run first.yaml
  image-factory run first.yaml --only 'docker.io/library/nginx:1.29*'
  image-factory plan first.yaml --out tonight.json && image-factory run --plan tonight.json"#;

pub(crate) async fn run(args: RunArgs) -> anyhow::Result<Exit> {
    let shutdown = Shutdown::on_signals().context("listen for signals")?;
    if let Some(plan) = &args.plan {
        return planned::run(&args, plan, &shutdown).await;
    }
    // Without a plan there is a file, as its own help says.
    let path = args.file.clone().unwrap_or_default();
    let only = Only::matching(&args.way.only).map_err(UsageError)?;
    let data = args.way.prepare()?;
    let order = Order {
        wanted: Wanted::Only(only),
        is_namesake_refused: args.job.is_none() && !args.way.take_over,
        ..args.way.order(&path, files::load(&path)?, &data, args.job.as_deref())?
    };
    let only: String = args.way.only.iter().map(|glob| format!(" --only '{glob}'")).collect();
    let (exit, runs, images) = args.way.carry_out(order, &format!("run {}{only}", path.display()), &shutdown).await?;
    if exit == Exit::Done && runs > 0 && images == 0 && !only.is_empty() {
        warn(&format!("nothing was done: no image matches{only}"));
        return Ok(Exit::Usage);
    }
    Ok(exit)
}

impl WayArgs {
    /// The data folder, and the folder for the report, both of which can be written.
    pub(crate) fn prepare(&self) -> anyhow::Result<DataFolder> {
        if let Some(folder) = &self.report_dir {
            prepare(folder)?;
        }
        DataFolder::open(&self.data)
    }

    /// The order to run all of a file in this way.
    pub(crate) fn order<'a>(
        &self,
        path: &'a Path,
        file: JobFile,
        data: &'a DataFolder,
        job: Option<&'a str>,
    ) -> Result<Order<'a>, UsageError> {
        Ok(Order {
            path,
            file,
            data,
            slots: self.slots,
            job,
            wanted: Wanted::Only(Only::All),
            is_namesake_refused: false,
            take_over: self.take_over,
            options: self.patience.options(),
            retry_after: two_delays(&self.retry_after)?,
        })
    }

    /// Runs what is ordered by `command`, and tells how it ended; says also how many runs there were, and images in them.
    pub(crate) async fn carry_out(
        &self,
        order: Order<'_>,
        command: &str,
        shutdown: &Shutdown,
    ) -> anyhow::Result<(Exit, u32, u64)> {
        let (mut exit, mut runs, mut images) = (Exit::Done, 0, 0_u64);
        let again = format!("image-factory {command}{}", self.data.as_flag());
        let mut machine = self.json.then(Machine::default);
        let all = mirror(order, machine.as_mut(), shutdown, |done, machine| {
            let Done { run, summary, report, is_only, not_begun } = done;
            let folder = self.report_dir.as_ref();
            let folder = folder.map(|folder| if is_only { folder.clone() } else { folder.join(&run.job) });
            let kept = folder.as_ref().map(|folder| report::keep(&report, folder)).transpose();
            let report = match (&kept, &folder) {
                (Ok(_), Some(folder)) => folder.join(JSON),
                _ => report,
            };
            match machine {
                Some(machine) => machine.end(&summary, &report)?,
                // What takes the jobs that were not begun takes the rest of this one too.
                None => {
                    let next = (!not_begun.is_empty()).then_some(again.as_str());
                    summary::print(&summary, &run, &self.data, &report, next)?;
                }
            }
            (exit, runs) = (exit.worse(Exit::of_run(&summary)), runs + 1);
            images += summary.totals.images;
            Ok(kept.map(drop)?)
        });
        let Left { is_cut_off, not_begun } = all.await?;
        if is_cut_off {
            say("stopped: the next run closes this one and goes on from what is placed");
        }
        if !not_begun.is_empty() {
            say(&format!("not begun: job {}; `{again}` goes on from what is done", not_begun.join(", job ")));
        }
        if is_cut_off || !not_begun.is_empty() {
            exit = exit.worse(Exit::Incomplete);
        }
        Ok((exit, runs, images))
    }
}

/// What is to be run, and how.
pub(crate) struct Order<'a> {
    /// Where the file lies.
    pub(crate) path: &'a Path,
    /// The file, read once: what is run is what was looked at.
    pub(crate) file: JobFile,
    pub(crate) data: &'a DataFolder,
    pub(crate) slots: usize,
    /// The only job to run, or the name of the job that a file without `jobs` is.
    pub(crate) job: Option<&'a str>,
    pub(crate) wanted: Wanted,
    /// Whether a job of this name that was last run from another file must not be.
    pub(crate) is_namesake_refused: bool,
    pub(crate) take_over: bool,
    pub(crate) options: Options,
    pub(crate) retry_after: [Duration; 2],
}

/// Which images of a file are to be run.
pub(crate) enum Wanted {
    /// Those that are named.
    Only(Only),
    /// Of each job by its name, what was planned of it; nothing of the others.
    Planned(BTreeMap<String, Only>),
    /// What was not done right in this run, as far as these globs match.
    Undone { run: RunId, only_failed: bool, globs: Only },
    /// None but those that were placed, to be read back.
    Placed(Audit),
}

/// A run that has its report.
pub(crate) struct Done {
    pub(crate) run: Run,
    /// Whether no other job was to be run.
    pub(crate) is_only: bool,
    pub(crate) summary: Summary,
    pub(crate) report: PathBuf,
    /// The jobs that come after it, if it was stopped.
    pub(crate) not_begun: Vec<String>,
}

/// What a stop left to do.
#[derive(Default)]
pub(crate) struct Left {
    /// Whether a run was left open.
    is_cut_off: bool,
    /// Jobs of which there is no run.
    not_begun: Vec<String>,
}

/// Runs the jobs of a file one after the other, and hands each to `tell` when it has its report; says what is left if
/// it was stopped before all had theirs.
pub(crate) async fn mirror(
    order: Order<'_>,
    mut machine: Option<&mut Machine>,
    shutdown: &Shutdown,
    mut tell: impl FnMut(Done, Option<&mut Machine>) -> anyhow::Result<()>,
) -> anyhow::Result<Left> {
    let file = order.file;
    let told: Vec<String> = file.warnings.lines().collect();
    for warning in &told {
        warn(&format!("warning  {warning}"));
    }
    let jobs = files::jobs(&file, order.path, order.job)?;
    let path = files::absolute(order.path)?;
    order.wanted.refuse_idle(&jobs, &file)?;
    let client = Client::new(&file.access, order.options.clone())?;
    let factory = Factory::open(order.data, client, order.slots, order.retry_after).await?;
    if order.is_namesake_refused {
        for (name, _) in &jobs {
            factory.refuse_namesake(name, &path).await?;
        }
    }
    // Whether globs reach one job or several does not move the files of a report.
    let is_only = jobs.len() == 1;
    let jobs = order.wanted.settle(&factory, jobs).await?;
    for (at, (name, job, extent)) in jobs.iter().enumerate() {
        let names_from = |at| jobs.iter().skip(at).map(|(name, ..)| name.clone()).collect();
        if shutdown.drain.is_cancelled() {
            return Ok(Left { is_cut_off: false, not_begun: names_from(at) });
        }
        let (commit, started_by) = tokio::join!(git::commit_of(order.path, &file.files), files::user());
        let submission = Submission {
            job: name.clone(),
            path: path.clone(),
            commit,
            started_by,
            take_over: order.take_over,
            only: extent.text(),
        };
        let run = factory.run(&file, (job, extent), submission, machine.as_deref_mut(), shutdown).await;
        let run = run.with_context(|| format!("run with data folder `{}`", order.data.path().display()))?;
        let Some(run) = run else { return Ok(Left { is_cut_off: true, not_begun: names_from(at + 1) }) };
        let not_begun = if shutdown.drain.is_cancelled() { names_from(at + 1) } else { Vec::new() };
        let report = PathBuf::from(&run.report.as_ref().context("the run has no report")?.path);
        let mut summary = Summary::read(&report).with_context(|| format!("read report `{}`", report.display()))?;
        if machine.is_none() {
            summary.warnings.retain(|warning| !told.contains(warning));
        }
        tell(Done { run, is_only, summary, report, not_begun }, machine.as_deref_mut())?;
    }
    Ok(Left::default())
}

impl Wanted {
    /// Refuses globs that no repository of the jobs, which are those of the file or one of them, can match.
    fn refuse_idle(&self, jobs: &[(String, &Job)], file: &JobFile) -> Result<(), UsageError> {
        let (Self::Only(only) | Self::Undone { globs: only, .. }) = self else { return Ok(()) };
        let idle = only.idle_globs(jobs.iter().map(|(_, job)| *job));
        let Some(glob) = idle.first() else { return Ok(()) };
        let has_it = |other: &&Job| !only.idle_globs([*other]).contains(glob);
        let other = file.jobs.iter().find(has_it).and_then(|other| other.name.as_deref());
        Err(UsageError(match (jobs, other) {
            ([(name, _)], Some(other)) => {
                format!("`--only {glob}` matches no repository of job `{name}`; job `{other}` has it")
            }
            _ => format!(
                "`--only {glob}` matches no repository of the file: they are named in full, as in \
                 `docker.io/library/nginx:1.*`"
            ),
        }))
    }

    /// What that is of each of `jobs`, now that the factory has closed what was cut off; without those of which it is
    /// nothing.
    async fn settle<'f>(
        self,
        factory: &Factory,
        jobs: Vec<(String, &'f Job)>,
    ) -> anyhow::Result<Vec<(String, &'f Job, Extent)>> {
        let only = match self {
            Self::Placed(audit) => return verify::placed(factory, jobs, audit).await,
            Self::Planned(mut planned) => {
                let jobs = jobs.into_iter();
                return Ok(jobs
                    .filter_map(|(name, job)| planned.remove(&name).map(|only| (name, job, Extent::Listed(only))))
                    .collect());
            }
            Self::Only(only) => only,
            Self::Undone { run, only_failed, globs } => {
                let mut names = factory.undone(run, only_failed).await?;
                names.retain(|name| globs.matches(name));
                if names.is_empty() {
                    return Ok(Vec::new());
                }
                let mut what =
                    format!("what {} in run {}", if only_failed { "failed" } else { "was not done" }, run.short());
                if let Some(globs) = globs.text() {
                    what += &format!(", of {globs}");
                }
                let only = Only::named(what, names);
                if factory.is_audit(run).await? {
                    return verify::placed(factory, jobs, Audit { all: true, only }).await;
                }
                only
            }
        };
        let is_reached = |job: &Job| matches!(only, Only::All) || job.sources.iter().any(|s| only.reaches(&s.location));
        let reached = jobs.into_iter().filter(|(_, job)| is_reached(job));
        Ok(reached.map(|(name, job)| (name, job, Extent::Listed(only.clone()))).collect())
    }
}

/// Creates the folder for the report, writes into it, and looks at what lies there: a run of hours should not end with
/// a report that is lost.
fn prepare(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .and_then(|()| tempfile::tempfile_in(folder))
        .with_context(|| format!("write into report folder `{}`", folder.display()))?;
    report::run_in(folder).with_context(|| format!("look for an earlier report in `{}`", folder.display()))?;
    Ok(())
}
