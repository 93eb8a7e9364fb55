//! The rates of one registry: one for each action, and one over all.
//!
//! A refusal concerns its action, as at registries that limit each for itself. If another action was refused shortly
//! before, the registry counts them together: from then on only the rate over all is found out, which every refusal
//! takes down, whoever meets it. So it comes below the limit in either case.

use std::time::Duration;

use proto::settings::Limits;
use tokio::time::Instant;

use super::action::Action;
use super::rate::Rate;
use super::tally::Tally;

/// Actions that are refused within this time have one limit. A limit is met only two or three times in it, and each for
/// itself would be cut to less than its share.
const TOGETHER: Duration = Duration::from_secs(60);

/// The rates of one registry, and what came of the requests. Has no clock.
#[derive(Debug)]
pub(super) struct Control {
    whole: Rate,
    actions: [Rate; Action::ALL.len()],
    counts: [Tally; Action::ALL.len()],
    /// When an action was last refused, and which.
    refused: Option<(Instant, Action)>,
    /// Whether all actions have one limit.
    is_joint: bool,
}

/// What a request has to wait for that passed its action's rate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// For its action, of which nothing is to be sent any more.
    Action,
    /// For the rate over all.
    Whole(Instant),
}

impl Control {
    pub(super) fn new(now: Instant, limits: &Limits) -> Self {
        let ceiling = |action| limits.manifest_writes_per_second.filter(|_| action == Action::ManifestWrite);
        Self {
            whole: Rate::careful(now, limits.requests_per_second),
            actions: Action::ALL.map(|action| Rate::unlimited(now, ceiling(action))),
            counts: Default::default(),
            refused: None,
            is_joint: false,
        }
    }

    /// Lets a request pass the rate of its action, or says when to come again.
    pub(super) fn take_action(&mut self, action: Action, now: Instant) -> Result<(), Instant> {
        let own = &mut self.actions[action as usize];
        if own.next() > now {
            own.wanted(now);
            return Err(own.next());
        }
        own.take(now);
        Ok(())
    }

    /// Lets one that passed it be sent, or says what it has to wait for.
    pub(super) fn take(&mut self, action: Action, now: Instant) -> Result<(), Wait> {
        if self.actions[action as usize].paused() > now {
            return Err(Wait::Action);
        }
        if self.whole.next() > now {
            self.whole.wanted(now);
            return Err(Wait::Whole(self.whole.next()));
        }
        self.whole.take(now);
        self.counts[action as usize].sent += 1;
        Ok(())
    }

    /// A request was answered, and not refused.
    pub(super) fn accepted(&mut self, action: Action, now: Instant) {
        self.whole.accepted(now);
        self.actions[action as usize].accepted(now);
    }

    /// A request was refused for now: 429, or 503 with `Retry-After`.
    pub(super) fn refused(&mut self, action: Action, now: Instant, sent: Instant, wait: Option<Duration>) {
        self.counts[action as usize].refused += 1;
        let others = self.refused.is_some_and(|(at, other)| other != action && now < at + TOGETHER);
        if others && !self.is_joint {
            self.is_joint = true;
            self.actions.iter_mut().for_each(Rate::lift);
        }
        self.refused = Some((now, action));
        let rate = if self.is_joint { &mut self.whole } else { &mut self.actions[action as usize] };
        rate.refused(now, sent, wait);
    }

    /// The rate over all, if there is one to keep.
    pub(super) fn per_second(&self) -> Option<f64> {
        self.whole.per_second()
    }

    /// What is counted of an action beside its rate.
    pub(super) fn tally(&mut self, action: Action) -> &mut Tally {
        &mut self.counts[action as usize]
    }

    /// The rate of an action, and what came of its requests.
    pub(super) fn of(&self, action: Action) -> (Option<f64>, Tally) {
        (self.actions[action as usize].per_second(), self.counts[action as usize])
    }
}
