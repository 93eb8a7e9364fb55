//! The last of several destinations does not hold up what is known of the others.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use proto::outcome::End;
use tokio::time::timeout;

/// How all deliveries end, in their order. The last of several, once it has been alone for `grace`, is given back, to be
/// continued without the others: what they did is recorded now.
pub(crate) async fn side_by_side<T>(
    deliveries: impl Iterator<Item = impl Future<Output = Result<T, End>>>,
    grace: Duration,
) -> Vec<Result<T, End>> {
    let numbered = deliveries.enumerate().map(async |(number, delivery)| (number, delivery.await));
    let mut under_way: FuturesUnordered<_> = numbered.collect();
    let several = under_way.len() > 1;
    let mut ends: Vec<Result<T, End>> = (0..under_way.len()).map(|_| Err(End::INTERRUPTED)).collect();
    while !under_way.is_empty() {
        let is_last = several && under_way.len() == 1;
        let next = under_way.next();
        let ended = if is_last { timeout(grace, next).await.ok() } else { Some(next.await) };
        let Some(Some((number, end))) = ended else { break };
        ends[number] = end;
    }
    ends
}
