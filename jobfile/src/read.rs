//! The file as a whole: its top level, and what its files define together.

use crate::access::{self, Registries};
use crate::collisions;
use crate::destinations::Destinations;
use crate::fault::{Place, RuleId};
use crate::files::Files;
use crate::groups::{Definitions, Group};
use crate::include::{self, Included, Rights};
use crate::job::Job;
use crate::jobs;
use crate::keys;
use crate::layers::{Layer, Names};
use crate::rules::TagSets;
use crate::template::RepositoryLocation;
use crate::tree::{Node, Value};
use crate::walk::{Fields, Walk};
use proto::settings::Access;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One of the files: where it lies, what is in it, and what an include allows it.
struct Part<'t> {
    file: Arc<Path>,
    folder: PathBuf,
    fields: Fields<'t>,
    rights: Option<&'t Rights>,
}

/// What all of them say together.
#[derive(Default)]
pub(crate) struct Content {
    pub(crate) jobs: Vec<Job>,
    pub(crate) access: Access,
    pub(crate) sets: TagSets,
    pub(crate) skipped: Vec<(RepositoryLocation, Place)>,
}

/// Reads the tree of a job file, and all files that it names.
pub(crate) fn read(walk: &mut Walk, files: &mut Files, tree: &Node) -> Content {
    let Some(main) = walk.fields(tree, &keys::FILE) else { return Default::default() };
    let include = main.get("include");
    let included = include.map(|node| include::read(walk, files, node)).unwrap_or_default();
    let mut parts = vec![Part { file: walk.file.clone(), folder: walk.folder.clone(), fields: main, rights: None }];
    for Included { file, folder, tree, rights } in &included {
        walk.enter(file, folder);
        let Some(fields) = walk.fields(tree, &keys::FILE) else { continue };
        rights.check(walk, &fields);
        parts.push(Part { file: file.clone(), folder: folder.clone(), fields, rights: Some(rights) });
    }
    let mut registries = Registries::default();
    let mut destinations = Destinations::default();
    let mut sets = TagSets::default();
    for part in &parts {
        walk.enter(&part.file, &part.folder);
        version(walk, &part.fields);
        if let Some(node) = part.get("registries") {
            registries.read(walk, node);
        }
        if let Some(node) = part.get("destinations") {
            destinations.read(walk, node);
        }
        if let Some(node) = part.get("tag_sets") {
            sets.read(walk, node);
        }
    }
    let Some(main) = parts.first() else { return Default::default() };
    walk.enter(&main.file, &main.folder);
    if let Some(node) = include {
        include::check_names(walk, node, &destinations);
    }
    if let Some(node) = main.get("network") {
        registries.access.network = access::network(walk, node);
    }
    let names = Names { destinations: &destinations, sets: &sets, may_use: None };
    let defaults = defaults(walk, &main.fields, names);
    let definitions = Definitions { names, defaults: &defaults, registries: &registries };
    let mut groups = groups(walk, files, &parts, definitions);
    let jobs = selected(walk, &parts, &groups);
    let of_groups = match &jobs {
        Some(jobs) => jobs::of_groups(walk, jobs, &groups),
        None => vec![Some(0); groups.len()],
    };
    collisions::check(walk, &groups, &of_groups);
    sets.warn_of_unused(walk);
    destinations.warn_of_unused(walk);
    warn_of_unused(walk, &groups, &registries);
    let skipped = groups.iter_mut().flat_map(|group| std::mem::take(&mut group.skipped)).collect();
    let jobs = jobs::assemble(jobs.unwrap_or_default(), groups, &of_groups);
    Content { jobs, access: registries.access, sets, skipped }
}

impl<'t> Part<'t> {
    /// The value of a key that the part may have.
    fn get(&self, key: &str) -> Option<&'t Node> {
        self.fields.get(key).filter(|_| self.rights.is_none_or(|rights| rights.allow(key)))
    }
}

fn version(walk: &mut Walk, fields: &Fields) {
    let mend = "write `version: 1`";
    match fields.get("version") {
        Some(node) if matches!(&node.value, Value::Typed(_, text) if text == "1") => {}
        Some(node) => walk.fault(node.position, RuleId::Version, "`version` is not 1", mend),
        None => walk.fault(fields.position, RuleId::MissingKey, "the file has no `version`", mend),
    }
}

