//! What people and plans see of the budgets of a registry.

use std::fmt;
use std::time::Duration;

use proto::Repository;

use super::action::Action;
use crate::client::Client;
use crate::error::Error;

/// How the budgets of one registry account stand: what this process knows and did, since it began.
#[derive(Debug, Clone, PartialEq)]
pub struct BudgetView {
    /// Manifests that may be read; none if they are not metered, or nothing was asked yet.
    pub pulls: Option<PullsView>,
    /// Requests per second over all actions that are kept to now; none if there is no limit.
    pub per_second: Option<f64>,
    /// Each action, in the order of [`Action::ALL`].
    pub actions: Vec<ActionView>,
    /// Bytes of blobs that were read.
    pub bytes_in: u64,
    /// Bytes of blobs that were sent.
    pub bytes_out: u64,
}

impl BudgetView {
    /// All requests that were sent.
    pub fn requests(&self) -> u64 {
        self.actions.iter().map(|action| action.requests).sum()
    }

    /// Those that were refused for now: 429, or 503 with `Retry-After`.
    pub fn refused(&self) -> u64 {
        self.actions.iter().map(|action| action.refused).sum()
    }
}

/// How one action stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ActionView {
    /// Which.
    pub action: Action,
    /// Requests that were sent.
    pub requests: u64,
    /// Of these, those that were refused for now: 429, or 503 with `Retry-After`.
    pub refused: u64,
    /// Requests per second that are kept to now, beside the limit over all; none if there is no limit of its own.
    pub per_second: Option<f64>,
    /// Requests that may be under way at once: of all that read together, or of all that write.
    pub concurrency: u32,
}

/// How the pulls stand. A pull is a manifest that is read; to ask for one is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullsView {
    /// Pulls that are left for us: without those under way, and without those that are kept free.
    pub left: u64,
    /// Of how many, if that is known.
    pub limit: Option<u64>,
    /// In which time.
    pub window: Duration,
    /// Pulls that are left to others.
    pub keep_free: u32,
    /// How long until there are some again, if none are left.
    pub wait: Option<Duration>,
}

/// `87 of 100 left in 6 h (50 kept free)`
impl fmt::Display for PullsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.left)?;
        tell_limit(f, "left", self.limit, self.window, self.keep_free)?;
        self.wait.map_or(Ok(()), |wait| write!(f, ", again in {}", about(wait)))
    }
}

/// That no pull is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(super) limit: Option<u64>,
    pub(super) window: Duration,
    pub(super) keep_free: u32,
    /// How long until there are some again.
    pub(crate) wait: Duration,
}

/// `no pulls left of 100 in 6 h (50 kept free)`
impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no pulls left")?;
        tell_limit(f, "", self.limit, self.window, self.keep_free)
    }
}

/// ` of 100 left in 6 h (50 kept free)`
fn tell_limit(
    f: &mut fmt::Formatter<'_>,
    left: &str,
    limit: Option<u64>,
    window: Duration,
    keep_free: u32,
) -> fmt::Result {
    limit.map_or(Ok(()), |limit| write!(f, " of {limit}"))?;
    if !left.is_empty() {
        write!(f, " {left}")?;
    }
    write!(f, " in {}", span(window))?;
    if keep_free > 0 { write!(f, " ({keep_free} kept free)") } else { Ok(()) }
}

/// `6 h`, in the largest unit that leaves no rest.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match [(3600, "h"), (60, "min")].into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", seconds / unit),
        None => format!("{seconds} s"),
    }
}

/// `5 h 59 min`, as well as a person needs it.
fn about(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

impl Client {
    /// How the budgets of the registry of `repository` stand. Asks nobody.
    ///
    /// # Errors
    /// The registry could not be set up: its settings name files or secrets that cannot be read.
    pub async fn budget(&self, repository: &Repository) -> Result<BudgetView, Error> {
        Ok(self.registry(repository).await?.budget.view())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_told_in_the_largest_unit_that_leaves_no_rest() {
        let text = |seconds, limit, keep_free| {
            let window = Duration::from_secs(seconds);
            Exhausted { limit, window, keep_free, wait: Duration::ZERO }.to_string()
        };
        assert_eq!(text(21_600, Some(100), 50), "no pulls left of 100 in 6 h (50 kept free)");
        assert_eq!(text(90 * 60, Some(1), 0), "no pulls left of 1 in 90 min");
        assert_eq!(text(90, None, 0), "no pulls left in 90 s");
    }

    #[test]
    fn pulls_are_told_in_one_line() {
        let window = Duration::from_secs(21_600);
        let view = PullsView { left: 37, limit: Some(100), window, keep_free: 50, wait: None };
        assert_eq!(view.to_string(), "37 of 100 left in 6 h (50 kept free)");
        for (wait, told) in [(59, "59 s"), (61, "2 min"), (21_599, "5 h 59 min")] {
            let none = PullsView { left: 0, limit: None, keep_free: 0, wait: Some(Duration::from_secs(wait)), ..view };
            assert_eq!(none.to_string(), format!("0 left in 6 h, again in {told}"));
        }
    }
}
