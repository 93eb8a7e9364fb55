//! A plan for people: as text for a terminal, and as Markdown for a pull request.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::change::{Change, RepositoryChange, repository_of};
use super::{Action, Cost, DestinationPlan, ImagePlan, Plan};
use crate::text;

/// Tags named on a line; the document has all.
const NAMED: usize = 6;

/// Lines of one kind at most.
const LINES: usize = 40;

/// How the parts of a plan are marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For a terminal.
    Text,
    /// For a pull request.
    Markdown,
}

/// Destinations of one repository at which the same would be done.
#[derive(Default)]
struct Lot {
    tags: Vec<String>,
    bytes: u64,
    /// Some sizes are not in `bytes`.
    is_partial: bool,
}

/// Writes a plan in `form`.
pub(crate) fn write(out: &mut impl Write, plan: &Plan, form: Form) -> io::Result<()> {
    let mut page = Page { out, form };
    match &plan.change {
        Some(change) => page.change(plan, change)?,
        None => page.plan(plan)?,
    }
    page.costs(&plan.costs)?;
    for job in &plan.jobs {
        for failed in &job.failed {
            let why = page.code(&failed.failure.to_string());
            page.line("fail", &format!("{}: {why}", page.code(&failed.repository)))?;
            page.mend(failed.failure.hint.as_deref())?;
        }
        for warning in &job.warnings {
            page.line("warning", warning)?;
        }
    }
    page.out.flush()
}

struct Page<'o, O> {
    out: &'o mut O,
    form: Form,
}

