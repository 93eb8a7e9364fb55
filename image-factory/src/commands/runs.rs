//! `runs`: past runs, newest first.

use std::io::Write;

use clap::Args;
use jiff::tz::TimeZone;
use proto::Outcome;

use crate::cli::args::DataArgs;
use crate::data::DataFolder;
use crate::exit::Exit;
use crate::records::Records;
use crate::text;

/// List past runs, newest first.
#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// How many.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
}

pub(crate) async fn run(args: RunsArgs) -> anyhow::Result<Exit> {
    let mut out = text::stdout();
    let Some(records) = Records::open(&args.data).await? else {
        writeln!(out, "no runs yet in `{}`", DataFolder::find(&args.data)?.path().display())?;
        return Ok(Exit::Done);
    };
    for seen in records.runs(args.limit).await? {
        let (run, state) = (&seen.run, seen.state());
        let started = run.started_at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
        let counted = Outcome::ALL.into_iter().filter(|outcome| run.counts.of(*outcome) > 0);
        let counts = counted.map(|outcome| format!("{} {outcome}", text::number(run.counts.of(outcome))));
        let mut counts: Vec<String> = counts.collect();
        if run.counts.tasks == 0 {
            counts.push("0 images".to_owned());
        }
        writeln!(out, "{}  {started}  {state:<11}  {}  {}", run.id.short(), run.job, counts.join(" · "))?;
    }
    Ok(Exit::Done)
}
