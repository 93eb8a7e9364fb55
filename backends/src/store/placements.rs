//! What lies under destination tags, and what makes us doubt it.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use proto::task::{Fingerprint, Placed};
use proto::{Digest, Location, RunId, TaskResult, outcome::End};

use super::batch::Found;
use super::chunks::{Change, Question};
use super::db::{Arg, Row, Tx};
use super::{NewDestination, Store, StoreError};

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
    /// When all of it was last sent or asked for; none if there is reason to doubt it.
    pub verified_at: Option<Timestamp>,
}

/// What lies under a destination tag, as it is to be read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its place in the order of a job's placements.
    pub at: (String, String),
    /// The name of the image that it was made of; none if that was not kept.
    pub source: Option<Location>,
    /// What the source showed then.
    pub source_digest: Option<Digest>,
    /// The tag, with what of the image went there and who wanted that.
    pub destination: NewDestination,
    /// What was verified to lie there.
    pub placed: Placed,
    /// How many manifests and blobs it consists of, if that was counted.
    pub parts: Option<u32>,
    /// When all of it was last sent or asked for; none if there is reason to doubt it.
    pub verified_at: Option<Timestamp>,
}

impl Store {
    /// What lies under the tags that a job owns, up to `limit` of them that come after `after`: those of one source and
    /// digest one after the other.
    ///
    /// # Errors
    /// The database failed.
    pub async fn kept(
        &self,
        job: &str,
        after: Option<&(String, String)>,
        limit: usize,
    ) -> Result<Vec<Kept>, StoreError> {
        // A source and its digest in one text, so that a page can begin within the tags of one.
        let sql = "select * from (
                 select placements.*, coalesce(source || '@' || source_digest, '') as name from placements
                 where project = 'default' and job = $1) as named
             where name > $2 or (name = $2 and target > $3)
             order by name, target limit $4";
        let (source, target) = after.map_or(("", ""), |(source, target)| (source.as_str(), target.as_str()));
        let rows =
            self.db.rows("list placements", sql, &[job.into(), source.into(), target.into(), limit.into()]).await?;
        rows.iter().map(read_kept).collect()
    }

    /// What lies under these tags; those where nothing was placed are missing.
    ///
    /// # Errors
    /// The database failed.
    pub async fn placements(&self, locations: &[Location]) -> Result<HashMap<Location, Placement>, StoreError> {
        static SQL: Question =
            Question::new("select * from placements where project = 'default' and target in (CHUNK)");
        let names: HashMap<String, &Location> =
            locations.iter().map(|location| (location.to_string(), location)).collect();
        let mut placements = HashMap::with_capacity(locations.len());
        for row in &self.db.ask("read placements", &SQL, &names.keys().cloned().collect::<Vec<_>>()).await? {
            let Some(location) = names.get(&row.text("target")?) else { continue };
            placements.insert((*location).clone(), read_placement(row)?);
        }
        Ok(placements)
    }
}

/// What results say of destination tags, late or not: it was seen there.
///
/// A task's own run and job count: what the result says of its run may be wrong. A late result that names another digest
/// than recorded makes an audit due; it is believed unless a newer run has spoken since.
pub(super) struct PlacementUpdates {
    now: Timestamp,
    /// Of one destination tag each, so that their order does not matter.
    rows: Vec<[Arg; 11]>,
    targets: HashSet<String>,
}

impl PlacementUpdates {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, rows: Vec::new(), targets: HashSet::new() }
    }

    /// Takes up what a result says.
    pub(super) async fn take(
        &mut self,
        tx: &mut Tx,
        found: &Found,
        result: &TaskResult,
        late: bool,
    ) -> Result<(), StoreError> {
        for destination in &result.destinations {
            let target = destination.location.to_string();
            let End::Placed { digest, fingerprint, moved, read_back, parts } = &destination.end else {
                let is_unread = found.destinations.iter().any(|known| known.target == target && known.read_back);
                if !late && is_unread && matches!(destination.end, End::Failed(_)) {
                    self.write(tx).await?;
                    // What could not be read back to its end is in doubt until it is: else the next run would pass it over.
                    doubt(tx, &target).await?;
                }
                continue;
            };
            if late || self.targets.contains(&target) {
                self.write(tx).await?;
            }
            if late && !confirm_late(tx, found.run, &target, digest, self.now).await? {
                continue;
            }
            self.rows.push([
                target.as_str().into(),
                found.job.as_str().into(),
                digest.as_str().into(),
                fingerprint.as_str().into(),
                self.now.into(),
                found.run.into(),
                result.task.into(),
                result.source_digest.as_ref().map(Digest::as_str).into(),
                parts.map(i64::from).into(),
                (!late && (*moved || *read_back)).into(),
                late.into(),
            ]);
            self.targets.insert(target);
        }
        Ok(())
    }

    /// Writes what was taken up until now.
    pub(super) async fn write(&mut self, tx: &mut Tx) -> Result<(), StoreError> {
        self.targets.clear();
        UPDATE.execute(tx, "update placements", std::mem::take(&mut self.rows)).await?;
        Ok(())
    }
}

