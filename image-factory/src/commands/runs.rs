//! `runs`: past runs, newest first.

use std::io::Write;

use backends::Store;
use clap::Args;
use jiff::tz::TimeZone;
use proto::Outcome;

use crate::cli::args::DataArgs;
use crate::data::DataFolder;
use crate::exit::Exit;
use crate::text;

/// List past runs, newest first.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct RunsArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// How many.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
}

const EXAMPLE: &str = "\
Example:
  image-factory runs --limit 5";

pub(crate) async fn run(args: RunsArgs) -> anyhow::Result<Exit> {
    let data = DataFolder::open(&args.data)?;
    let mut out = text::stdout();
    if !data.store().exists() {
        writeln!(out, "no runs yet in `{}`", data.path().display())?;
        return Ok(Exit::Done);
    }
    let store = Store::open(&data.store()).await?;
    for run in store.runs(args.limit).await? {
        let started = run.started_at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
        let end = run.ended.map_or("open", |(end, _)| end.as_str());
        let counted = Outcome::ALL.into_iter().filter(|outcome| run.counts.of(*outcome) > 0);
        let counts: Vec<String> = counted.map(|outcome| format!("{} {outcome}", run.counts.of(outcome))).collect();
        writeln!(out, "{}  {started}  {end:<11}  {}  {}", run.id.short(), run.job, counts.join(" · "))?;
    }
    Ok(Exit::Done)
}
