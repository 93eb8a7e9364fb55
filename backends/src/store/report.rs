//! Rows of a run, in order, for the fold that makes its report.

use std::collections::HashMap;

use jiff::Timestamp;
use proto::outcome::{Spent, StageTime};
use proto::{Content, Digest, Failure, Location, Outcome, RunId, TaskId};

use super::chunks::Question;
use super::db::Row;
use super::settle::read_outcome;
use super::{Origin, Store, StoreError};

/// A task that is done, an image that was seen unchanged without one, or a repository that could not be listed.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportRow {
    /// The image, or the repository.
    pub source: String,
    /// What the source showed, if it was asked.
    pub source_digest: Option<Digest>,
    /// The worst of the destinations' outcomes.
    pub outcome: Outcome,
    /// How many attempts there were; 0 if none was needed.
    pub attempts: u32,
    /// When the first one was taken; none if none was.
    pub started_at: Option<Timestamp>,
    /// When it was done, or seen unchanged.
    pub ended_at: Timestamp,
    /// What all attempts took.
    pub spent: Spent,
    /// How long each stage took, over all attempts.
    pub stages: Vec<StageTime>,
    /// Why the repository could not be listed; tasks fail at their destinations.
    pub failure: Option<Failure>,
    /// Where it was to go, in the file's order; a repository that could not be listed has none.
    pub destinations: Vec<ReportDestination>,
}

/// How a task ended at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportDestination {
    /// The destination.
    pub location: Location,
    /// What of the image was to go there.
    pub content: Content,
    /// Who wanted it there.
    pub origin: Origin,
    /// How it ended there.
    pub outcome: Outcome,
    /// What was verified to lie there.
    pub digest: Option<Digest>,
    /// Why it failed, or for what it was postponed or last tried in vain.
    pub failure: Option<Failure>,
    /// From when on it may be tried again, if it was postponed.
    pub again_at: Option<Timestamp>,
}

impl Store {
    /// The rows of these tasks; those that are open are missing.
    ///
    /// # Errors
    /// The database failed.
    pub async fn report_rows_of(&self, tasks: &[TaskId]) -> Result<Vec<ReportRow>, StoreError> {
        static TASKS: Question = Question::new(
            "select tasks.*,
                     (select coalesce(max(attempt), 0) from destinations where task = tasks.id) as attempts
                 from tasks where id in (CHUNK) and state = 'done' order by id",
        );
        static DESTINATIONS: Question = Question::new(
            "select destinations.* from tasks join destinations on destinations.task = tasks.id
                 where tasks.id in (CHUNK) and tasks.state = 'done' order by task, position",
        );
        let names: Vec<String> = tasks.iter().map(ToString::to_string).collect();
        let tasks = self.db.ask("read how tasks ended", &TASKS, &names).await?;
        let destinations = self.db.ask("read how tasks ended", &DESTINATIONS, &names).await?;
        read_rows(&tasks, &destinations)
    }

