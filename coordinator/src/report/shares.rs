//! Folds rows into shares: whose images ended how, so that a person knows whom to tell, and which registry took what, so
//! that one that is down does not hide that another has everything.

use std::cmp::Reverse;

use backends::store::{ReportDestination, ReportRow};
use proto::{Location, Outcome};

use crate::report::model::{ShareSection, Totals};

/// How the images among rows of a run ended, by a property of their destinations. Grows with the property's values,
/// not with rows.
pub(super) struct Shares {
    name: fn(&ReportDestination) -> Option<String>,
    /// In the order in which the values appear: that of sources by name, and of destinations as the file has them.
    totals: Vec<(Option<String>, Totals)>,
}

impl Shares {
    /// By the owner of the group that wants the image there.
    pub(super) fn of_owners() -> Self {
        Self { name: |destination| destination.origin.owner.clone(), totals: Vec::new() }
    }

    /// By the registry, or the layout, that it goes to.
    pub(super) fn of_registries() -> Self {
        let name = |destination: &ReportDestination| {
            Some(match &destination.location {
                Location::Registry(image) => image.repository.host().to_string(),
                Location::Layout(layout) | Location::Archive(layout) => format!("oci:{}", layout.path.display()),
            })
        };
        Self { name, totals: Vec::new() }
    }

    /// An image counts once for each value, as the worst of its destinations there.
    pub(super) fn note(&mut self, row: &ReportRow) {
        let mut worst: Vec<(Option<String>, Outcome)> = Vec::new();
        for destination in &row.destinations {
            let name = (self.name)(destination);
            match worst.iter_mut().find(|(other, _)| *other == name) {
                Some((_, worst)) => *worst = destination.outcome.max(*worst),
                None => worst.push((name, destination.outcome)),
            }
        }
        for (name, outcome) in worst {
            let position = self.totals.iter().position(|(other, _)| *other == name).unwrap_or_else(|| {
                self.totals.push((name, Totals::default()));
                self.totals.len() - 1
            });
            self.totals[position].1.count(outcome);
        }
    }

    /// What has most that failed first; of equals, what has no name comes after what has one.
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
