//! `jobs`: which groups run together.

use std::collections::BTreeMap;

use globset::{Glob, GlobMatcher};

use crate::fault::{Place, RuleId};
use crate::groups::Group;
use crate::job::{Job, Source};
use crate::keys;
use crate::quantities::{duration, percent};
use crate::schedule::{Schedule, Window};
use crate::template::RepositoryLocation;
use crate::tree::Node;
use crate::walk::{Fields, Key, Walk, closest, list};

/// Percent of the requests for reading back, if a job says nothing else.
const VERIFY_AT_MOST: u8 = 5;

/// Most tasks at once that may be asked for: no fleet has more slots.
pub(crate) const TASKS_MAX: u32 = 100_000;

/// A job, by the groups that it runs.
pub(crate) struct Selected {
    /// Without what it mirrors.
    job: Job,
    pub(crate) name: String,
    pub(crate) place: Place,
    /// Positions of groups, sorted.
    groups: Vec<usize>,
}

/// Reads a job.
pub(crate) fn read(walk: &mut Walk, key: Key, node: &Node, groups: &[Group]) -> Selected {
    let mut selected = Selected {
        job: empty(Some(key.text.to_owned())),
        name: key.text.to_owned(),
        place: walk.place(key.position),
        groups: Vec::new(),
    };
    let Some(fields) = walk.fields(node, &keys::JOB) else { return selected };
    settings(walk, &fields, &mut selected.job);
    let Some(node) = fields.get("groups") else {
        let mend = "write which, as in `groups: [\"*\"]`";
        walk.fault(fields.position, RuleId::MissingKey, format!("the job `{}` has no `groups`", key.text), mend);
        return selected;
    };
    let faults = walk.faults.len();
    let (mut taken, mut removed) = (vec![false; groups.len()], vec![false; groups.len()]);
    for node in walk.one_or_more(node, "`groups`") {
        let Some(text) = walk.text(node, "a group") else { continue };
        let (list, pattern) = match text.strip_prefix('!') {
            Some(pattern) => (&mut removed, pattern),
            None => (&mut taken, text),
        };
        for at in matching(walk, node, pattern, groups) {
            if let Some(is_in) = list.get_mut(at) {
                *is_in = true;
            }
        }
    }
    selected.groups = (0..groups.len()).filter(|at| taken.get(*at) > removed.get(*at)).collect();
    if selected.groups.is_empty() && walk.faults.len() == faults {
        let message = format!("the job `{}` runs no group", key.text);
        walk.fault(node.position, RuleId::Jobs, message, "write which, as in `groups: [\"*\", \"!scanner-db\"]`");
    }
    selected
}

/// A job that mirrors nothing, and of which the file says nothing.
fn empty(name: Option<String>) -> Job {
    Job {
        name,
        sources: Vec::new(),
        verify_at_most: VERIFY_AT_MOST,
        schedule: None,
        max_duration: None,
        max_concurrency: None,
        window: None,
    }
}

/// What a job says besides its groups.
fn settings(walk: &mut Walk, fields: &Fields, job: &mut Job) {
    if let Some(percent) = fields.get("verify").and_then(|node| verify(walk, node)) {
        job.verify_at_most = percent;
    }
    job.schedule = fields.get("schedule").and_then(|node| Schedule::read(walk, node));
    job.max_duration = fields.get("max_duration").and_then(|node| duration(walk, node, "`max_duration`"));
    job.max_concurrency =
        fields.get("max_concurrency").and_then(|node| walk.number(node, "`max_concurrency`", 1..=TASKS_MAX));
    job.window = fields.get("window").and_then(|node| Window::read(walk, node, job.schedule.as_ref()));
}

fn verify(walk: &mut Walk, node: &Node) -> Option<u8> {
    let fields = walk.filled(node, &keys::VERIFY)?;
    fields.get("at_most").and_then(|node| percent(walk, node, "`at_most`"))
}

/// The groups that a name or a glob means. A name that is none is a fault; a glob that finds nothing may be meant.
fn matching(walk: &mut Walk, node: &Node, pattern: &str, groups: &[Group]) -> Vec<usize> {
    let names = || groups.iter().enumerate().filter_map(|(at, group)| Some((at, group.name.as_deref()?)));
    if !pattern.contains(['*', '?', '[', '{']) {
        let found: Vec<usize> = names().filter(|(_, name)| *name == pattern).map(|(at, _)| at).collect();
        if found.is_empty() {
            let known: Vec<_> = names().map(|(_, name)| name).collect();
            let mend = match closest(pattern, &known) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("groups are {}", list(&known)),
            };
            walk.fault(node.position, RuleId::Jobs, format!("there is no group `{pattern}`"), mend);
        }
        return found;
    }
    let matcher: GlobMatcher = match Glob::new(pattern) {
        Ok(glob) => glob.compile_matcher(),
        Err(error) => {
            let message = format!("`{pattern}` is no pattern: {}", error.kind());
            walk.fault(node.position, RuleId::Jobs, message, "correct the glob, or write names");
            return Vec::new();
        }
    };
    let found: Vec<usize> = names().filter(|(_, name)| matcher.is_match(name)).map(|(at, _)| at).collect();
    if found.is_empty() {
        let message = format!("no group matches `{pattern}`");
        walk.warn(node.position, RuleId::Jobs, message, "correct it, or leave it out");
    }
    found
}

/// The job of each group. Notes groups that are in two, and warns of those in none.
pub(crate) fn of_groups(walk: &mut Walk, jobs: &[Selected], groups: &[Group]) -> Vec<Option<usize>> {
    let mut of_groups: Vec<Option<usize>> = vec![None; groups.len()];
    for (number, job) in jobs.iter().enumerate() {
        for at in &job.groups {
            let (Some(slot), Some(group)) = (of_groups.get_mut(*at), groups.get(*at)) else { continue };
            let Some(other) = slot.and_then(|other| jobs.get(other)) else {
                *slot = Some(number);
                continue;
            };
            let name = group.name.as_deref().unwrap_or_default();
            let message = format!(
                "the job `{}` runs the group `{name}`, and so does `{}` in {}",
                job.name,
                other.name,
                other.place.seen_from(&job.place.file)
            );
            walk.fault_at(job.place.clone(), RuleId::Jobs, message, format!("write `\"!{name}\"` in one of both"));
        }
    }
    for (group, _) in groups.iter().zip(&of_groups).filter(|(_, job)| job.is_none()) {
        let name = group.name.as_deref().unwrap_or_default();
        let message = format!("no job runs the group `{name}`");
        walk.warn_at(group.place.clone(), RuleId::UnusedGroup, message, "name it in a job, or leave it out");
    }
    of_groups
}

/// The jobs with what they mirror; one without a name if the file has no `jobs`.
pub(crate) fn assemble(jobs: Vec<Selected>, groups: Vec<Group>, of_groups: &[Option<usize>]) -> Vec<Job> {
    let mut assembled: Vec<Job> = jobs.into_iter().map(|selected| selected.job).collect();
    if assembled.is_empty() {
        assembled.push(empty(None));
    }
    let mut known: BTreeMap<(usize, RepositoryLocation), usize> = BTreeMap::new();
    for (group, number) in groups.into_iter().zip(of_groups) {
        let Some((number, job)) = number.and_then(|number| Some((number, assembled.get_mut(number)?))) else {
            continue;
        };
        for (location, line) in group.lines {
            let at = *known.entry((number, location.clone())).or_insert(job.sources.len());
            match job.sources.get_mut(at) {
                Some(source) => source.lines.push(line),
                None => job.sources.push(Source { location, lines: vec![line] }),
            }
        }
    }
    assembled
}
