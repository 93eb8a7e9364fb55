//! From the tags of a source to tasks. Pure.

mod compare;
mod only;

use std::collections::{BTreeMap, BTreeSet};

use backends::store::{NewDestination, NewTask, Origin, Unchanged};
use jobfile::{Line, Source, Taken};
use proto::{Class, Code, Digest, Failure, Location};
use registry::Tags;

pub use compare::{Known, Listing};
use only::Pin;
pub use only::{Only, Pins, ReferenceGlob};

/// Why a line with `by: time` selects nothing.
pub const UNTIMED: &str = "the registry's listing does not say when tags were set";

/// What a job wants of a repository, now that its tags are known.
#[derive(Debug, Default)]
pub struct Expansion {
    /// One task for each image that some line takes, with the destinations of all that do.
    pub tasks: Vec<NewTask>,
    /// Those that need not be done: [`Expansion::compare`] finds them.
    pub unchanged: Vec<Unchanged>,
    /// Why nothing is taken for lines that find another number of tags than they expect, or cannot tell which are the
    /// newest; none if all is as expected.
    pub failure: Option<Failure>,
    /// What is worth a look: rules that found nothing.
    pub warnings: Vec<String>,
    /// Of what the run is limited to, what these tasks meet.
    pub met: BTreeSet<String>,
}

/// Applies the rules of all lines for a repository to the tags that it has, and makes tasks of those that `only` allows;
/// what lines expect holds of all that they take.
pub fn expand(source: &Source, listed: &Tags, only: &Only) -> Expansion {
    let mut expansion = Expansion::default();
    let mut found = Found::default();
    let (mut unexpected, mut untimed) = (Vec::new(), Vec::new());
    for line in &source.lines {
        let selection = line.rules.select_timed(&listed.tags, &listed.times);
        if selection.untimed > 0 {
            untimed.push(line.place.to_string());
            continue;
        }
        if !line.expect.allows(selection.taken.len()) {
            unexpected.push(describe_unexpected(line, selection.taken.len()));
            continue;
        }
        let warning = |rule: &String| format!("{}: no tag matches `{rule}`", source.location);
        expansion.warnings.extend(selection.idle.iter().map(warning));
        for taken in &selection.taken {
            found.note(source, line, (taken, listed.digests.get(&taken.tag)), only);
        }
    }
    if let Some(hint) = hint(&unexpected, &untimed) {
        unexpected.extend(untimed.iter().map(|place| format!("{UNTIMED}, by which {place} selects")));
        let message = format!("select tags of `{}`: {}", source.location, unexpected.join("; "));
        let code = Code::SelectionUnexpected;
        expansion.failure = Some(Failure::new(None, code, Class::Reject, &message, Some(hint)));
    }
    (expansion.tasks, expansion.met) = (found.tasks, found.met);
    expansion
}

/// What to do about lines of which nothing is taken.
fn hint(unexpected: &[String], untimed: &[String]) -> Option<&'static str> {
    match (unexpected, untimed) {
        ([], []) => None,
        ([], _) => Some("select by version or by name: without `by: time`"),
        _ => Some("look with `image-factory tags`; if it is right, change `expect`"),
    }
}

fn describe_unexpected(line: &Line, tags: usize) -> String {
    let bound = |word, bound: Option<u32>| bound.map(|bound| format!("{word} {bound}"));
    let bounds: Vec<String> =
        [bound("at least", line.expect.min), bound("at most", line.expect.max)].into_iter().flatten().collect();
    format!("{tags} are selected by {}, where {} are expected", line.place, bounds.join(" and "))
}

/// Tasks so far, each source once.
#[derive(Default)]
struct Found {
    tasks: Vec<NewTask>,
    /// Where the task of a source is among them.
    positions: BTreeMap<Location, usize>,
    /// Of what the run is limited to, what is met.
    met: BTreeSet<String>,
}

impl Found {
    /// Adds what `line` wants done with a tag, which was listed with a digest or not; where another line wants the same,
    /// that one was first and stays.
    fn note(&mut self, source: &Source, line: &Line, (taken, listed): (&Taken, Option<&Digest>), only: &Only) {
        let image = source.image(taken);
        let wishes = only.wishes_for(&source.location, &image, &taken.tag);
        if wishes.is_empty() && !matches!(only, Only::All) {
            return;
        }
        self.met.extend(wishes);
        for location in line.targets(&taken.tag) {
            let (image, pinned) = match only.pin(&image, &location) {
                Pin::None => (image.clone(), taken.digest.as_ref()),
                Pin::At(digest) => (source.location.image(&taken.tag, Some(digest)), Some(digest)),
                Pin::Elsewhere => continue,
            };
            // What is pinned is wanted whatever its tag shows.
            let destinations = self.destinations_of(image, listed.filter(|_| pinned.is_none()));
            if destinations.iter().all(|destination| destination.location != location) {
                let (content, origin) = (line.content.clone(), origin(line, taken));
                destinations.push(NewDestination { content, origin, ..location.into() });
            }
        }
    }

    /// Those of an image's task, which is made if there is none.
    fn destinations_of(&mut self, image: Location, listed: Option<&Digest>) -> &mut Vec<NewDestination> {
        let position = *self.positions.entry(image.clone()).or_insert_with(|| {
            self.tasks.push(NewTask { listed: listed.cloned(), ..NewTask::new(image, Vec::new()) });
            self.tasks.len() - 1
        });
        &mut self.tasks[position].destinations
    }
}

fn origin(line: &Line, taken: &Taken) -> Origin {
    Origin {
        group: line.group.clone(),
        owner: line.owner.clone(),
        kind: line.kind,
        rule: taken.rule.clone(),
        place: line.place.to_string(),
    }
}
