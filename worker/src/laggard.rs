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

#[cfg(test)]
mod tests {
    use std::future;

    use futures_util::FutureExt;

    use super::*;

    type Ended = Result<u8, End>;

    #[tokio::test]
    async fn the_last_of_several_is_given_back_after_the_grace_whichever_it_is() {
        for last in 0..3 {
            let delivery = |number| match number == last {
                true => future::pending::<Ended>().boxed(),
                false => future::ready(Ok(number)).boxed(),
            };
            let ends = side_by_side((0..3).map(delivery), Duration::ZERO).await;
            let expected = (0..3).map(|number| if number == last { Err(End::INTERRUPTED) } else { Ok(number) });
            assert_eq!(ends, expected.collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn nobody_is_given_back_while_another_is_busy_too() {
        let two = [future::pending::<Ended>().boxed(), future::pending().boxed(), future::ready(Ok(1)).boxed()];
        let ends = side_by_side(two.into_iter(), Duration::ZERO);
        assert!(timeout(Duration::from_millis(20), ends).await.is_err());
    }

    #[tokio::test]
    async fn the_only_one_may_take_its_time() {
        let slow = async {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(1)
        };
        assert_eq!(side_by_side(std::iter::once(slow), Duration::ZERO).await, [Ok(1)]);
    }
}