impl<O: Write> Page<'_, O> {
    /// What the next run would do.
    fn plan(&mut self, plan: &Plan) -> io::Result<()> {
        self.head(&format!("plan of {} ({})", self.code(&plan.file), short(&plan.file_digest.to_string())))?;
        let counted = Action::ALL.into_iter().map(|action| (action, plan.count(action)));
        let told = |(action, count): (Action, usize)| {
            let what = format!("{}: {}", action.as_str(), text::count(count as u64, "destination"));
            (count > 0).then_some(what)
        };
        let mut counted: Vec<String> = counted.filter_map(told).collect();
        let failed: usize = plan.jobs.iter().map(|job| job.failed.len()).sum();
        counted.extend((failed > 0).then(|| format!("fail: {}", repositories(failed))));
        self.paragraph(&if counted.is_empty() { "no image is wanted".to_owned() } else { counted.join(" · ") })?;
        for action in [Action::Create, Action::Move, Action::Confirm] {
            self.lots(plan, action)?;
        }
        self.unable(plan)
    }

    /// What changes between two versions of the file.
    fn change(&mut self, plan: &Plan, change: &Change) -> io::Result<()> {
        let (file, other) = (self.code(&plan.file), self.code(&change.against));
        self.head(&format!("{file} against {other}"))?;
        let sum = |tags: fn(&RepositoryChange) -> usize| change.repositories.iter().map(tags).sum::<usize>();
        let (tags_in, tags_out) = (sum(|c| c.tags_in.len()), sum(|c| c.tags_out.len()));
        let differ = sum(|c| c.changes.iter().map(|difference| difference.tags.len()).sum());
        self.paragraph(&match (tags_in, tags_out, differ) {
            (0, 0, 0) => "the same images go to the same places".to_owned(),
            _ => {
                let tags = |number: usize| text::count(number as u64, "tag");
                format!("{} in · {} out · {} otherwise changed", tags(tags_in), tags(tags_out), tags(differ))
            }
        })?;
        let bytes = Bytes::of(plan);
        for change in &change.repositories {
            self.repository(change, &bytes)?;
        }
        self.unable(plan)
    }

    fn repository(&mut self, change: &RepositoryChange, bytes: &Bytes) -> io::Result<()> {
        let RepositoryChange { repository, tags_in, tags_out, changes, failure } = change;
        let name = self.code(repository);
        if !tags_in.is_empty() {
            let size = bytes.told(repository, tags_in);
            self.line("in", &format!("{name}  {}{size}", self.tags(tags_in)))?;
        }
        if !tags_out.is_empty() {
            self.line("out", &format!("{name}  {}  (what lies at the destination stays)", self.tags(tags_out)))?;
        }
        for difference in changes {
            let or_none = |values: &[String]| if values.is_empty() { "none".to_owned() } else { values.join(", ") };
            let (before, after) = (or_none(&difference.before), or_none(&difference.after));
            let tags = self.tags(&difference.tags);
            self.line(&difference.what, &format!("{name}  {before} → {after}  {tags}"))?;
        }
        if let Some(failure) = failure {
            self.line("fail", &format!("{name}: {}", self.code(&failure.to_string())))?;
            self.mend(failure.hint.as_deref())?;
        }
        Ok(())
    }

    /// The destinations of an action, those of a repository together.
    fn lots(&mut self, plan: &Plan, action: Action) -> io::Result<()> {
        let mut lots: BTreeMap<(String, String), Lot> = BTreeMap::new();
        for (image, destination) in plan.destinations().filter(|(_, destination)| destination.action == action) {
            let key = (repository_of(&image.source), repository_of(&destination.destination));
            let lot = lots.entry(key).or_default();
            lot.tags.push(told_tag(image, destination));
            lot.bytes = lot.bytes.saturating_add(destination.bytes.unwrap_or_default());
            lot.is_partial |= destination.bytes.is_none();
        }
        let left = lots.len().saturating_sub(LINES);
        for ((source, to), lot) in lots.into_iter().take(LINES) {
            let (source, to) = (self.code(&source), self.code(&to));
            let size = if lot.is_partial { "size unknown".to_owned() } else { text::bytes(lot.bytes) };
            self.line(action.as_str(), &format!("{source} → {to}  {size}  {}", self.tags(&lot.tags)))?;
        }
        match left {
            0 => Ok(()),
            _ => self.line(action.as_str(), &format!("{left} more repositories: `--format json` names all")),
        }
    }

    /// What would fail or wait, alike things together.
    fn unable(&mut self, plan: &Plan) -> io::Result<()> {
        let mut causes: BTreeMap<(Action, String, Option<String>), Vec<String>> = BTreeMap::new();
        for (image, destination) in plan.destinations() {
            let Some(failure) = &destination.failure else { continue };
            let key = (destination.action, failure.to_string(), failure.hint.clone());
            causes.entry(key).or_default().push(image.source.to_string());
        }
        for ((action, message, hint), images) in causes {
            self.line(action.as_str(), &format!("{}: {}", self.tags(&images), self.code(&message)))?;
            self.mend(hint.as_deref())?;
        }
        Ok(())
    }

    fn costs(&mut self, costs: &BTreeMap<String, Cost>) -> io::Result<()> {
        for (host, cost) in costs {
            let Cost { requests, bytes, unknown, seconds, .. } = cost;
            let mut parts = vec![format!("about {}", text::count(*requests, "request"))];
            parts
                .extend(seconds.filter(|seconds| *seconds > 0).map(|seconds| format!("at least {seconds} s for them")));
            parts.extend(pulls(cost));
            parts.extend((*bytes > 0).then(|| format!("at most {} written", text::bytes(*bytes))));
            parts.extend((*unknown > 0).then(|| format!("{} of unknown size written", text::count(*unknown, "image"))));
            self.line("cost", &format!("{}  {}", self.code(host), parts.join(" · ")))?;
        }
        Ok(())
    }

    fn head(&mut self, text: &str) -> io::Result<()> {
        match self.form {
            Form::Text => writeln!(self.out, "{text}"),
            Form::Markdown => writeln!(self.out, "### {text}\n"),
        }
    }

    fn paragraph(&mut self, text: &str) -> io::Result<()> {
        match self.form {
            Form::Text => writeln!(self.out, "  {text}"),
            Form::Markdown => writeln!(self.out, "{text}\n"),
        }
    }

    fn line(&mut self, word: &str, text: &str) -> io::Result<()> {
        match self.form {
            Form::Text => writeln!(self.out, "{word:<11}  {text}"),
            Form::Markdown => writeln!(self.out, "- **{word}** {text}"),
        }
    }

    fn mend(&mut self, hint: Option<&str>) -> io::Result<()> {
        let Some(hint) = hint else { return Ok(()) };
        match self.form {
            Form::Text => writeln!(self.out, "{:<11}  mend: {hint}", ""),
            Form::Markdown => writeln!(self.out, "  mend: {hint}"),
        }
    }

    /// A name, so marked that nothing in it means something else.
    fn code(&self, name: &str) -> String {
        match self.form {
            Form::Text => name.to_owned(),
            Form::Markdown => format!("`{}`", name.replace('`', "'")),
        }
    }

    /// How many, and the first of them.
    fn tags(&self, tags: &[String]) -> String {
        let named: Vec<String> = tags.iter().take(NAMED).map(|tag| self.code(tag)).collect();
        match tags.len().saturating_sub(NAMED) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }
}

