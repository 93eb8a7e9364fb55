//! Folds rows into shares: whose images ended how, so that a person knows whom to tell, and which registry took what, so
//! that one that is down does not hide that another has everything.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use backends::store::{ReportDestination, ReportRow};
use proto::{Location, Outcome};

use crate::report::model::{ShareSection, Totals};

/// How the images among rows of a run ended, by a property of their destinations. Grows with the property's values,
/// not with rows.
pub(super) struct Shares {
    name: fn(&ReportDestination) -> Option<String>,
    totals: BTreeMap<Option<String>, Totals>,
}

impl Shares {
    /// By the owner of the group that wants the image there.
    pub(super) fn of_owners() -> Self {
        Self { name: |destination| destination.origin.owner.clone(), totals: BTreeMap::new() }
    }

    /// By the registry, or the layout, that it goes to.
    pub(super) fn of_registries() -> Self {
        let name = |destination: &ReportDestination| {
            Some(match &destination.location {
                Location::Registry(image) => image.repository.host().to_string(),
                Location::Layout(layout) | Location::Archive(layout) => format!("oci:{}", layout.path.display()),
            })
        };
        Self { name, totals: BTreeMap::new() }
    }

    /// An image counts once for each value, as the worst of its destinations there.
    pub(super) fn note(&mut self, row: &ReportRow) {
        let mut worst: BTreeMap<Option<String>, Outcome> = BTreeMap::new();
        for destination in &row.destinations {
            let worst = worst.entry((self.name)(destination)).or_insert(destination.outcome);
            *worst = destination.outcome.max(*worst);
        }
        for (name, outcome) in worst {
            self.totals.entry(name).or_default().count(outcome);
        }
    }

    /// What has most that failed first, then by name; what has no name comes after what has one.
    pub(super) fn into_list(self) -> Vec<ShareSection> {
        let section = |(name, totals)| {
            let Totals { images, up_to_date, pushed, postponed, cancelled, failed, unlisted: _ } = totals;
            ShareSection { name, images, up_to_date, pushed, postponed, cancelled, failed }
        };
        let mut shares: Vec<ShareSection> = self.totals.into_iter().map(section).collect();
        shares.sort_by_key(|share| (Reverse(share.failed), share.name.is_none()));
        shares
    }
}
