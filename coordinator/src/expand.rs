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

/// What a job wants of a repository, now that its tags are known.
#[derive(Debug, Default)]
pub struct Expansion {
    /// One task for each image that some line takes, with the destinations of all that do.
    pub tasks: Vec<NewTask>,
    /// Those that need not be done: [`Expansion::compare`] finds them.
    pub unchanged: Vec<Unchanged>,
    /// Why nothing is taken for lines that find another number of tags than they expect; none if all is as expected.
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
    let mut unexpected = Vec::new();
    for line in &source.lines {
        let selection = line.rules.select(&listed.tags);
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
    if !unexpected.is_empty() {
        let message = format!("select tags of `{}`: {}", source.location, unexpected.join("; "));
        let hint = "look with `image-factory tags`; if it is right, change `expect`";
        let code = Code::SelectionUnexpected;
        expansion.failure = Some(Failure::new(None, code, Class::Reject, &message, Some(hint)));
    }
    (expansion.tasks, expansion.met) = (found.tasks, found.met);
    expansion
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
