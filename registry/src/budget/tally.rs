//! What was sent to registries, and what came of it: for whoever watches a whole fleet.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::PoisonError;
use std::time::Duration;

use proto::Host;
use reqwest::StatusCode;

use super::action::Action;
use crate::client::Client;

/// The requests of one action, since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many may have been sent.
    pub sent: u64,
    /// How many were refused for now: 429, or 503 with `Retry-After`.
    pub refused: u64,
    /// How long they waited for the budget, all together.
    pub waited: Duration,
    /// How long it took from sending them to the heads of their answers, all together.
    pub answering: Duration,
    /// How many had an answer of each class, in the order of [`Tally::CLASSES`].
    pub answers: [u64; Self::CLASSES.len()],
}

impl Tally {
    /// Classes of answers; the last one is of those that had none.
    pub const CLASSES: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "none"];

    /// Each class with its number.
    pub fn by_class(&self) -> [(&'static str, u64); Self::CLASSES.len()] {
        std::array::from_fn(|n| (Self::CLASSES[n], self.answers[n]))
    }

    pub(super) fn answered(&mut self, status: Option<StatusCode>, took: Duration) {
        let class = status.map_or(4, |status| usize::from(status.as_u16() / 100).clamp(2, 5) - 2);
        self.answers[class] += 1;
        self.answering += took;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.refused += other.refused;
        self.waited += other.waited;
        self.answering += other.answering;
        self.answers.iter_mut().zip(other.answers).for_each(|(answers, more)| *answers += more);
    }
}

impl Client {
    /// What was sent to each registry that was needed so far, all its accounts together. Asks nobody.
    pub fn tally(&self) -> BTreeMap<(Host, Action), Tally> {
        let registries = self.registries().lock().unwrap_or_else(PoisonError::into_inner);
        let mut tally = BTreeMap::<_, Tally>::new();
        for ((host, _), registry) in registries.iter().filter_map(|(key, place)| Some((key, place.get()?))) {
            for action in Action::ALL {
                *tally.entry((host.clone(), action)).or_default() += registry.budget.tally(action);
            }
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_counted_by_its_class() {
        let mut tally = Tally::default();
        for status in [200, 201, 304, 404, 429, 503, 599] {
            tally.answered(StatusCode::from_u16(status).ok(), Duration::from_millis(2));
        }
        tally.answered(None, Duration::from_millis(1));
        assert_eq!(tally.by_class(), [("2xx", 2), ("3xx", 1), ("4xx", 2), ("5xx", 2), ("none", 1)]);
        assert_eq!(tally.answering, Duration::from_millis(15));
    }
}
