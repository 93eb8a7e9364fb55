//! Folds rows into owners: whose images ended how, so that a person knows whom to tell.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use backends::store::ReportRow;
use proto::Outcome;

use crate::report::model::{OwnerSection, Totals};

/// The owners of images among rows of a run. Grows with owners, not with rows.
#[derive(Default)]
pub(super) struct Owners {
    totals: BTreeMap<Option<String>, Totals>,
}

impl Owners {
    pub(super) fn note(&mut self, row: &ReportRow) {
        let mut worst: BTreeMap<&Option<String>, Outcome> = BTreeMap::new();
        for destination in &row.destinations {
            let worst = worst.entry(&destination.origin.owner).or_insert(destination.outcome);
            *worst = destination.outcome.max(*worst);
        }
        for (owner, outcome) in worst {
            self.totals.entry(owner.clone()).or_default().count(outcome);
        }
    }

    /// Who has most that failed first, then by name; what nobody owns comes after what somebody does.
    pub(super) fn into_list(self) -> Vec<OwnerSection> {
        let section = |(owner, totals)| {
            let Totals { images, up_to_date, pushed, postponed, cancelled, failed, unlisted: _ } = totals;
            OwnerSection { owner, images, up_to_date, pushed, postponed, cancelled, failed }
        };
        let mut owners: Vec<OwnerSection> = self.totals.into_iter().map(section).collect();
        owners.sort_by_key(|owner| (Reverse(owner.failed), owner.owner.is_none()));
        owners
    }
}
