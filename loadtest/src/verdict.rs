//! The budgets of a mirror: how near ours comes to what is possible, and how far it leaves the others behind.

use crate::bench::Bench;
use crate::mirror::{Mirror, PHASES, Side};
use crate::replay::Plan;
use crate::table::Row;

/// Most of the limit that a first copy may take: blobs come from a source, and not from memory.
const LIMIT_MAX: f64 = 1.3;
/// Most of the best other tool's time, between registries that store in files, and between fast ones.
const BEST_MAX: [f64; 2] = [1.0 / 2.0, 1.0 / 3.0];
/// Most of the best other tool's time where nothing has changed.
const WARM_BEST_MAX: f64 = 1.0 / 2.0;
/// Most requests for a tag of a first copy, to both registries.
const REQUESTS_PER_TAG_MAX: f64 = 11.5;

/// The least seconds in which a destination can be filled, and a source be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) put: f64,
    pub(crate) read: f64,
}

/// Judges a first copy and one when nothing has changed; times only where they are long enough.
pub(crate) fn judge(
    bench: &mut Bench,
    mirror: Mirror,
    plan: &Plan,
    limit: &Limit,
    ours: &[Row; PHASES.len()],
    others: &[[Row; PHASES.len()]],
) {
    let title = mirror.title();
    let tags = (mirror.shape.repositories * mirror.shape.tags) as f64;
    let seconds = |row: &Row| row.median(|sample| sample.usage.seconds);
    let best = |phase: usize| others.iter().filter_map(|rows| seconds(&rows[phase])).min_by(f64::total_cmp);
    let [cold, warm, ..] = ours;
    if let Some(took) = seconds(cold).filter(|_| bench.size.is_judged) {
        let most = (limit.put + limit.read) * LIMIT_MAX;
        bench.judge(took <= most, || {
            format!("{title}: cold took {took:.1} s, more than {most:.1} s by the replay limit")
        });
        if let Some(best) = best(0) {
            let most = best * BEST_MAX[usize::from(mirror.side == Side::Sandbox)];
            bench.judge(took <= most, || {
                format!("{title}: cold took {took:.1} s, more than {most:.1} s beside {best:.1} s of the best other")
            });
        }
    }
    if let (Some(took), Some(best)) = (seconds(warm).filter(|_| bench.size.is_judged), best(1)) {
        bench.judge(took <= best * WARM_BEST_MAX, || {
            format!("{title}: warm took {took:.2} s, more than half of {best:.2} s of the best other")
        });
    }
    let most = tags * REQUESTS_PER_TAG_MAX;
    let asked = cold.median(|sample| (sample.source.asked() + sample.destination.asked()) as f64);
    if let Some(asked) = asked.filter(|_| bench.size.is_judged) {
        bench.judge(asked <= most, || format!("{title}: cold took {asked} requests, more than {most}"));
    }
    let sides = [("came from the source", 0), ("went to the destination", 1)];
    for (what, side) in sides {
        let bytes = cold.median(|sample| [sample.source.blob_bytes_out, sample.destination.blob_bytes_in][side] as f64);
        let unique = plan.blob_bytes() as f64;
        bench.judge(bytes.is_none_or(|bytes| bytes == unique), || {
            format!("{title}: {} bytes of blobs {what}, of {unique} unique ones", bytes.unwrap_or_default())
        });
    }
    judge_warm(bench, mirror, warm);
}

/// A question for each tag, a list for each repository, and the greeting.
pub(crate) fn judge_warm(bench: &mut Bench, mirror: Mirror, warm: &Row) {
    let most = ((mirror.shape.tags + 1) * mirror.shape.repositories + 2) as f64;
    if let Some(asked) = warm.median(|sample| sample.source.asked() as f64) {
        bench.judge(asked <= most, || {
            format!("{}: {asked} requests to the source when nothing has changed, more than {most}", mirror.title())
        });
    }
}
