//! `retry`: what was not done right in a run, once more.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use backends::store::Run;
use clap::Args;
use coordinator::expand::Only;
use daemon::Shutdown;

use crate::commands::run::{Order, Wanted, WayArgs};
use crate::exit::{Exit, UsageError};
use crate::files;
use crate::progress::{say, warn};
use crate::records::Records;
use crate::text;

/// Run again what was not done right: images that failed, were postponed or cancelled, and repositories that could not be listed.
///
/// It is a new run of the same job, from its file as it is now; images that the file no longer takes are named and left out.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RetryArgs {
    /// The run, by a part of its name that no other has, or by its job, of which it is the newest; default: the newest.
    pub(crate) run: Option<String>,

    /// Leave out what was postponed or cancelled.
    #[arg(long)]
    pub(crate) failed: bool,

    #[command(flatten)]
    pub(crate) way: WayArgs,
}

const EXAMPLES: &str = "\
Examples:
  image-factory retry
  image-factory retry 7f3a8899 --failed --only 'quay.io/*'";

pub(crate) async fn run(args: RetryArgs) -> anyhow::Result<Exit> {
    let shutdown = Shutdown::on_signals().context("listen for signals")?;
    let globs = Only::matching(&args.way.only).map_err(UsageError)?;
    let records = Records::need(&args.way.data).await?;
    let run = records.run(args.run.as_deref()).await?.run;
    let (id, path) = (run.id.short(), Path::new(&run.file_path));
    if !path.is_file() {
        let message = format!("the file of run {id}, `{}`, is not there any more", run.file_path);
        return Err(UsageError(message).into());
    }
    if !run.expanded && !args.failed {
        let (file, data) = (&run.file_path, args.way.data.as_flag());
        return Err(UsageError(format!(
            "run {id} was stopped before it knew all its images: `image-factory run {file}{data}` takes all, and goes \
             on from what is done"
        ))
        .into());
    }
    let file = files::load(path)?;
    if file.digest != run.file_digest {
        warn(&format!("the file has changed since run {id}: it is taken as it is now"));
    }
    say(&format!("retrying run {id} of job {}, from {}", run.job, run.file_path));
    if args.run.is_none() {
        records.others(&run).await?.iter().for_each(|other| say(other));
    }
    let data = args.way.prepare()?;
    let order = Order {
        wanted: Wanted::Undone { run: run.id, only_failed: args.failed, globs },
        ..args.way.order(path, file, &data, Some(&run.job))?
    };
    let (exit, runs, _) = args.way.carry_out(order, &format!("retry {id}"), &shutdown).await?;
    if runs > 0 || exit != Exit::Done {
        return Ok(exit);
    }
    // Read anew: what was cut off is closed only now.
    let run = records.store.run(run.id).await?;
    let (nothing, exit) = args.nothing(&run);
    if args.way.json {
        say(&nothing);
    } else {
        writeln!(text::stdout(), "{nothing}")?;
    }
    Ok(exit)
}

impl RetryArgs {
    /// Why there is nothing to run, and how that ends.
    fn nothing(&self, run: &Run) -> (String, Exit) {
        let id = run.id.short();
        let named = if self.way.only.is_empty() { "" } else { " of what `--only` names" };
        let left_out: Vec<String> = [(run.counts.cancelled, "cancelled"), (run.counts.postponed, "postponed")]
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{} {word}", text::number(count)))
            .collect();
        match (self.failed && !left_out.is_empty(), named) {
            (true, _) => {
                let (left_out, data) = (left_out.join(" and "), self.way.data.as_flag());
                let text = format!(
                    "nothing to retry: nothing{named} failed in run {id}; {left_out} are left out by `--failed`\n\
                     next     image-factory retry {id}{data}"
                );
                (text, Exit::Incomplete)
            }
            (false, "") => (format!("nothing to retry: all that was wanted of run {id} is done"), Exit::Done),
            (false, _) => (format!("nothing to retry: nothing{named} is left to do in run {id}"), Exit::Done),
        }
    }
}
