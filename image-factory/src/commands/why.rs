//! `why`: what is on record about an image: the rule, the source, each destination.

mod print;

use std::collections::BTreeMap;
use std::str::FromStr;

use backends::Store;
use backends::store::{Placement, Story, StoryDestination};
use clap::Args;
use coordinator::report::model::FailureSection;
use jiff::Timestamp;
use proto::content::{IndexForm, Platforms};
use proto::{LayoutRef, Location, Outcome, Repository, RunId};
use serde::Serialize;

use crate::cli::args::DataArgs;
use crate::exit::Exit;
use crate::records::Records;
use crate::text;

/// Tell what is on record about an image: the rule that takes it, what its source showed, what lies at each destination and why.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WhyArgs {
    /// An image as a source names it, or the tag at a destination.
    #[arg(value_name = "REF")]
    pub(crate) image: Subject,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Print it as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// An image, or a repository if no tag is named: an image without one would be `latest`.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    image: Location,
    repository: Option<Repository>,
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let image = text.parse::<Location>().map_err(|error| error.to_string())?;
        let repository = text.parse().ok().filter(|_| matches!(image, Location::Registry(_)));
        Ok(Self { image, repository })
    }
}

const EXAMPLES: &str = "\
Examples:
  image-factory why docker.io/library/nginx:1.29.1
  image-factory why registry.example.com/mirror/library/nginx:1.29.1";

/// Version of the JSON.
const VERSION: u32 = 1;

/// Runs among which the newest of a job is looked for that took all of its file.
const RUNS: usize = 200;

/// Names of a repository that are counted.
const NAMES: usize = 10_000;

/// Names that are offered if there is nothing on record.
const CLOSE: usize = 5;

/// What is on record about an image. Times are RFC 3339.
#[derive(Serialize)]
struct Why {
    version: u32,
    image: String,
    /// One for each job that has it, as its newest run with it tells; newest first.
    tasks: Vec<TaskSection>,
    /// Newer runs that could not list the image's repository.
    unlisted: Vec<UnlistedRun>,
    /// Newer runs that took all of their job, and not this.
    left: Vec<LeftRun>,
    /// How many images of it are on record, if a repository was asked for; `close` has the first.
    images: Option<u64>,
    /// What lies there, if it is a destination of which no task is on record.
    placement: Option<PlacementSection>,
    /// Names on record that resemble it, if nothing is known of it.
    close: Vec<String>,
}

/// An image in the newest run of a job that has it.
#[derive(Serialize)]
struct TaskSection {
    job: String,
    run: String,
    run_started_at: String,
    source: String,
    source_digest: Option<String>,
    /// Null while it is open.
    outcome: Option<&'static str>,
    attempts: u32,
    /// When listings showed it as it was placed, so that it was no task of the run; null if it was one.
    unchanged_at: Option<String>,
    destinations: Vec<DestinationSection>,
}

/// A destination of an image.
#[derive(Serialize)]
struct DestinationSection {
    destination: String,
    /// The rule that takes the tag, as written, and where: `file:line:column`.
    rule: String,
    place: String,
    group: Option<String>,
    owner: Option<String>,
    /// Null while it is open.
    outcome: Option<&'static str>,
    failure: Option<FailureSection>,
    /// The platforms for which it was written anew, if what lies there has another digest than the source.
    written_for: Option<String>,
    /// What lies there by the record.
    placement: Option<PlacementSection>,
}

/// What lies under a destination tag by the record.
#[derive(Serialize)]
struct PlacementSection {
    digest: String,
    /// The job that owns the tag.
    job: String,
    /// When a run last found it so, as far as it asked: listings of some registries tell names only.
    seen_at: String,
    run: String,
    /// When all of it was last sent or asked for; none if it is in doubt.
    verified_at: Option<String>,
}

/// A run that could not list the image's repository.
#[derive(Serialize)]
struct UnlistedRun {
    repository: String,
    job: String,
    run: String,
    run_started_at: String,
    failure: FailureSection,
}

/// A run of which the image is no part.
#[derive(Serialize)]
struct LeftRun {
    job: String,
    run: String,
    run_started_at: String,
}

pub(crate) async fn run(args: WhyArgs) -> anyhow::Result<Exit> {
    let records = Records::need(&args.data).await?;
    let image = on_record(args.image.image);
    let why = match &args.image.repository {
        Some(repository) => Why::of_repository(&image, repository, &records).await?,
        None => Why::of(&image, &records).await?,
    };
    let mut out = text::stdout();
    if args.json {
        text::write_json(&mut out, &why)?;
    } else {
        print::print(&mut out, &why, Timestamp::now())?;
    }
    Ok(if why.is_empty() { Exit::Failed } else { Exit::Done })
}

impl Why {
    async fn of(image: &Location, records: &Records) -> anyhow::Result<Self> {
        let (name, store) = (image.to_string(), &records.store);
        let stories = store.stories(&name).await?;
        let newest = stories.iter().map(|story| story.run).max();
        let mut unlisted = Vec::new();
        if let Some(repository) = repository(image) {
            unlisted = store.stories(&repository).await?;
            unlisted.retain(|story| Some(story.run) >= newest);
        }
        let placement = match stories.is_empty() {
            true => store.placements(std::slice::from_ref(image)).await?.remove(image).map(Into::into),
            false => None,
        };
        let left = newer_without(&stories, &unlisted, store).await?;
        let mut unlisted: Vec<UnlistedRun> = unlisted.into_iter().filter_map(unlisted_run).collect();
        // A newer run that could list the repository, and left the image, has the last word.
        unlisted.retain(|old| left.iter().all(|left| left.job != old.job));
        let tasks = stories.into_iter().map(Into::into).collect();
        let (images, close) = (None, Vec::new());
        let mut why = Self { version: VERSION, image: name, tasks, unlisted, left, images, placement, close };
        if why.is_empty() {
            why.close = store.names_with(&last_part(image), CLOSE).await?;
        }
        Ok(why)
    }

