//! The budgets of a mirror: how near ours comes to what is possible, and how far it leaves the others behind.

use sandbox::content::Bench as Shape;

use crate::bench::{Bench, FULL};
use crate::mirror::{Mirror, Phases, Side};
use crate::replay::Plan;
use crate::sample::Sample;
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

/// Judges a first copy and one when nothing has changed; all but the full size shows only how they stand.
pub(crate) fn judge(bench: &mut Bench, mirror: Mirror, plan: &Plan, limit: &Limit, ours: &Phases, others: &[Phases]) {
    judge_warm(bench, mirror, &ours[1]);
    if !bench.size.is_judged || mirror.shape != FULL.mirror {
        return;
    }
    let title = mirror.title();
    let seconds = |row: &Row| row.median(|sample| sample.usage.seconds);
    let best = |phase: usize| others.iter().filter_map(|rows| seconds(&rows[phase])).min_by(f64::total_cmp);
    let [cold, warm, ..] = ours;
    if let Some(took) = seconds(cold) {
        let most = (limit.put + limit.read) * LIMIT_MAX;
        bench.judge(took <= most, || format!("{title}: cold took {took:.1} s, more than {most:.1} s by the limit"));
    }
    let shares = [
        ("cold", cold, best(0), BEST_MAX[usize::from(mirror.side == Side::Sandbox)]),
        ("warm", warm, best(1), WARM_BEST_MAX),
    ];
    for (phase, row, best, share) in shares {
        let Some((took, best)) = seconds(row).zip(best) else { continue };
        bench.judge(took <= best * share, || {
            format!(
                "{title}: {phase} took {took:.2} s, more than {:.2} s beside {best:.2} s of the best other",
                best * share
            )
        });
    }
    let most = (mirror.shape.repositories * mirror.shape.tags) as f64 * REQUESTS_PER_TAG_MAX;
    if let Some(asked) = cold.median(|sample| (sample.source.asked() + sample.destination.asked()) as f64) {
        bench.judge(asked <= most, || format!("{title}: cold took {asked} requests, more than {most}"));
    }
    let unique = plan.blob_bytes() as f64;
    let bytes = [
        ("came from the source", cold.median(|sample| sample.source.blob_bytes_out as f64)),
        ("went to the destination", cold.median(|sample| sample.destination.blob_bytes_in as f64)),
    ];
    for (what, bytes) in bytes.into_iter().filter_map(|(what, bytes)| Some((what, bytes?))) {
        bench.judge(bytes == unique, || format!("{title}: {bytes} bytes of blobs {what}, of {unique} unique ones"));
    }
}

/// A question for each tag, a list for each repository, and the greeting; where listings say digests, no tag is asked
/// for, of either side.
pub(crate) fn judge_warm(bench: &mut Bench, mirror: Mirror, warm: &Row) {
    let Shape { repositories, tags, .. } = mirror.shape;
    let (most, sides) = match mirror.vendor {
        Some(_) => (2 * repositories + 10, "both registries"),
        None => ((tags + 1) * repositories + 2, "the source"),
    };
    let asked = |sample: &Sample| match mirror.vendor {
        Some(_) => sample.source.asked() + sample.destination.asked(),
        None => sample.source.asked(),
    };
    if let Some(asked) = warm.median(|sample| asked(sample) as f64) {
        bench.judge(asked <= most as f64, || {
            format!("{}: {asked} requests to {sides} when nothing has changed, more than {most}", mirror.title())
        });
    }
}
