//! Attempts by script, and the registry that they write to.

use std::collections::BTreeMap;
use std::time::Duration;

use backends::Delivery;
use proto::failure::{Class, Code};
use proto::outcome::{DestinationResult, End};
use proto::task::{Destination, Fingerprint, Mirror, TaskKind};
use proto::{Digest, Failure, Location, Task, TaskId, TaskResult};

/// What sources and destinations show.
#[derive(Default)]
pub(super) struct Registry {
    /// How often each source moved.
    pub(super) moves: BTreeMap<Location, u32>,
    pub(super) tags: BTreeMap<Location, Written>,
}

/// What a tag shows, and by whom.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) digest: Digest,
    pub(super) by: (TaskId, proto::Attempt),
    /// Whether that was the present attempt of an open task: of what others write the Store may never hear.
    pub(super) by_present_attempt: bool,
}

/// A task in a worker's hands.
pub(super) struct Attempting {
    /// None if it was cut off from the Queue, which delivers the message to another one.
    delivery: Option<Delivery>,
    pub(super) task: Task,
    /// What the tags showed when it began.
    seen: Vec<Option<Digest>>,
}

/// How an attempt is meant to end at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Place,
    Fail(Class),
    Defer(Duration),
    Interrupt,
}

impl Script {
    pub(super) fn random(random: &mut fastrand::Rng) -> Self {
        match random.u8(0..12) {
            0 => Self::Fail(Class::Reject),
            1..=3 => Self::Fail(Class::Retry),
            4 => Self::Defer(Duration::from_secs(random.u64(1..120))),
            5 => Self::Defer(Duration::from_secs(random.u64(1..20) * 600)),
            6 => Self::Interrupt,
            _ => Self::Place,
        }
    }
}

impl Attempting {
    pub(super) fn begin(delivery: Delivery, registry: &Registry) -> Self {
        let task = delivery.envelope().task().unwrap();
        let shown = |to: &Destination| registry.tags.get(&to.location).map(|written| written.digest.clone());
        let seen = mirror(&task).destinations.iter().map(shown).collect();
        Self { delivery: Some(delivery), task, seen }
    }

    pub(super) fn cut_off(&mut self) {
        self.delivery = None;
    }

    pub(super) async fn ack(self) {
        if let Some(delivery) = self.delivery {
            delivery.ack().await.unwrap();
        }
    }

    /// Does the work as a real worker would: a tag is moved only from what it showed at the beginning.
    pub(super) fn work(
        &self,
        registry: &mut Registry,
        is_present: bool,
        mut script: impl FnMut() -> Script,
    ) -> TaskResult {
        let work = mirror(&self.task);
        let moves = registry.moves.get(&work.source).copied().unwrap_or_default();
        let ours = Digest::of(format!("{} {moves}", work.source).as_bytes());
        let mut results = Vec::new();
        for (to, seen) in work.destinations.iter().zip(&self.seen) {
            let end = match script() {
                Script::Fail(class) => End::Failed(failure(Code::DestinationUnavailable, class)),
                Script::Defer(wait) => {
                    End::Deferred { wait, failure: failure(Code::DestinationRateLimited, Class::Defer) }
                }
                Script::Interrupt => End::INTERRUPTED,
                Script::Place => {
                    let shown = registry.tags.get(&to.location).map(|written| &written.digest);
                    if shown != Some(&ours) && shown != seen.as_ref() {
                        End::Failed(failure(Code::DestinationMoved, Class::Retry))
                    } else {
                        if shown != Some(&ours) {
                            let by = (self.task.id, self.task.attempt);
                            let written = Written { digest: ours.clone(), by, by_present_attempt: is_present };
                            registry.tags.insert(to.location.clone(), written);
                        }
                        let fingerprint = Fingerprint::of_copy(&ours, &proto::Content::default());
                        End::placed(ours.clone(), fingerprint, seen.as_ref() != Some(&ours))
                    }
                }
            };
            results.push(DestinationResult { location: to.location.clone(), end });
        }
        TaskResult { source_digest: Some(ours), ..TaskResult::new(&self.task, results) }
    }
}

fn mirror(task: &Task) -> &Mirror {
    let TaskKind::Mirror(mirror) = &task.kind;
    mirror
}

fn failure(code: Code, class: Class) -> Failure {
    Failure::new(None, code, class, "by script", None)
}
