//! `runs`: past runs, newest first.

use std::io::Write;

use clap::Args;
use jiff::tz::TimeZone;
use proto::Outcome;

use crate::cli::args::DataArgs;
use crate::data::DataFolder;
use crate::exit::{Exit, UsageError};
use crate::records::Records;
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
    let mut out = text::stdout();
    let data = DataFolder::find(&args.data)?;
    if !data.path().is_dir() {
        return Err(UsageError(format!("there is no data folder `{}`", data.path().display())).into());
    }
    let Some(records) = Records::open(&args.data).await? else {
        writeln!(out, "no runs yet in `{}`", data.path().display())?;
        return Ok(Exit::Done);
    };
    for seen in records.runs(args.limit).await? {
        let (run, state) = (&seen.run, seen.state());
        let started = run.started_at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
        let unlisted = if run.counts.failed > 0 { records.store.unlisted(run.id).await? } else { 0 };
        let outcomes = Outcome::ALL.into_iter().map(|outcome| match outcome {
            Outcome::Failed => (run.counts.failed.saturating_sub(unlisted), outcome.to_string()),
            _ => (run.counts.of(outcome), outcome.to_string()),
        });
        let counted = outcomes.chain([(unlisted, "unlisted".to_owned())]).filter(|(count, _)| *count > 0);
        let mut counts: Vec<String> = counted.map(|(count, word)| format!("{} {word}", text::number(count))).collect();
        if run.counts.tasks == 0 {
            counts.push("0 images".to_owned());
        } else if run.ended.is_none() {
            let (done, all) = (run.counts.done(), run.counts.tasks.saturating_sub(unlisted));
            let more = if run.expanded { "" } else { ", more may come" };
            counts.push(format!(
                "{} of {} done{more}",
                text::number(done.saturating_sub(unlisted)),
                text::count(all, "image")
            ));
        }
        writeln!(out, "{}  {started}  {state:<11}  {}  {}", run.id.short(), run.job, counts.join(" · "))?;
    }
    Ok(Exit::Done)
}
