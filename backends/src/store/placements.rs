//! What lies under destination tags, and what makes us doubt it.

use std::collections::HashMap;

use jiff::Timestamp;
use proto::task::{Fingerprint, Placed};
use proto::{Digest, Location, RunId, TaskResult, outcome::End};

use super::db::{Row, Tx};
use super::{Store, StoreError};

/// What lies under a destination tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The job that owns the tag.
    pub job: String,
    /// What was verified to lie there.
    pub placed: Placed,
    /// When that was recorded.
    pub seen_at: Timestamp,
    /// The run that verified it.
    pub run: RunId,
}

impl Store {
    /// What lies under these tags; those where nothing was placed are missing.
    ///
    /// # Errors
    /// The database failed.
    pub async fn placements(&self, locations: &[Location]) -> Result<HashMap<Location, Placement>, StoreError> {
        let mut placements = HashMap::new();
        let sql = "select * from placements where project = 'default' and target = $1";
        for location in locations {
            let rows = self.db.rows("read a placement", sql, &[location.to_string().into()]).await?;
            if let Some(row) = rows.first() {
                placements.insert(location.clone(), read_placement(row)?);
            }
        }
        Ok(placements)
    }
}

/// Takes over what a result says of destination tags, late or not: it was seen there.
///
/// `run` and `job` are the task's own: what the result says of its run may be wrong. A late result that names another
/// digest than recorded makes an audit due; it is believed unless a newer run has spoken since.
pub(super) async fn update_placements(
    tx: &mut Tx,
    run: RunId,
    job: &str,
    result: &TaskResult,
    late: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    for destination in &result.destinations {
        let End::Placed { digest, fingerprint, .. } = &destination.end else { continue };
        let target = destination.location.to_string();
        if late && !confirm_late(tx, run, &target, digest, now).await? {
            continue;
        }
        tx.execute(
            "update a placement",
            "insert into placements (target, job, digest, fingerprint, seen_at, run) values ($1, $2, $3, $4, $5, $6)
             on conflict (project, target) do update set digest = excluded.digest,
                 fingerprint = excluded.fingerprint, seen_at = excluded.seen_at, run = excluded.run",
            &[target.into(), job.into(), digest.as_str().into(), fingerprint.as_str().into(), now.into(), run.into()],
        )
        .await?;
    }
    Ok(())
}

/// Whether a late result may change the placement; notes the audit if they disagree.
async fn confirm_late(
    tx: &mut Tx,
    run: RunId,
    target: &str,
    named: &Digest,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "select digest, run from placements where project = 'default' and target = $1";
    let Some(row) = tx.row("read a placement", sql, &[target.into()]).await? else { return Ok(true) };
    let (recorded, seen_in): (Digest, RunId) = (row.parse("digest")?, row.parse("run")?);
    if recorded != *named {
        tracing::warn!(run.id = %run, image.ref = target, %recorded, %named, "a late result disagrees with the record");
        tx.execute(
            "make an audit due",
            "insert into audits_due (run, target, recorded_digest, named_digest, noticed_at)
             values ($1, $2, $3, $4, $5)
             on conflict do nothing",
            &[run.into(), target.into(), recorded.as_str().into(), named.as_str().into(), now.into()],
        )
        .await?;
    }
    Ok(run >= seen_in)
}

pub(super) fn read_placement(row: &Row) -> Result<Placement, StoreError> {
    Ok(Placement {
        job: row.text("job")?,
        placed: read_placed(row)?,
        seen_at: row.parse("seen_at")?,
        run: row.parse("run")?,
    })
}

pub(super) fn read_placed(row: &Row) -> Result<Placed, StoreError> {
    let fingerprint: Digest = row.parse("fingerprint")?;
    Ok(Placed { digest: row.parse("digest")?, fingerprint: Fingerprint::from(fingerprint) })
}
