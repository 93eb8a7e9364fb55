//! The queues of a factory and their arguments: what an operator finds on the broker, in one place.
//!
//! | queue | holds | leaves it |
//! |---|---|---|
//! | `PREFIX.tasks` | tasks for workers | acked, or after `limits::DELIVERIES_MAX` deliveries to `PREFIX.dead-tasks` |
//! | `PREFIX.results` | results for the coordinator | acked |
//! | `PREFIX.dead-tasks` | tasks that nobody acked, for the coordinator | acked |
//! | `PREFIX.parked` | what this release cannot read | back to its lane, once a release starts that reads it |
//!
//! All are quorum queues, reached by their names through the default exchange.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ErrorKind};
use proto::limits;

use super::cause;
use crate::queue::Lane;

/// A queue refuses to be declared with other arguments than it has, so a change of any of these wants new queues.
type Arguments = &'static [(&'static str, Argument)];

enum Argument {
    Text(&'static str),
    Number(i64),
    /// The name of a lane's queue.
    QueueOf(Lane),
}
use Argument::{Number, QueueOf, Text};

/// How often a message may come back. The broker counts from the second delivery on.
const RETURNS_MAX: i64 = limits::DELIVERIES_MAX as i64 - 1;

/// For what is delivered until it is acked: the broker's own limit is 20 from release 4 on, and "none" is written in
/// another way there than before.
const UNLIMITED: i64 = 1_000_000_000;

/// How long a worker may hold a task: it may wait for as long as another attempt runs, and then run as long itself.
/// Brokers from 3.12 on read this; older ones have 30 minutes for all queues, unless their operator says otherwise.
const HOLD_MAX: Duration = Duration::from_secs(60 * 60);
const _: () = assert!(HOLD_MAX.as_secs() >= 2 * limits::ATTEMPT_DEADLINE.as_secs());

const TASKS: Arguments = &[
    ("x-queue-type", Text("quorum")),
    ("x-delivery-limit", Number(RETURNS_MAX)),
    ("x-consumer-timeout", Number(HOLD_MAX.as_millis() as i64)),
    ("x-dead-letter-exchange", Text("")),
    ("x-dead-letter-routing-key", QueueOf(Lane::DeadTasks)),
    // So that no dead letter is lost between two queues; the broker wants both, and no length is limited.
    ("x-dead-letter-strategy", Text("at-least-once")),
    ("x-overflow", Text("reject-publish")),
];
const OTHERS: Arguments = &[("x-queue-type", Text("quorum")), ("x-delivery-limit", Number(UNLIMITED))];

/// The names of a factory's queues.
#[derive(Debug, Clone)]
pub(super) struct Queues {
    tasks: ShortString,
    results: ShortString,
    dead_tasks: ShortString,
    /// What cannot be read.
    pub(super) parked: ShortString,
}

impl Queues {
    pub(super) fn new(prefix: &str) -> Self {
        let named = |name: &str| ShortString::from(format!("{prefix}.{name}"));
        Self {
            tasks: named(Lane::Tasks.as_str()),
            results: named(Lane::Results.as_str()),
            dead_tasks: named(Lane::DeadTasks.as_str()),
            parked: named("parked"),
        }
    }

    pub(super) fn of(&self, lane: Lane) -> &ShortString {
        match lane {
            Lane::Tasks => &self.tasks,
            Lane::Results => &self.results,
            Lane::DeadTasks => &self.dead_tasks,
        }
    }

    /// Makes the queues that are not there; on a channel of its own, because a refusal closes it.
    ///
    /// # Errors
    /// Says which queue is refused, why, and what to do.
    pub(super) async fn declare_all(&self, connection: &Connection) -> Result<(), String> {
        let channel = connection.create_channel().await;
        let channel = channel.map_err(|error| format!("open a channel: {}", cause(&error)))?;
        // The one to which dead letters go is there before they come.
        for queue in [&self.dead_tasks, &self.results, &self.parked, &self.tasks] {
            self.declare(&channel, queue).await.map_err(|error| refusal(queue, &error))?;
        }
        Ok(())
    }

    /// How many messages of a queue nobody holds. If somebody has deleted it, it is made again.
    pub(super) async fn declare(&self, channel: &Channel, queue: &ShortString) -> lapin::Result<u32> {
        let arguments = self.table(if *queue == self.tasks { TASKS } else { OTHERS });
        Ok(channel.queue_declare(queue.clone(), QueueDeclareOptions::durable(), arguments).await?.message_count())
    }

    fn table(&self, arguments: Arguments) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, argument) in arguments {
            let value = match argument {
                Text(text) => AMQPValue::LongString((*text).into()),
                Number(number) => AMQPValue::LongLongInt(*number),
                QueueOf(lane) => AMQPValue::LongString(self.of(*lane).as_str().into()),
            };
            table.insert((*name).into(), value);
        }
        table
    }
}

fn refusal(queue: &ShortString, error: &lapin::Error) -> String {
    let is_other = matches!(error.kind(), ErrorKind::ProtocolError(error)
        if *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED));
    let advice = if is_other {
        "; it was made with other arguments than this release gives it: let it run empty and delete it, or choose another \
         prefix"
    } else {
        ""
    };
    format!("declare queue `{queue}`: {}{advice}", cause(error))
}
