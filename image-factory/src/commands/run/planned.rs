//! `run --plan`: what a kept plan says, and nothing else.

use std::path::Path;

use coordinator::expand::Only;
use daemon::Shutdown;
use jobfile::printable;

use super::{Order, RunArgs, Wanted};
use crate::exit::{Exit, UsageError};
use crate::files;
use crate::plan::{Action, Plan};
use crate::progress::say;
use crate::text;

/// What is left out is named up to this many.
const NAMED: usize = 20;

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
        return Ok(tell_left_out(&plan));
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
    let (exit, _) = args.way.carry_out(order, shutdown).await?;
    // At the end, where it is read: the run's own report does not know of it.
    Ok(exit.worse(tell_left_out(&plan)))
}

/// Names what the plan could not do: nothing of it was tried.
fn tell_left_out(plan: &Plan) -> Exit {
    let left_out = plan.left_out();
    if left_out.is_empty() {
        return Exit::Done;
    }
    say(&format!("left out, since the plan could not do it: {}", text::number(left_out.len() as u64)));
    for (action, what) in left_out.iter().take(NAMED) {
        say(&format!("  {}  {}", action.as_str(), printable(what)));
    }
    if left_out.len() > NAMED {
        say(&format!("  and {} more: the plan has all", left_out.len() - NAMED));
    }
    let has_failed = left_out.iter().any(|(action, _)| *action == Action::Fail);
    if has_failed { Exit::Failed } else { Exit::Incomplete }
}