    /// What is on record about a repository: that it was not taken in full, and the names of its images.
    async fn of_repository(image: &Location, repository: &Repository, records: &Records) -> anyhow::Result<Self> {
        let (start, store) = (format!("{repository}:"), &records.store);
        let listings = store.stories(&repository.to_string()).await?;
        let mut names = store.names_with(&start, NAMES).await?;
        names.retain(|name| name.starts_with(&start));
        let images = Some(names.len() as u64);
        names.truncate(CLOSE);
        if names.is_empty() {
            names = store.names_with(&last_part(image), CLOSE).await?;
        }
        Ok(Self {
            version: VERSION,
            image: repository.to_string(),
            tasks: Vec::new(),
            unlisted: listings.into_iter().filter_map(unlisted_run).collect(),
            left: Vec::new(),
            images,
            placement: None,
            close: names,
        })
    }

    fn is_empty(&self) -> bool {
        self.tasks.is_empty()
            && self.unlisted.is_empty()
            && self.left.is_empty()
            && self.images.unwrap_or(0) == 0
            && self.placement.is_none()
    }
}

/// The image as runs name it: a layout by its absolute path.
fn on_record(image: Location) -> Location {
    match image {
        Location::Layout(layout) => {
            let path = std::path::absolute(&layout.path).unwrap_or(layout.path);
            Location::Layout(LayoutRef { path, ..layout })
        }
        other => other,
    }
}

/// The repository of an image, as a run names it that cannot list it.
fn repository(image: &Location) -> Option<String> {
    match image {
        Location::Registry(image) => Some(image.repository.to_string()),
        Location::Layout(layout) => {
            let name: proto::ImageRef = layout.name.as_ref()?.parse().ok()?;
            Some(format!("oci:{}:{}", layout.path.display(), name.repository))
        }
        Location::Archive(_) => None,
    }
}

/// What people know an image by: `nginx` of `docker.io/library/nginx:1.29`.
fn last_part(image: &Location) -> String {
    let name = match image {
        Location::Registry(image) => format!("/{}", image.repository),
        Location::Layout(layout) | Location::Archive(layout) => layout.name.clone().unwrap_or_default(),
    };
    let part = name.rsplit('/').next().unwrap_or_default();
    format!("/{}", part.split([':', '@']).next().unwrap_or_default())
}

/// The newest runs that took all of a job which is on record with the image or its repository, and are newer than that.
async fn newer_without(stories: &[Story], listings: &[Story], store: &Store) -> anyhow::Result<Vec<LeftRun>> {
    let mut newest: BTreeMap<&str, RunId> = BTreeMap::new();
    for story in stories.iter().chain(listings) {
        let run = newest.entry(&story.job).or_insert(story.run);
        *run = story.run.max(*run);
    }
    let mut left = Vec::new();
    let runs = if newest.is_empty() { Vec::new() } else { store.runs(RUNS).await? };
    for run in runs.into_iter().filter(|run| run.expanded && run.only.is_none()) {
        // The newest is met first, and is the only one of its job that counts.
        if newest.remove(run.job.as_str()).is_some_and(|with| with < run.id) {
            let (id, run_started_at) = (run.id.to_string(), run.started_at.to_string());
            left.push(LeftRun { job: run.job, run: id, run_started_at });
        }
    }
    Ok(left)
}

fn unlisted_run(story: Story) -> Option<UnlistedRun> {
    Some(UnlistedRun {
        failure: story.failure.as_ref()?.into(),
        repository: story.source,
        job: story.job,
        run: story.run.to_string(),
        run_started_at: story.run_started_at.to_string(),
    })
}

impl From<Story> for TaskSection {
    fn from(story: Story) -> Self {
        let source = story.source_digest.clone();
        let destination = |destination: StoryDestination| {
            let holds = destination.placement.as_ref().map(|placement| placement.placed.digest.clone());
            let mut section = DestinationSection::from(destination);
            let is_placed = matches!(section.outcome, Some("pushed" | "up_to_date"));
            if !is_placed || source.is_none() || holds.is_none() || source == holds {
                section.written_for = None;
            }
            section
        };
        Self {
            job: story.job,
            run: story.run.to_string(),
            run_started_at: story.run_started_at.to_string(),
            source: story.source,
            source_digest: story.source_digest.map(|digest| digest.to_string()),
            outcome: story.outcome.map(Outcome::as_str),
            attempts: story.attempts,
            unchanged_at: story.unchanged_at.map(|at| at.to_string()),
            destinations: story.destinations.into_iter().map(destination).collect(),
        }
    }
}

impl From<StoryDestination> for DestinationSection {
    fn from(destination: StoryDestination) -> Self {
        let StoryDestination { location, content, origin, outcome, failure, placement } = destination;
        let written_for = match content.platforms {
            Platforms::Only { platforms, index: IndexForm::Rewrite } => {
                Some(platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            _ => None,
        };
        Self {
            destination: location.to_string(),
            rule: origin.rule,
            place: origin.place,
            group: origin.group,
            owner: origin.owner,
            outcome: outcome.map(Outcome::as_str),
            failure: failure.as_ref().map(Into::into),
            written_for,
            placement: placement.map(Into::into),
        }
    }
}

impl From<Placement> for PlacementSection {
    fn from(placement: Placement) -> Self {
        Self {
            digest: placement.placed.digest.to_string(),
            job: placement.job,
            seen_at: placement.seen_at.to_string(),
            verified_at: placement.verified_at.map(|time| time.to_string()),
            run: placement.run.to_string(),
        }
    }
}
