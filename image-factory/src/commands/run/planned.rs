//! `run --plan`: what a kept plan says, and nothing else.

use std::path::Path;

use coordinator::expand::Only;
use daemon::Shutdown;

use super::{Order, RunArgs, Wanted};
use crate::exit::{Exit, UsageError};
use crate::files;
use crate::plan::Plan;
use crate::progress::say;
use crate::text;

/// Creates and moves the tags that the plan at `path` creates and moves, each to the digest that it names. The job file
/// must be the one that was planned: what goes where is read from it, not from the plan.
pub(super) async fn run(args: &RunArgs, path: &Path, shutdown: &Shutdown) -> anyhow::Result<Exit> {
    let plan = Plan::read(path)?;
    let file = Path::new(&plan.file);
    let again = format!("`image-factory plan {} --out {}` makes a new one", plan.file, path.display());
    if plan.change.is_some() {
        return Err(UsageError(format!("`{}` compares two files and is not to be run: {again}", path.display())).into());
    }
    if files::load(file)?.digest != plan.file_digest {
        return Err(UsageError(format!("`{}` is not the file that was planned any more: {again}", plan.file)).into());
    }
    let images: Vec<_> = plan.written().map(|(source, digest)| (source.to_string(), digest.cloned())).collect();
    if images.is_empty() {
        say("the plan has nothing to do");
        return Ok(Exit::Done);
    }
    say(&format!(
        "{} of the plan made at {}, from {}",
        text::count(images.len() as u64, "image"),
        plan.made_at,
        plan.file
    ));
    let what = format!("the plan of {}", plan.made_at);
    let job = match &plan.jobs[..] {
        [only] => Some(only.job.as_str()),
        _ => None,
    };
    let data = args.way.prepare()?;
    let order = Order {
        wanted: Wanted::Only(Only::pinned(what, images)),
        is_namesake_refused: !args.way.take_over,
        ..args.way.order(file, &data, job)?
    };
    let again = format!("run --plan {}", path.display());
    args.way.carry_out(order, &again, shutdown).await.map(|(exit, _)| exit)
}