/// A source that was pinned to what is on record, to read that back, keeps its name.
///
/// What an attempt finds as it was placed it does not verify; what it did not find so went through all stages. A late
/// result that disagrees with the record may be right, and is no proof.
static UPDATE: Change<11> = Change::new(
    "insert into placements (target, job, digest, fingerprint, seen_at, run, source, source_digest, content, origin,
             parts, verified_at)
         select column1, column2, column3, column4, column5, column6,
             case when tasks.source = known.source || '@' || known.source_digest then known.source
                 else tasks.source end,
             coalesce(column8, case when known.fingerprint = column4 then known.source_digest end),
             coalesce(destinations.content, known.content), coalesce(destinations.origin, known.origin),
             coalesce(column9, case when known.digest = column3 then known.parts end),
             case when known.target is null then column5
                 when column11 = 1 and known.digest <> column3 then null
                 when column10 = 1 or known.digest <> column3 or known.fingerprint <> column4 then column5
                 else known.verified_at end
         from (CHUNK) as new
         join tasks on tasks.id = column7
         left join destinations on destinations.task = tasks.id and destinations.target = column1
         left join placements as known on known.project = 'default' and known.target = column1
         where column1 is not null
         on conflict (project, target) do update set digest = excluded.digest, fingerprint = excluded.fingerprint,
             seen_at = excluded.seen_at, run = excluded.run, source = excluded.source,
             source_digest = excluded.source_digest, content = excluded.content, origin = excluded.origin,
             parts = excluded.parts, verified_at = excluded.verified_at",
);

async fn doubt(tx: &mut Tx, target: &str) -> Result<(), StoreError> {
    let sql = "update placements set verified_at = null where project = 'default' and target = $1";
    tx.execute("doubt a placement", sql, &[target.into()]).await?;
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
    let sql = "select digest, run,
             (select run from unchanged where project = 'default' and target = $1) as seen_in
         from placements where project = 'default' and target = $1";
    let Some(row) = tx.row("read a placement", sql, &[target.into()]).await? else { return Ok(true) };
    let (recorded, placed_in): (Digest, RunId) = (row.parse("digest")?, row.parse("run")?);
    let seen_in: Option<RunId> = row.opt_parse("seen_in")?;
    let is_newest = run >= seen_in.map_or(placed_in, |seen_in| seen_in.max(placed_in));
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
        // The tag may show what was named: it is looked at by the next run, whatever listings say.
        doubt(tx, target).await?;
    }
    Ok(is_newest)
}

fn read_kept(row: &Row) -> Result<Kept, StoreError> {
    let destination = NewDestination {
        content: row.opt_json("content")?.unwrap_or_default(),
        origin: row.opt_json("origin")?.unwrap_or_default(),
        ..row.parse::<Location>("target")?.into()
    };
    Ok(Kept {
        at: (row.text("name")?, row.text("target")?),
        source: row.opt_parse("source")?,
        source_digest: row.opt_parse("source_digest")?,
        destination,
        placed: read_placed(row)?,
        parts: row.opt_number("parts")?,
        verified_at: row.opt_parse("verified_at")?,
    })
}

pub(super) fn read_placement(row: &Row) -> Result<Placement, StoreError> {
    Ok(Placement {
        job: row.text("job")?,
        placed: read_placed(row)?,
        seen_at: row.parse("seen_at")?,
        run: row.parse("run")?,
        verified_at: row.opt_parse("verified_at")?,
    })
}

pub(super) fn read_placed(row: &Row) -> Result<Placed, StoreError> {
    let fingerprint: Digest = row.parse("fingerprint")?;
    Ok(Placed { digest: row.parse("digest")?, fingerprint: Fingerprint::from(fingerprint) })
}