/// What holds for all images: `defaults`, of which a `to` at the top is a short form.
fn defaults(walk: &mut Walk, main: &Fields, names: Names) -> Layer {
    let fields = main.get("defaults").and_then(|node| walk.fields(node, &keys::DEFAULTS));
    let mut defaults = fields.map(|fields| Layer::read(walk, &fields, names)).unwrap_or_default();
    let Some((key, node)) = main.entry("to") else { return defaults };
    let to = Layer::to(walk, node, names);
    if let Some(other) = defaults.to.replace(to) {
        let message = format!("`to` is in `defaults` too, in {}", other.place.seen_from(&walk.file));
        walk.fault(key.position, RuleId::DuplicateKey, message, "make one of both");
    }
    defaults
}

fn groups(walk: &mut Walk, files: &mut Files, parts: &[Part], definitions: Definitions) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places: BTreeMap<&str, Place> = BTreeMap::new();
    let mut is_empty = true;
    for part in parts {
        walk.enter(&part.file, &part.folder);
        if let Some(node) = part.get("images") {
            is_empty = false;
            groups.push(Group::unnamed(walk, node, definitions));
        }
        let Some(node) = part.get("groups") else { continue };
        is_empty = false;
        let may_use = part.rights.and_then(|rights| rights.may_use.as_ref());
        let definitions = Definitions { names: Names { may_use, ..definitions.names }, ..definitions };
        let example = "groups: { hub: { from: docker.io/library, images: { alpine: \">=3.18\" } } }";
        for (key, node) in walk.named(node, "`groups`", "a group", example) {
            if let Some(other) = places.get(key.text) {
                walk.defined_twice(key.position, &format!("the group `{}`", key.text), other);
                continue;
            }
            places.insert(key.text, walk.place(key.position));
            groups.extend(Group::read(walk, files, key, node, definitions));
        }
    }
    if let (true, Some(main)) = (is_empty, parts.first()) {
        walk.enter(&main.file, &main.folder);
        let mend = "write what to mirror, as in `images: { docker.io/library/alpine: \">=3.18\" }`";
        let message = "the file has neither `images` nor `groups`";
        walk.fault(main.fields.position, RuleId::MissingKey, message, mend);
    }
    groups
}

/// The jobs; none if no file has any.
fn selected(walk: &mut Walk, parts: &[Part], groups: &[Group]) -> Option<Vec<jobs::Selected>> {
    let mut selected: Option<Vec<jobs::Selected>> = None;
    for part in parts {
        walk.enter(&part.file, &part.folder);
        let Some(node) = part.get("jobs") else { continue };
        let selected = selected.get_or_insert_default();
        let example = "jobs: { nightly: { groups: [\"*\"] } }";
        for (key, node) in walk.named(node, "`jobs`", "a job", example) {
            if let Some(other) = selected.iter().find(|job| job.name == key.text) {
                walk.defined_twice(key.position, &format!("the job `{}`", key.text), &other.place);
                continue;
            }
            selected.push(jobs::read(walk, key, node, groups));
        }
    }
    let main = parts.first()?;
    if let (true, Some((key, _))) = (selected.is_some(), main.fields.entry("images")) {
        walk.enter(&main.file, &main.folder);
        let mend = "write them in a group, which jobs can name";
        walk.fault(key.position, RuleId::Jobs, "`images` outside of a group are in no job", mend);
    }
    selected
}

fn warn_of_unused(walk: &mut Walk, groups: &[Group], registries: &Registries) {
    let lines = groups.iter().flat_map(|group| &group.lines);
    let locations = lines.flat_map(|(source, line)| std::iter::once(source).chain(&line.destinations));
    for (pattern, place) in registries.unused(locations.map(RepositoryLocation::repository)) {
        let message = format!("no source and no destination uses the settings of `{pattern}`");
        walk.warn_at(place.clone(), RuleId::UnusedRegistry, message, "correct its name, or leave it out");
    }
}
