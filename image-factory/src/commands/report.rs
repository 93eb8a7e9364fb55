//! `report`: the report of a past run.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;

use anyhow::Context;
use backends::{Store, StoreError};
use clap::Args;
use coordinator::report::Summary;

use crate::cli::args::DataArgs;
use crate::data::DataFolder;
use crate::exit::{Exit, UsageError};
use crate::summary;
use crate::text;

/// Show the report of a run again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct ReportArgs {
    /// The run, or a part of its name that no other has; default: the newest.
    pub(crate) run: Option<String>,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Print the whole report as JSON instead of a summary.
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLE: &str = "\
Examples:
  image-factory report
  image-factory report 7f3a19c2 --json > report.json";

pub(crate) async fn run(args: ReportArgs) -> anyhow::Result<Exit> {
    let data = DataFolder::open(&args.data)?;
    let path = find(&args, &data).await?;
    let context = || format!("read report `{}`", path.display());
    if args.json {
        let mut file = BufReader::new(File::open(&path).with_context(context)?);
        io::copy(&mut file, &mut text::stdout())?;
    } else {
        summary::print(&Summary::read(&path).with_context(context)?, &path)?;
    }
    Ok(Exit::Done)
}

async fn find(args: &ReportArgs, data: &DataFolder) -> anyhow::Result<PathBuf> {
    let none = || UsageError(format!("there is no run in `{}` yet", data.path().display()));
    if !data.store().exists() {
        return Err(none().into());
    }
    let store = Store::open(&data.store()).await?;
    let run = match &args.run {
        Some(text) => match store.find_run(text).await {
            Err(error @ (StoreError::NoSuchRun(_) | StoreError::AmbiguousRun { .. })) => {
                return Err(UsageError(format!("{error}: see `image-factory runs`")).into());
            }
            found => found?,
        },
        None => store.runs(1).await?.pop().ok_or_else(none)?,
    };
    match run.report {
        Some(report) => Ok(report.path.into()),
        None => Err(UsageError(format!("run {} has no report yet: it is still open", run.id.short())).into()),
    }
}