    /// The next rows of a run that are done, by source: up to `limit` of those after `after`, the source of the last
    /// row of the page before.
    ///
    /// # Errors
    /// The database failed.
    pub async fn report_rows(
        &self,
        run: RunId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ReportRow>, StoreError> {
        let mut rows = self.rows(run, after, limit, false).await?;
        rows.extend(self.unchanged_rows(run, after, limit).await?);
        rows.sort_by(|a, b| a.source.cmp(&b.source));
        rows.truncate(limit);
        Ok(rows)
    }

    /// The same, of those rows only that were not done right: postponed, cancelled or failed. The run may be open.
    ///
    /// # Errors
    /// The database failed.
    pub async fn undone_rows(
        &self,
        run: RunId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ReportRow>, StoreError> {
        self.rows(run, after, limit, true).await
    }

    async fn rows(
        &self,
        run: RunId,
        after: Option<&str>,
        limit: usize,
        only_undone: bool,
    ) -> Result<Vec<ReportRow>, StoreError> {
        let after = after.unwrap_or_default();
        let sql = "select tasks.*,
                 (select coalesce(max(attempt), 0) from destinations where task = tasks.id) as attempts
             from tasks
             where run = $1 and source > $2 and state = 'done'
                 and ($4 = 0 or outcome not in ('up_to_date', 'pushed'))
             order by source limit $3";
        let args = [run.into(), after.into(), limit.into(), only_undone.into()];
        let tasks = self.db.rows("read rows of a report", sql, &args).await?;
        let Some(last) = tasks.last() else { return Ok(Vec::new()) };
        let sql = "select destinations.* from tasks join destinations on destinations.task = tasks.id
             where tasks.run = $1 and tasks.source > $2 and tasks.source <= $3 and tasks.state = 'done'
                 and ($4 = 0 or tasks.outcome not in ('up_to_date', 'pushed'))
             order by tasks.source, destinations.position";
        let args = [run.into(), after.into(), last.text("source")?.into(), only_undone.into()];
        let destinations = self.db.rows("read destinations of a report", sql, &args).await?;
        read_rows(&tasks, &destinations)
    }

    /// The same, of what the run saw unchanged.
    async fn unchanged_rows(
        &self,
        run: RunId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ReportRow>, StoreError> {
        let sql = "select * from unchanged where run = $1 and source > $2 and source <= (
                 select max(source) from (
                     select distinct source from unchanged where run = $1 and source > $2 order by source limit $3
                 ) as page)
             order by source, position";
        let args = [run.into(), after.unwrap_or_default().into(), limit.into()];
        let mut images: Vec<ReportRow> = Vec::new();
        for row in &self.db.rows("read unchanged rows of a report", sql, &args).await? {
            let destination = read_unchanged(row)?;
            let source = row.text("source")?;
            if let Some(image) = images.last_mut().filter(|image| image.source == source) {
                image.destinations.push(destination);
                continue;
            }
            images.push(ReportRow {
                source,
                source_digest: row.opt_parse("source_digest")?,
                outcome: Outcome::UpToDate,
                attempts: 0,
                started_at: None,
                ended_at: row.parse("seen_at")?,
                spent: Spent::default(),
                stages: Vec::new(),
                failure: None,
                destinations: vec![destination],
            });
        }
        Ok(images)
    }
}

fn read_rows(tasks: &[Row], destinations: &[Row]) -> Result<Vec<ReportRow>, StoreError> {
    let mut by_task: HashMap<TaskId, Vec<ReportDestination>> = HashMap::with_capacity(tasks.len());
    for row in destinations {
        by_task.entry(row.parse("task")?).or_default().push(read_destination(row)?);
    }
    let mut read = |row: &Row| read_row(row, by_task.remove(&row.parse("id")?).unwrap_or_default());
    tasks.iter().map(&mut read).collect()
}

fn read_row(row: &Row, destinations: Vec<ReportDestination>) -> Result<ReportRow, StoreError> {
    Ok(ReportRow {
        source: row.text("source")?,
        source_digest: row.opt_parse("source_digest")?,
        outcome: done(row)?,
        attempts: row.number("attempts")?,
        started_at: row.opt_parse("started_at")?,
        ended_at: row.parse("ended_at")?,
        spent: row.json("spent")?,
        stages: row.json("stages")?,
        failure: row.opt_json("failure")?,
        destinations,
    })
}

fn read_destination(row: &Row) -> Result<ReportDestination, StoreError> {
    let outcome = done(row)?;
    let again_at = if outcome == Outcome::Postponed { row.opt_parse("not_before")? } else { None };
    Ok(ReportDestination {
        location: row.parse("target")?,
        content: row.json("content")?,
        origin: row.json("origin")?,
        outcome,
        digest: row.opt_parse("digest")?,
        failure: row.opt_json("failure")?,
        again_at,
    })
}

fn read_unchanged(row: &Row) -> Result<ReportDestination, StoreError> {
    Ok(ReportDestination {
        location: row.parse("target")?,
        content: row.json("content")?,
        origin: row.json("origin")?,
        outcome: Outcome::UpToDate,
        digest: row.opt_parse("digest")?,
        failure: None,
        again_at: None,
    })
}

/// The outcome of a row that is done.
fn done(row: &Row) -> Result<Outcome, StoreError> {
    read_outcome(row)?.ok_or(StoreError::Corrupt { column: "outcome", text: String::new() })
}
