//! Which placements are to be read back.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use proto::{Location, limits};

use super::{Store, StoreError};

/// A placement among those of which some are to be read back.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The destination tag.
    pub location: Location,
    /// How many manifests and blobs it consists of, if that was counted.
    pub parts: Option<u32>,
    /// Whether it may be taken; all count in what may be spent.
    pub is_due: bool,
}

/// Requests that reading a registry's placements back may take.
struct Budget {
    /// How many there are.
    placements: u64,
    /// What those that are taken will take.
    spent: u64,
}

impl Store {
    /// The placements of a job that its next run is to read back, least recently verified first: as many of each registry
    /// as about `percent` of the requests of such a run can pay for, and at least [`limits::READ_BACK_MIN`] requests. Not
    /// among them are those verified within [`limits::READ_BACK_AFTER`], those in doubt, which are read back anyway, and
    /// those that the newest finished run of all the job did not see: nobody may want them any more. None where `percent`
    /// is 0.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sample(&self, job: &str, percent: u8, now: Timestamp) -> Result<HashSet<Location>, StoreError> {
        if percent == 0 {
            return Ok(HashSet::new());
        }
        let sql = "select placements.target, placements.parts, placements.verified_at
             from placements left join unchanged
                 on unchanged.project = placements.project and unchanged.target = placements.target
             join (
                 select started_at from runs where job = $1 and ended_as = 'finished' and only_text is null
                 order by started_at desc limit 1
             ) as last on placements.seen_at >= last.started_at or unchanged.seen_at >= last.started_at
             where placements.project = 'default' and placements.job = $1 and placements.verified_at is not null
             order by placements.verified_at, placements.target";
        let rows = self.db.rows("list placements to verify", sql, &[job.into()]).await?;
        let before = now.checked_sub(limits::READ_BACK_AFTER).unwrap_or(Timestamp::MIN);
        let candidates = rows.iter().map(|row| {
            let is_due = row.parse::<Timestamp>("verified_at")? <= before;
            Ok(Candidate { location: row.parse("target")?, parts: row.opt_number("parts")?, is_due })
        });
        Ok(affordable(&candidates.collect::<Result<Vec<_>, StoreError>>()?, percent))
    }
}

/// Of placements in the order in which it is their turn, those that may be read back: as many of each registry as about
/// `percent` of one request for each can pay for, and at least [`limits::READ_BACK_MIN`] requests.
pub fn affordable(candidates: &[Candidate], percent: u8) -> HashSet<Location> {
    let mut budgets = HashMap::<String, Budget>::new();
    for candidate in candidates {
        budgets.entry(host(&candidate.location)).or_insert(Budget { placements: 0, spent: 0 }).placements += 1;
    }
    let mut sample = HashSet::new();
    for Candidate { location, parts, .. } in candidates.iter().filter(|candidate| candidate.is_due) {
        let Some(budget) = budgets.get_mut(&host(location)) else { continue };
        let requests = u64::from(parts.unwrap_or(limits::PARTS_USUAL));
        let most = (budget.placements * u64::from(percent) / 100).max(limits::READ_BACK_MIN);
        // The first is taken whatever it needs: else the largest would never be.
        if budget.spent == 0 || budget.spent + requests <= most {
            budget.spent += requests.max(1);
            sample.insert(location.clone());
        } else {
            // In turn: what needs less does not overtake.
            budget.spent = budget.spent.max(most);
        }
    }
    sample
}

/// The registry of a placement, or the layout that it is in.
fn host(location: &Location) -> String {
    match location {
        Location::Registry(image) => image.repository.host().to_string(),
        Location::Layout(layout) | Location::Archive(layout) => format!("oci:{}", layout.path.display()),
    }
}
