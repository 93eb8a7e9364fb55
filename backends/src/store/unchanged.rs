//! Images that listings show as they were placed: they are noted as seen, and are no tasks.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use proto::RunId;
use proto::task::Placed;

use super::chunks::{Change, Question};
use super::db::{Tx, to_json};
use super::placements::read_placed;
use super::tasks::require_open;
use super::{NewDestination, NewTask, Store, StoreError};

/// An image that needs no task.
#[derive(Debug, Clone)]
pub struct Unchanged {
    /// The task that it would be.
    pub task: NewTask,
    /// What was placed at each of the task's destinations, and is shown there, in their order.
    pub placed: Vec<Placed>,
}

/// What is on record about a destination tag.
struct Record {
    job: String,
    placed: Placed,
    is_verified: bool,
    /// The run that saw it unchanged, and as what.
    seen: Option<(RunId, String)>,
    /// Whether that run waits for its report, which will quote what it saw.
    is_awaited: bool,
    /// Source and origin that the placement names.
    names: (Option<String>, Option<String>),
}

impl Store {
    /// Notes that a run saw these images as they were placed. Gives those of which this may not be said, which are to be
    /// tasks: a placement is another by now, in doubt, or of another job, or a run that has no report yet saw it.
    ///
    /// An image counts once for its run, so that a batch can be written again after a crash; one that is a task of the
    /// run is passed over.
    ///
    /// # Errors
    /// The database failed, or the run is unknown or has ended; then nothing is noted.
    pub async fn mark_unchanged(
        &self,
        run: RunId,
        images: &[Unchanged],
        now: Timestamp,
    ) -> Result<Vec<NewTask>, StoreError> {
        let mut tx = self.begin().await?;
        let job = require_open(&mut tx, run).await?;
        let mut records = read_records(&mut tx, images).await?;
        let tasks = known_sources(&mut tx, &OF_TASKS, run, images).await?;
        let mut seen = known_sources(&mut tx, &OF_UNCHANGED, run, images).await?;
        let (mut new, mut refused) = (0_i64, Vec::new());
        // Of what is said twice of a tag the last: a statement changes a row once.
        let (mut noted, mut renamed) = (BTreeMap::new(), BTreeMap::new());
        for image in images {
            let source = image.task.source.to_string();
            if tasks.contains(&source) {
                continue;
            }
            let targets: Vec<String> = image.task.destinations.iter().map(|to| to.location.to_string()).collect();
            let own = (run, source);
            let may_say = |(target, placed): (&String, &Placed)| {
                records.get(target).is_some_and(|record| record.allows(&job, placed, &own))
            };
            let is_known = !targets.is_empty() && targets.len() == image.placed.len();
            if !is_known || !targets.iter().zip(&image.placed).all(may_say) {
                refused.push(image.task.clone());
                continue;
            }
            new += i64::from(seen.insert(own.1.clone()));
            for (position, target) in targets.iter().enumerate() {
                let Some(record) = records.get_mut(target) else { continue };
                let NewDestination { content, origin, .. } = &image.task.destinations[position];
                let source_digest = image.task.listed.as_ref().map(proto::Digest::as_str);
                let (source, content, origin) = (own.1.as_str(), to_json(content), to_json(origin));
                if is_renamed(record, source, &origin) {
                    let row = [
                        target.as_str().into(),
                        source.into(),
                        source_digest.into(),
                        content.as_str().into(),
                        origin.as_str().into(),
                    ];
                    renamed.insert(target.clone(), row);
                }
                let row = [
                    target.as_str().into(),
                    run.into(),
                    source.into(),
                    position.into(),
                    source_digest.into(),
                    record.placed.digest.as_str().into(),
                    content.into(),
                    origin.into(),
                    now.into(),
                ];
                noted.insert(target.clone(), row);
                (record.seen, record.is_awaited) = (Some(own.clone()), true);
            }
        }
        NOTE.execute(&mut tx, "note unchanged images", noted.into_values().collect()).await?;
        RENAME.execute(&mut tx, "name what placements were made of", renamed.into_values().collect()).await?;
        let sql = "update runs set unchanged = unchanged + $2 where id = $1";
        tx.execute("count unchanged images", sql, &[run.into(), new.into()]).await?;
        tx.commit().await?;
        Ok(refused)
    }
}

impl Record {
    /// Whether `placed` is what lies there, and may be told as seen by a run of `job`.
    fn allows(&self, job: &str, placed: &Placed, own: &(RunId, String)) -> bool {
        let is_free = !self.is_awaited || self.seen.as_ref() == Some(own);
        self.job == job && self.placed == *placed && self.is_verified && is_free
    }
}

async fn read_records(tx: &mut Tx, images: &[Unchanged]) -> Result<HashMap<String, Record>, StoreError> {
    static SQL: Question = Question::new(
        "select placements.*, unchanged.run as seen_in, unchanged.source as seen_as,
                 (select count(*) from runs where id = unchanged.run and report_digest is null) as is_awaited
             from placements left join unchanged
                 on unchanged.project = placements.project and unchanged.target = placements.target
             where placements.project = 'default' and placements.target in (CHUNK)",
    );
    let destinations = images.iter().flat_map(|image| &image.task.destinations);
    let targets: Vec<String> = destinations.map(|to| to.location.to_string()).collect();
    let mut records = HashMap::with_capacity(targets.len());
    for row in tx.ask("read placements", &SQL, &targets, None).await? {
        let record = Record {
            job: row.text("job")?,
            placed: read_placed(&row)?,
            is_verified: row.opt_text("verified_at")?.is_some(),
            seen: row.opt_parse("seen_in")?.zip(row.opt_text("seen_as")?),
            is_awaited: row.flag("is_awaited")?,
            names: (row.opt_text("source")?, row.opt_text("origin")?),
        };
        records.insert(row.text("target")?, record);
    }
    Ok(records)
}

/// Those of a chunk of sources that are tasks of a run.
static OF_TASKS: Question = Question::new("select source from tasks where source in (CHUNK) and run = ?");

/// Those of a chunk of sources that a run saw unchanged.
static OF_UNCHANGED: Question = Question::new("select source from unchanged where source in (CHUNK) and run = ?");

async fn known_sources(
    tx: &mut Tx,
    question: &'static Question,
    run: RunId,
    images: &[Unchanged],
) -> Result<HashSet<String>, StoreError> {
    let sources: Vec<String> = images.iter().map(|image| image.task.source.to_string()).collect();
    let mut found = HashSet::new();
    for row in tx.ask("look for what a run has of images", question, &sources, Some(run.into())).await? {
        found.insert(row.text("source")?);
    }
    Ok(found)
}

/// Whether a placement is known by other names than those under which it was seen: another line of the file wants it by
/// now, or it was placed before this was kept.
fn is_renamed(record: &Record, source: &str, origin: &str) -> bool {
    record.names.0.as_deref() != Some(source) || record.names.1.as_deref() != Some(origin)
}

static NOTE: Change<9> = Change::new(
    "insert into unchanged (target, run, source, position, source_digest, digest, content, origin, seen_at)
         select column1, column2, column3, column4, column5, column6, column7, column8, column9
         from (CHUNK) as new where column1 is not null
         on conflict (project, target) do update set run = excluded.run, source = excluded.source,
             position = excluded.position, source_digest = excluded.source_digest, digest = excluded.digest,
             content = excluded.content, origin = excluded.origin, seen_at = excluded.seen_at",
);

static RENAME: Change<5> = Change::new(
    "update placements set source = column2, source_digest = column3, content = column4, origin = column5
         from (CHUNK) as new where project = 'default' and target = column1",
);
