//! Folds rows into causes: what went wrong, how often, and where.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use backends::store::ReportRow;
use proto::failure::Code;
use proto::{Host, Location, Outcome};

use crate::report::model::CauseSection;

/// Images named for a cause.
const NAMED: usize = 3;

/// What tells causes apart.
type Key = (Reverse<Outcome>, Code, Option<Host>, Option<String>);

/// The causes of failure among rows of a run, which may still be open. Grows with causes, not with rows.
#[derive(Debug)]
pub struct Causes {
    causes: BTreeMap<Key, CauseSection>,
    images: u64,
    named: usize,
}

impl Default for Causes {
    fn default() -> Self {
        Self { causes: BTreeMap::new(), images: 0, named: NAMED }
    }
}

impl Causes {
    /// The same with the names of all images: it grows with rows.
    pub fn with_all_names() -> Self {
        Self { named: usize::MAX, ..Self::default() }
    }

    /// Looks at one more row. A repository that could not be listed is no image, and is passed over.
    pub fn note(&mut self, row: &ReportRow) {
        let has_failure = row.destinations.iter().any(|destination| destination.failure.is_some());
        let mut hit = BTreeSet::new();
        for destination in &row.destinations {
            let Some(failure) = &destination.failure else { continue };
            let host = host(failure.code, &row.source, &destination.location);
            let key = (Reverse(destination.outcome), failure.code, host, failure.hint.clone());
            let cause = self.causes.entry(key.clone()).or_insert_with(|| CauseSection {
                outcome: destination.outcome.as_str().to_owned(),
                code: failure.code.to_string(),
                meaning: failure.code.meaning().to_owned(),
                class: failure.class.as_str().to_owned(),
                host: key.2.as_ref().map(ToString::to_string),
                images: 0,
                destinations: 0,
                first: Vec::new(),
                message: failure.message.clone(),
                hint: failure.hint.clone(),
                again_at: None,
            });
            cause.destinations += 1;
            // As RFC 3339 in UTC, what is earlier is less, to the second.
            let again_at = destination.again_at.map(|at| at.to_string());
            cause.again_at = cause.again_at.take().into_iter().chain(again_at).min();
            if hit.insert(key) {
                cause.images += 1;
                if cause.first.len() < self.named {
                    cause.first.push(row.source.clone());
                }
            }
        }
        self.images += u64::from(has_failure);
    }

    /// Images that one cause or more has hit, each counted once.
    pub fn images(&self) -> u64 {
        self.images
    }

    /// The causes, most frequent first; of the equally frequent ones the worst outcome first.
    pub fn into_list(self) -> Vec<CauseSection> {
        let mut causes: Vec<CauseSection> = self.causes.into_values().collect();
        causes.sort_by_key(|cause| Reverse(cause.images));
        causes
    }
}

/// The registry that a code speaks of, if it is one.
pub fn host(code: Code, source: &str, destination: &Location) -> Option<Host> {
    let place = match code.as_str().split_once('_')?.0 {
        "source" => source.parse().ok()?,
        "destination" | "target" => destination.clone(),
        _ => return None,
    };
    match place {
        Location::Registry(image) => Some(image.repository.host().clone()),
        _ => None,
    }
}
