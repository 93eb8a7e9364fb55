//! `run --plan`: what a kept plan says, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use coordinator::expand::Only;
use daemon::Shutdown;

use super::{Order, RunArgs, Wanted};
use crate::exit::{Exit, UsageError};
use crate::files;
use crate::plan::{Action, Plan};
use crate::progress::{say, warn};
use crate::text;

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
    tell_left_out(&plan);
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
        return Ok(Exit::Done);
    }
    say(&format!("{} of the plan made at {}, from {}", text::count(images, "image"), plan.made_at, plan.file));
    let data = args.way.prepare()?;
    let order = Order {
        wanted: Wanted::Planned(planned),
        is_namesake_refused: plan.job.is_none() && !args.way.take_over,
        ..args.way.order(at, file, &data, plan.job.as_deref())?
    };
    let again = format!("run --plan {}", path.display());
    args.way.carry_out(order, &again, shutdown).await.map(|(exit, _)| exit)
}

/// What the plan could not do then is not tried now, and is in no report.
fn tell_left_out(plan: &Plan) {
    let parts = [
        (plan.count(Action::Fail), "would fail"),
        (plan.count(Action::Wait), "would wait"),
        (plan.failed(), "could not be listed"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let parts: Vec<String> = parts.collect();
    if !parts.is_empty() {
        warn(&format!("warning  the plan leaves out what it could not do: {}", parts.join(", ")));
    }
}
