//! A registry that takes so many requests per second, and answers more by 429: how much of that is used, and how often
//! it is asked for too much.

use anyhow::{Context, Result};

use crate::bench::{Bench, remove};
use crate::nights::AS_WE_DO;
use crate::nights::options;
use crate::table::{Row, head};
use crate::tool::Tool;

/// What the destination takes.
const PER_SECOND: usize = 20;

/// And this at once.
const BURST: usize = 5;

/// Requests per second that are to be accepted at least.
const ACCEPTED_MIN: f64 = 17.0;

/// Of all requests, those that may be refused.
const REFUSED_MAX: f64 = 0.02;

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let tags = bench.size.tags_limited;
    let title = format!("{tags} tags, {PER_SECOND} requests/s, burst {BURST}");
    println!("{}", head(&title));
    let mut source = bench.serve("source", false, &options(&[("--tags", tags)]))?;
    let limit = options(&[("--requests-per-second", PER_SECOND), ("--burst", BURST)]);
    let mut destination = bench.serve("destination", false, &limit)?;
    let folder = bench.path("limits");
    remove(&folder)?;
    std::fs::create_dir(&folder).with_context(|| format!("create `{}`", folder.display()))?;
    let program = bench.program(Tool::Ours.name())?;
    let command = Tool::Ours.mirror(&program, &folder, [&source, &destination], &["library/app-00"], &AS_WE_DO)?;
    let mut row = Row::new(Tool::Ours, "run, limited destination".to_owned());
    // Fails if an image does.
    bench.measure(&mut row, &command, [&mut source, &mut destination])?;
    bench.print(&row);
    let Some(sample) = row.samples.first() else { return Ok(()) };
    let (asked, refused) = (sample.destination.asked() as f64, sample.destination.refused as f64);
    let (accepted, share) = ((asked - refused) / sample.usage.seconds, refused / asked);
    println!("    accepted {accepted:.1}/s, refused {refused} of {asked}: {:.1} %", share * 100.0);
    let is_judged = bench.size.is_judged;
    bench.judge(!is_judged || accepted >= ACCEPTED_MIN, || {
        format!("{title}: {accepted:.1} were accepted each second, fewer than {ACCEPTED_MIN}")
    });
    bench.judge(!is_judged || share <= REFUSED_MAX, || {
        format!("{title}: {:.1} % were refused, more than {:.0}", share * 100.0, REFUSED_MAX * 100.0)
    });
    Ok(())
}
