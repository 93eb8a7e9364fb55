//! `show`: what a job file says of an image, without asking anybody.

mod access;

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use jobfile::{JobFile, Setting, printable};
use proto::Tag;
use serde::Serialize;

use crate::exit::Exit;
use crate::files;
use crate::find::{self, Asked, Found};
use crate::text;
use access::Reached;

/// Show what a job file says of images: which rule takes them, where they go, and the settings in force, each with the
/// place that it comes from. Nothing is asked or changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct ShowArgs {
    /// The job file.
    file: PathBuf,

    /// Images or repositories, as at their source or as at a destination.
    #[arg(required = true, value_name = "REF")]
    asked: Vec<Asked>,

    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// Version of the JSON.
const VERSION: u32 = 1;

const EXAMPLE: &str = "\
Examples:
  image-factory show first.yaml docker.io/library/alpine:3.22
  image-factory show first.yaml registry.example.com/mirror/library/nginx";

pub(crate) fn run(args: &ShowArgs) -> anyhow::Result<Exit> {
    let file = files::load(&args.file)?;
    let answers: Vec<Answer> = args.asked.iter().map(|asked| Answer::of(&file, asked)).collect();
    let shown = All { version: VERSION, answers };
    let mut out = text::stdout();
    if args.json {
        text::write_json(&mut out, &shown)?;
    } else {
        for (answer, asked) in shown.answers.iter().zip(&args.asked) {
            if answer.lines.is_empty() {
                writeln!(out, "{}", printable(&find::not_found(asked, &answer.skipped, &answer.closest)))?;
            }
            for line in &answer.lines {
                line.print(&mut out)?;
            }
        }
    }
    let all_found = shown.answers.iter().all(|answer| !answer.lines.is_empty());
    Ok(if all_found { Exit::Done } else { Exit::Failed })
}

/// What the file says, in the order in which it was asked.
#[derive(Debug, Serialize)]
struct All {
    version: u32,
    answers: Vec<Answer>,
}

/// What the file says of what was asked.
#[derive(Debug, Serialize)]
struct Answer {
    asked: String,
    /// One for each line of the file that is about it.
    lines: Vec<Shown>,
    /// Where the file says to skip it, if it has no line.
    skipped: Vec<String>,
    /// Repositories of the file with names like it, if it has no line.
    closest: Vec<String>,
}

/// What a line of the file says.
#[derive(Debug, Serialize)]
struct Shown {
    source: String,
    place: String,
    job: Option<String>,
    group: Option<String>,
    tag: Option<Fate>,
    /// Where the image goes, or those of the repository.
    destinations: Vec<String>,
    settings: Vec<InForce>,
    registries: Vec<Reached>,
}

/// What becomes of a tag.
#[derive(Debug, Serialize)]
struct Fate {
    tag: String,
    taken: bool,
    /// Whether the other tags of the repository may change that.
    depends_on_listing: bool,
    /// The rule that takes it.
    rule: Option<String>,
    digest: Option<String>,
    /// Why it is left.
    why: Option<String>,
}

/// A setting in force.
#[derive(Debug, Serialize)]
struct InForce {
    key: &'static str,
    value: String,
    /// None for a default.
    place: Option<String>,
}

impl Answer {
    fn of(file: &JobFile, asked: &Asked) -> Self {
        let lines: Vec<_> =
            find::lines(file, &asked.location).iter().map(|found| Shown::of(file, found, asked.tag.as_ref())).collect();
        let (mut skipped, mut closest) = (Vec::new(), Vec::new());
        if lines.is_empty() {
            skipped = find::skipped(file, &asked.location);
            closest = find::closest(file, &asked.location);
        }
        Self { asked: asked.to_string(), lines, skipped, closest }
    }
}

impl Shown {
    fn of(file: &JobFile, found: &Found<'_>, tag: Option<&Tag>) -> Self {
        let Found { job, source, line } = found;
        let destinations = match tag {
            Some(tag) => line.targets(tag).map(|target| target.to_string()).collect(),
            None => line.destinations.iter().map(ToString::to_string).collect(),
        };
        let setting = |Setting { key, value, place }: &Setting| InForce {
            key,
            value: value.clone(),
            place: place.as_ref().map(ToString::to_string),
        };
        let reached = std::iter::once(&source.location).chain(&line.destinations);
        Self {
            source: source.location.to_string(),
            place: line.place.to_string(),
            job: job.map(str::to_owned),
            group: line.group.clone(),
            tag: tag.map(|tag| Fate::of(tag, found)),
            destinations,
            settings: line.settings.iter().map(setting).collect(),
            registries: reached.filter_map(|location| Reached::of(location, &file.access)).collect(),
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let tag = self.tag.as_ref().map(|fate| format!(":{}", fate.tag)).unwrap_or_default();
        writeln!(out, "{}{tag}  {}", printable(&self.source), printable(&self.place))?;
        let mut row = |key: &str, value: &str| writeln!(out, "  {key:<12} {}", printable(value));
        for (key, value) in [("job", &self.job), ("group", &self.group)] {
            value.iter().try_for_each(|value| row(key, value))?;
        }
        if let Some(fate) = &self.tag {
            row("tag", &fate.to_string())?;
        }
        let word = match &self.tag {
            Some(fate) if !fate.taken => "would go to",
            _ => "goes to",
        };
        self.destinations.iter().try_for_each(|destination| row(word, destination))?;
        self.registries.iter().try_for_each(|reached| row("login", &reached.to_string()))?;
        let width = self.settings.iter().map(|setting| setting.value.chars().count()).max().unwrap_or(0).min(60);
        for InForce { key, value, place } in &self.settings {
            row(key, &format!("{value:<width$}  ({})", place.as_deref().unwrap_or("default")))?;
        }
        Ok(())
    }
}

impl Fate {
    fn of(tag: &Tag, found: &Found<'_>) -> Self {
        let rules = &found.line.rules;
        // Whenever it was set: where it is the only one, it is the newest.
        let times = HashMap::from([(tag.clone(), Timestamp::UNIX_EPOCH)]);
        let selection = rules.select_timed(std::slice::from_ref(tag), &times);
        let taken = selection.taken.into_iter().find(|taken| taken.tag == *tag);
        let dropped = selection.dropped.into_iter().find(|dropped| dropped.tag == *tag);
        Self {
            tag: tag.to_string(),
            taken: taken.is_some(),
            depends_on_listing: taken.is_some() && !rules.take_by_text(tag),
            digest: taken.as_ref().and_then(|taken| taken.digest.as_ref()).map(ToString::to_string),
            rule: taken.map(|taken| taken.rule),
            why: dropped.map(|dropped| dropped.why.to_string()),
        }
    }
}

impl std::fmt::Display for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.rule, &self.why) {
            (Some(rule), _) => write!(f, "taken by `{rule}`")?,
            (None, Some(why)) => write!(f, "left: {why}")?,
            (None, None) => {}
        }
        if self.depends_on_listing {
            write!(f, ", unless other tags of the repository change that: `image-factory tags` asks for them")?;
        }
        Ok(())
    }
}
