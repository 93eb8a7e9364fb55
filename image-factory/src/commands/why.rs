//! `why`: what is on record about an image: the rule, the source, each destination.

mod print;

use std::io::Write;

use backends::store::{Placement, Story, StoryDestination};
use clap::Args;
use coordinator::report::model::FailureSection;
use jiff::Timestamp;
use proto::{LayoutRef, Location, Outcome};
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
    pub(crate) image: Location,

    #[command(flatten)]
    pub(crate) data: DataArgs,

    /// Print it as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  image-factory why docker.io/library/nginx:1.29.1
  image-factory why registry.example.com/mirror/library/nginx:1.29.1";

/// Version of the JSON.
const VERSION: u32 = 1;

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
    /// What lies there by the record.
    placement: Option<PlacementSection>,
}

/// What lies under a destination tag by the record.
#[derive(Serialize)]
struct PlacementSection {
    digest: String,
    /// The job that owns the tag.
    job: String,
    /// When that was last verified, and by which run.
    seen_at: String,
    run: String,
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

pub(crate) async fn run(args: WhyArgs) -> anyhow::Result<Exit> {
    let records = Records::need(&args.data).await?;
    let why = Why::of(&on_record(args.image), &records).await?;
    let mut out = text::stdout();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &why)?;
        writeln!(out)?;
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
            let listings = store.stories(&repository).await?.into_iter().filter(|story| Some(story.run) >= newest);
            unlisted.extend(listings.filter_map(unlisted_run));
        }
        let placement = match stories.is_empty() {
            true => store.placements(std::slice::from_ref(image)).await?.remove(image).map(Into::into),
            false => None,
        };
        let tasks = stories.into_iter().map(Into::into).collect();
        let mut why = Self { version: VERSION, image: name, tasks, unlisted, placement, close: Vec::new() };
        if why.is_empty() {
            why.close = store.names_with(&last_part(image), CLOSE).await?;
        }
        Ok(why)
    }

    fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.unlisted.is_empty() && self.placement.is_none()
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
        Self {
            job: story.job,
            run: story.run.to_string(),
            run_started_at: story.run_started_at.to_string(),
            source: story.source,
            source_digest: story.source_digest.map(|digest| digest.to_string()),
            outcome: story.outcome.map(Outcome::as_str),
            attempts: story.attempts,
            destinations: story.destinations.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<StoryDestination> for DestinationSection {
    fn from(destination: StoryDestination) -> Self {
        let StoryDestination { location, origin, outcome, failure, placement } = destination;
        Self {
            destination: location.to_string(),
            rule: origin.rule,
            place: origin.place,
            group: origin.group,
            owner: origin.owner,
            outcome: outcome.map(Outcome::as_str),
            failure: failure.as_ref().map(Into::into),
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
            run: placement.run.to_string(),
        }
    }
}
