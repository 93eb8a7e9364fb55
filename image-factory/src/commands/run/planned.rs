//! `run --plan`: what a kept plan says, and nothing else.

use std::collections::BTreeMap;
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

/// Creates and moves the tags that the plan at `path` creates and moves, from the digests that it names. The job file
/// must be the one that was planned: what goes where is read from it, not from the plan.
pub(super) async fn run(args: &RunArgs, path: &Path, shutdown: &Shutdown) -> anyhow::Result<Exit> {
    let plan = Plan::read(path)?;
    let at = Path::new(&plan.file);
    let again = format!("`image-factory plan {} --out {}` makes a new one", plan.file, path.display());
    if plan.change.is_some() {
        return Err(UsageError(format!("`{}` compares two files and is not to be run: {again}", path.display())).into());
    }
    let file = files::load(at)?;
    if file.digest != plan.file_digest {
        return Err(UsageError(format!("`{}` is not the file that was planned any more: {again}", plan.file)).into());
    }
    let (what, mut images) = (format!("the plan of {}", plan.made_at), 0);
    let mut planned = BTreeMap::new();
    for job in &plan.jobs {
        let written: Vec<_> = job.written().collect();
        images += written.len() as u64;
        if !written.is_empty() {
            planned.insert(job.job.clone(), Only::pinned(what.clone(), written));
        }
    }
    if planned.is_empty() {
        say("the plan has nothing to do");
        return Ok(tell_left_out(&plan));
    }
    say(&format!("{} of the plan made at {}, from {}", text::count(images, "image"), plan.made_at, plan.file));
    let data = args.way.prepare()?;
    let order = Order {
        wanted: Wanted::Planned(planned),
        is_namesake_refused: plan.job.is_none() && !args.way.take_over,
        ..args.way.order(at, file, &data, plan.job.as_deref())?
    };
    let again = format!("run --plan {}", path.display());
    let (exit, ..) = args.way.carry_out(order, &again, shutdown).await?;
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
