//! `verify`: read back what was placed, and mend what is missing.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use coordinator::Extent;
use coordinator::audit::Audit;
use coordinator::expand::Only;
use daemon::Shutdown;
use jobfile::Job;

use crate::commands::run::{Order, Wanted, WayArgs};
use crate::embedded::Factory;
use crate::exit::{Exit, UsageError};
use crate::files;
use crate::progress::say;
use crate::text;

/// Read back what was placed: tag, manifests, every blob, signatures and other referrers. What is missing is sent again from its source, or reported if the source is gone.
///
/// Nothing is listed, nothing new is copied, and no tag moves but one that does not show what was placed. Each run verifies a
/// sample on its own; without `--all` this does the same at once: what was verified least recently. What was placed and
/// the file no longer takes is verified too. Exit code 1: something is missing for good.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// The job file.
    pub(crate) file: PathBuf,

    /// Verify all that was placed; `--only` matches images by their sources, whether the file still takes them or not.
    #[arg(long)]
    pub(crate) all: bool,

    /// The only job of the file to verify, or the name with which a file without `jobs` was run.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) job: Option<String>,

    #[command(flatten)]
    pub(crate) way: WayArgs,
}

const EXAMPLES: &str = "\
Examples:
  image-factory verify first.yaml
  image-factory verify first.yaml --all --only 'docker.io/library/nginx'";

pub(crate) async fn run(args: VerifyArgs) -> anyhow::Result<Exit> {
    let shutdown = Shutdown::on_signals().context("listen for signals")?;
    let VerifyArgs { file: path, all, job, way } = args;
    let only = Only::matching(&way.only).map_err(UsageError)?;
    let data = way.prepare()?;
    let order = Order {
        wanted: Wanted::Placed(Audit { all, only }),
        is_namesake_refused: job.is_none(),
        ..way.order(&path, files::load(&path)?, &data, job.as_deref())?
    };
    let flags: String = way.only.iter().map(|glob| format!(" --only '{glob}'")).collect();
    let flags = if all { format!(" --all{flags}") } else { flags };
    let command = format!("verify {}{flags}", path.display());
    let (exit, runs, _) = way.carry_out(order, &command, &shutdown).await?;
    if runs > 0 || exit != Exit::Done {
        return Ok(exit);
    }
    let folder = data.path().display();
    Err(UsageError(match way.only.as_slice() {
        [] => format!("nothing to verify: data folder `{folder}` knows of nothing that was placed"),
        globs => format!(
            "nothing to verify: nothing that was placed matches `--only {}`; images are named by their sources in \
             full, as in `docker.io/library/nginx:1.*`",
            globs.join(", ")
        ),
    })
    .into())
}

/// The jobs that have placed something which is to be read back.
pub(super) async fn placed<'f>(
    factory: &Factory,
    jobs: Vec<(String, &'f Job)>,
    audit: Audit,
) -> anyhow::Result<Vec<(String, &'f Job, Extent)>> {
    let mut found = Vec::new();
    for (name, job) in jobs {
        let placed = factory.placed(&name, &audit).await?;
        if placed > 0 {
            if !audit.all {
                let placed = text::count(placed as u64, "tag");
                say(&format!(
                    "job {name} placed {placed}: those verified least recently are read back, with --all all"
                ));
            }
            found.push((name, job, Extent::Placed(audit.clone())));
        } else if matches!(audit.only, Only::All) {
            say(&format!("job {name} has placed nothing yet"));
        }
    }
    Ok(found)
}
