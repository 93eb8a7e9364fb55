//! `report`: the report of a past run.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use coordinator::report::Summary;

use crate::cli::args::DataArgs;
use crate::exit::{Exit, UsageError};
use crate::records::Records;
use crate::summary;
use crate::text;

/// Show the report of a run again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct ReportArgs {
    /// The run, by a part of its name that no other has, or by its job, of which it is the newest; default: the newest.
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
    let run = Records::need(&args.data).await?.run(args.run.as_deref()).await?.run;
    let Some(report) = &run.report else {
        let run = run.id.short();
        let message = format!("run {run} has no report yet: `image-factory status {run}` tells how it stands");
        return Err(UsageError(message).into());
    };
    let path = PathBuf::from(&report.path);
    let context = || format!("read report `{}`", path.display());
    if args.json {
        let mut file = BufReader::new(File::open(&path).with_context(context)?);
        io::copy(&mut file, &mut text::stdout())?;
    } else {
        summary::print(&Summary::read(&path).with_context(context)?, &run, &args.data, &path, None)?;
    }
    Ok(Exit::Done)
}