/// Bytes of images by repository and tag.
struct Bytes(BTreeMap<String, Option<u64>>);

impl Bytes {
    fn of(plan: &Plan) -> Self {
        let sizes = plan.destinations().map(|(image, destination)| (image.source.to_string(), destination.bytes));
        Self(sizes.collect())
    }

    /// The sum for some tags of a repository.
    fn told(&self, repository: &str, tags: &[String]) -> String {
        let mut sizes = tags.iter().map(|tag| self.0.get(&format!("{repository}:{tag}")).copied().flatten());
        let sum = |sum: u64, size: Option<u64>| Some(sum.saturating_add(size?));
        match sizes.try_fold(0, sum) {
            Some(bytes) => format!("  {} at most", text::bytes(bytes)),
            None => "  size unknown".to_owned(),
        }
    }
}

/// A tag, with what it shows and will show if it moves.
fn told_tag(image: &ImagePlan, destination: &DestinationPlan) -> String {
    let tag = super::change::tag_of(&image.source);
    match (destination.action, &destination.shows, &destination.becomes) {
        (Action::Move, Some(shows), Some(digest)) => {
            format!("{tag} ({} → {})", short(&shows.to_string()), short(&digest.to_string()))
        }
        _ => tag,
    }
}

fn repositories(number: usize) -> String {
    if number == 1 { "1 repository".to_owned() } else { format!("{number} repositories") }
}

/// The part of a digest that people compare.
fn short(digest: &str) -> &str {
    let hex = digest.rsplit_once(':').map_or(digest, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}

/// What of the pulls of a run a registry allows now.
fn pulls(cost: &Cost) -> Option<String> {
    let Some(allowed) = cost.allowed.filter(|_| cost.pulls > 0) else {
        return (cost.pulls > 0).then(|| format!("{} read", text::count(cost.pulls, "manifest")));
    };
    let now = cost.pulls.min(allowed.left);
    let postponed = cost.postponed();
    // Their manifests were not read for the plan: that would have been pulls.
    let more_platforms = if cost.unknown > 0 { "; more if images have several platforms" } else { "" };
    if postponed == 0 {
        return Some(format!("{} of {} left{more_platforms}", text::count(cost.pulls, "pull"), allowed.left));
    }
    let hours = |seconds: u64| format!("{:.1} h", seconds as f64 / 3_600.0);
    let more = match allowed.limit.filter(|limit| *limit > 0) {
        Some(limit) => format!(", all of them in {}", hours(postponed.div_ceil(limit) * allowed.window_seconds)),
        None => String::new(),
    };
    Some(format!("{now} of {} pulls now, {postponed} postponed{more}{more_platforms}", cost.pulls))
}
