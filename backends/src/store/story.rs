//! What is on record about an image, whichever run it was part of.

use std::collections::HashMap;

use jiff::Timestamp;
use proto::{Content, Digest, Failure, Location, Outcome, RunId, TaskId};

use super::db::Row;
use super::placements::read_placement;
use super::settle::read_outcome;
use super::{Origin, Placement, Store, StoreError};

/// A task that names an image, or a repository that could not be listed, or an image that was seen unchanged without a
/// task, in the newest run of a job that did so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// The job.
    pub job: String,
    /// The run.
    pub run: RunId,
    /// When the run was started.
    pub run_started_at: Timestamp,
    /// The image, or the repository.
    pub source: String,
    /// What the source showed, if it was asked.
    pub source_digest: Option<Digest>,
    /// How it ended; none while it is open.
    pub outcome: Option<Outcome>,
    /// How many attempts there were; 0 if none was needed.
    pub attempts: u32,
    /// When listings showed it as it was placed, if it was no task.
    pub unchanged_at: Option<Timestamp>,
    /// Why the repository could not be listed.
    pub failure: Option<Failure>,
    /// Where the image was to go, in the file's order.
    pub destinations: Vec<StoryDestination>,
}

/// A destination of a [`Story`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoryDestination {
    /// The destination.
    pub location: Location,
    /// What of the image was to go there.
    pub content: Content,
    /// Who wanted the image there.
    pub origin: Origin,
    /// How it ended there; none while it is open.
    pub outcome: Option<Outcome>,
    /// Why it failed, or was last tried in vain.
    pub failure: Option<Failure>,
    /// What lies there by the record, whoever put it.
    pub placement: Option<Placement>,
}

impl Store {
    /// What is on record about `name`, the text of a location: tasks, or images seen unchanged, of which it is the source,
    /// pinned to a digest or not, or a destination. Of each job the newest run that has some; newest first, then by source.
    ///
    /// # Errors
    /// The database failed.
    pub async fn stories(&self, name: &str) -> Result<Vec<Story>, StoreError> {
        let sql = "select * from (
                 select tasks.*, runs.job, runs.started_at as run_started_at,
                     (select coalesce(max(attempt), 0) from destinations where task = tasks.id) as attempts,
                     dense_rank() over (partition by runs.job order by tasks.run desc) as age
                 from tasks join runs on runs.id = tasks.run
                 where tasks.source = $1 or tasks.source between $1 || '@' and $1 || '@~'
                     or tasks.id in (select task from destinations where target = $1)) as named
             where age = 1 order by run desc, source";
        let rows = self.db.rows("read what is known of an image", sql, &[name.into()]).await?;
        let mut stories = self.unchanged_stories(name).await?;
        for row in &rows {
            let destinations = self.story_destinations(row.parse("id")?).await?;
            stories.push(read_story(row, destinations)?);
        }
        let mut newest: HashMap<String, RunId> = HashMap::new();
        for story in &stories {
            let run = newest.entry(story.job.clone()).or_insert(story.run);
            *run = story.run.max(*run);
        }
        stories.retain(|story| newest.get(&story.job) == Some(&story.run));
        stories.sort_by(|a, b| b.run.cmp(&a.run).then_with(|| a.source.cmp(&b.source)));
        Ok(stories)
    }

    /// The same, of images that were seen unchanged; of any run.
    async fn unchanged_stories(&self, name: &str) -> Result<Vec<Story>, StoreError> {
        let sql = "select unchanged.target, unchanged.run as seen_in, unchanged.source, unchanged.source_digest,
                 unchanged.content, unchanged.origin, unchanged.seen_at as unchanged_at, runs.job as seen_by,
                 runs.started_at as run_started_at, placements.job, placements.digest, placements.fingerprint,
                 placements.seen_at, placements.run, placements.verified_at
             from (
                 select run, source from unchanged where source = $1
                 union select run, source from unchanged where project = 'default' and target = $1
             ) as named
             join unchanged on unchanged.run = named.run and unchanged.source = named.source
             join runs on runs.id = unchanged.run
             left join placements on placements.project = unchanged.project and placements.target = unchanged.target
             order by unchanged.run, unchanged.source, unchanged.position";
        let mut stories: Vec<Story> = Vec::new();
        for row in &self.db.rows("read where an image was seen unchanged", sql, &[name.into()]).await? {
            let (run, source): (RunId, String) = (row.parse("seen_in")?, row.text("source")?);
            let destination = read_destination(row, Some(Outcome::UpToDate), None)?;
            match stories.last_mut().filter(|story| story.run == run && story.source == source) {
                Some(story) => story.destinations.push(destination),
                None => stories.push(Story {
                    job: row.text("seen_by")?,
                    run,
                    run_started_at: row.parse("run_started_at")?,
                    source,
                    source_digest: row.opt_parse("source_digest")?,
                    outcome: Some(Outcome::UpToDate),
                    attempts: 0,
                    unchanged_at: row.opt_parse("unchanged_at")?,
                    failure: None,
                    destinations: vec![destination],
                }),
            }
        }
        Ok(stories)
    }

    async fn story_destinations(&self, task: TaskId) -> Result<Vec<StoryDestination>, StoreError> {
        let sql = "select destinations.target, destinations.content, destinations.origin, destinations.outcome, destinations.failure,
                 placements.job, placements.digest, placements.fingerprint,
                 placements.seen_at, placements.run, placements.verified_at
             from destinations
             left join placements on placements.project = 'default' and placements.target = destinations.target
             where destinations.task = $1 order by destinations.position";
        let rows = self.db.rows("read the destinations of an image", sql, &[task.into()]).await?;
        rows.iter().map(|row| read_destination(row, read_outcome(row)?, row.opt_json("failure")?)).collect()
    }

    /// Up to `limit` sources and destinations on record whose name holds `part`, in the order of their names.
    ///
    /// # Errors
    /// The database failed.
    pub async fn names_with(&self, part: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let sql = "select source as name from tasks where replace(source, $1, '') <> source
             union select target from placements where replace(target, $1, '') <> target
             order by name limit $2";
        let rows = self.db.rows("look for names", sql, &[part.into(), limit.into()]).await?;
        rows.iter().map(|row| row.text("name")).collect()
    }
}

fn read_story(row: &Row, destinations: Vec<StoryDestination>) -> Result<Story, StoreError> {
    Ok(Story {
        job: row.text("job")?,
        run: row.parse("run")?,
        run_started_at: row.parse("run_started_at")?,
        source: row.text("source")?,
        source_digest: row.opt_parse("source_digest")?,
        outcome: read_outcome(row)?,
        attempts: row.number("attempts")?,
        unchanged_at: None,
        failure: row.opt_json("failure")?,
        destinations,
    })
}

/// A destination, of a row that has its placement's columns too.
fn read_destination(
    row: &Row,
    outcome: Option<Outcome>,
    failure: Option<Failure>,
) -> Result<StoryDestination, StoreError> {
    let is_placed = row.opt_text("job")?.is_some();
    Ok(StoryDestination {
        location: row.parse("target")?,
        content: row.json("content")?,
        origin: row.json("origin")?,
        outcome,
        failure,
        placement: is_placed.then(|| read_placement(row)).transpose()?,
    })
}
