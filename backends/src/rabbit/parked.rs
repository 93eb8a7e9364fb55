//! Puts parked messages back into their lanes, as far as this release reads them.

use std::sync::Arc;
use std::time::Duration;

use lapin::message::Delivery as Message;
use lapin::options::BasicGetOptions;
use lapin::types::AMQPValue;
use tokio::time::sleep;

use super::held::Hold;
use super::link::{Link, Session};
use super::publisher::{LANE_HEADER, Publisher};
use super::topology::Queues;
use crate::queue::Lane;

/// The pause after a try that was broken off.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Takes up what is parked, once with each connection: so at the start of the process, and after the broker's.
pub(super) async fn take_up_always(link: Arc<Link>, publisher: Arc<Publisher>, queues: Queues) {
    loop {
        let session = link.session().await;
        match take_up(&session, &publisher, &queues).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::warn!("{count} messages that were parked can be read now, and are back in their lanes");
            }
            Err(error) => {
                tracing::warn!("take up messages from `{}`: {error}", queues.parked);
                sleep(TRY_AGAIN_AFTER).await;
                continue;
            }
        }
        link.replaced(&session).await;
    }
}

/// Looks at each message that lies there now; how many are back in their lanes.
async fn take_up(
    session: &Session,
    publisher: &Publisher,
    queues: &Queues,
) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
    let channel = session.open_channel().await?;
    let lie_there = queues.declare(&channel, &queues.parked).await?;
    let (mut count, mut unreadable) = (0, Vec::new());
    for _ in 0..lie_there {
        let Some(found) = channel.basic_get(queues.parked.clone(), BasicGetOptions::default()).await? else { break };
        let message = found.delivery;
        let read = lane(&message).and_then(|lane| Some((lane, lane.read(message.data).ok()?)));
        let hold = Hold::new(message.acker, channel.clone());
        match read {
            Some((lane, envelope)) => {
                publisher.publish(lane, &envelope).await?;
                hold.settle().await?;
                count += 1;
            }
            // Given back only at the end: it would be the next one again.
            None => unreadable.push(hold),
        }
    }
    Ok(count)
}

/// Where a parked message lay.
fn lane(message: &Message) -> Option<Lane> {
    let headers = message.properties.headers().as_ref()?;
    let Some(AMQPValue::LongString(name)) = headers.inner().get(LANE_HEADER) else { return None };
    Lane::ALL.into_iter().find(|lane| lane.as_str().as_bytes() == name.as_bytes())
}
