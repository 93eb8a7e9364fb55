//! `limits`: how much is asked of a registry.

use std::time::Duration;

use proto::settings::{Limits, PullLimit};

use crate::fault::RuleId;
use crate::keys;
use crate::quantities::{bandwidth, duration};
use crate::tree::Node;
use crate::walk::Walk;

/// Most requests at once that may be asked for: one process has not many more connections to give.
pub(crate) const CONCURRENCY_MAX: u32 = 1_000;

/// Most requests per second that may be asked for: no registry bears more from one account.
pub(crate) const RATE_MAX: u32 = 100_000;

/// Most pulls that may be counted.
pub(crate) const PULLS_MAX: u32 = 10_000_000;

/// In which time pulls are counted, if the file does not say it: as Docker Hub does.
const PER: Duration = Duration::from_secs(6 * 3600);

/// Reads `limits`.
pub(super) fn read(walk: &mut Walk, node: &Node) -> Limits {
    let Some(fields) = walk.filled(node, &keys::LIMITS) else { return Limits::default() };
    let mut number = |key, most| walk.number(fields.get(key)?, &format!("`{key}`"), 1..=most);
    let concurrency = number("concurrency", CONCURRENCY_MAX);
    let requests_per_second = number("requests_per_second", RATE_MAX);
    let manifest_writes_per_second = number("manifest_writes_per_second", RATE_MAX);
    Limits {
        concurrency,
        requests_per_second,
        manifest_writes_per_second,
        bandwidth: fields.get("bandwidth").and_then(|node| bandwidth(walk, node, "`bandwidth`")),
        pulls: fields.get("pulls").and_then(|node| pulls(walk, node)),
    }
}

fn pulls(walk: &mut Walk, node: &Node) -> Option<PullLimit> {
    let fields = walk.filled(node, &keys::PULLS)?;
    let count = fields.get("count").and_then(|node| walk.number(node, "`count`", 1..=PULLS_MAX));
    let per = fields.get("per").map(|node| duration(walk, node, "`per`"));
    let keep_free = fields.get("keep_free").and_then(|node| walk.number(node, "`keep_free`", 0..=PULLS_MAX));
    if let (Some(node), None, None) = (fields.get("per"), fields.get("count"), fields.get("keep_free")) {
        let mend = "write how many, as in `pulls: { count: 100, per: 6h, keep_free: 50 }`";
        walk.fault(node.position, RuleId::Value, "`per` limits nothing alone", mend);
    }
    if let (Some(node), Some(count), Some(kept)) = (fields.get("keep_free"), count, keep_free)
        && kept >= count
    {
        let message = format!("`count` is {count} and `keep_free` is {kept}: no pull is left for us");
        walk.fault(node.position, RuleId::Value, message, "write a `keep_free` below `count`");
    }
    Some(PullLimit { count, per: per.unwrap_or(Some(PER))?, keep_free: keep_free.unwrap_or(0) })
}
