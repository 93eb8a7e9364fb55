//! `images` and `to`: which repositories, which of their tags, and where they go.

use std::collections::{BTreeMap, BTreeSet};

use proto::{ImageRef, Location, Repository, Tag};

use crate::access::Registries;
use crate::fault::{Position, RuleId};
use crate::rules::{Rules, Taken};
use crate::template::{RepositoryLocation, Template};
use crate::tree::{Kind, Node, Value};
use crate::walk::{Key, Walk};

/// A repository to mirror: a line of `images`.
#[derive(Debug, Clone)]
pub struct Images {
    /// Where the images come from. No two lines have the same.
    pub source: RepositoryLocation,
    /// Where they go, one for each value of `to`, all different.
    pub destinations: Vec<RepositoryLocation>,
    /// Which tags.
    pub rules: Rules,
    /// Where the file says so.
    pub position: Position,
}

impl Images {
    /// The image that `taken` names, at its source.
    pub fn source_of(&self, taken: &Taken) -> Location {
        self.source.image(&taken.tag, taken.digest.as_ref())
    }

    /// The image under `tag`, at each destination.
    pub fn targets(&self, tag: &Tag) -> Vec<Location> {
        self.destinations.iter().map(|destination| destination.image(tag, None)).collect()
    }
}

/// Reads `images`, and expands `to` for each.
pub(crate) fn read(walk: &mut Walk, images: &Node, to: Option<&Node>, registries: &Registries) -> Vec<Images> {
    let templates = to.map(|node| templates(walk, node)).unwrap_or_default();
    let mend = "write a map of repositories to tags, as in `docker.io/library/alpine: \">=3.18\"`";
    let entries = walk.entries(images, "`images`", mend).unwrap_or_default();
    if entries.is_empty() && matches!(images.value, Value::Map(_)) {
        walk.fault(images.position, RuleId::Value, "`images` is an empty map", mend);
    }
    let mut read: Vec<Images> = Vec::new();
    let mut lines: BTreeMap<RepositoryLocation, usize> = BTreeMap::new();
    for (key, node) in entries {
        let source = source(walk, key);
        let rules = rules(walk, node, matches!(source, Some(RepositoryLocation::Registry(_))));
        let Some(source) = source else { continue };
        if let Some(line) = lines.insert(source.clone(), key.position.line) {
            let message = format!("`{}` is the repository of line {line}", key.text);
            walk.fault(key.position, RuleId::DuplicateKey, message, "make one of both");
            continue;
        }
        let destinations = destinations(walk, key, &source, &templates, registries);
        read.push(Images { source, destinations, rules, position: key.position });
    }
    collisions(walk, &read);
    read
}

fn templates(walk: &mut Walk, node: &Node) -> Vec<Template> {
    walk.one_or_more(node, "`to`").iter().filter_map(|node| Template::read(walk, node)).collect()
}

/// The repository that a key names.
fn source(walk: &mut Walk, key: Key) -> Option<RepositoryLocation> {
    let text = key.text;
    let mut refuse = |why: String, mend: String| {
        walk.faults.push(crate::Fault { position: key.position, rule: RuleId::Source, message: why, mend });
        None
    };
    if text.starts_with("oci-archive:") {
        let mend = "copy it into a layout folder, and write `oci:PATH:REPOSITORY`".to_owned();
        return refuse(format!("`{text}` is a tar, which is no source of a job"), mend);
    }
    let (path, name) = match text.strip_prefix("oci:").map(|rest| rest.split_once(':')) {
        Some(Some((path, name))) if !path.is_empty() => (Some(walk.folder.join(path)), name),
        Some(_) => {
            let mend = "write `oci:PATH:REPOSITORY`, as in `oci:mirror:docker.io/library/alpine`".to_owned();
            return refuse(format!("`{text}` does not say which repository of the layout is meant"), mend);
        }
        None => (None, text),
    };
    match (name.parse::<Repository>(), path) {
        (Ok(repository), None) => Some(RepositoryLocation::Registry(repository)),
        (Ok(repository), Some(path)) => Some(RepositoryLocation::Layout { path, repository }),
        (Err(error), _) => match name.parse::<ImageRef>() {
            // What follows the repository is the value here.
            Ok(ImageRef { repository, tag, digest }) => {
                let tag = tag.map_or("TAG".to_owned(), |tag| tag.to_string());
                let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
                refuse(
                    format!("`{text}` is an image, and a key of `images` is a repository"),
                    format!("write `{repository}: \"{tag}{digest}\"`"),
                )
            }
            Err(_) if name.contains("://") => refuse(format!("`{text}` is a URL"), "leave out the scheme".to_owned()),
            Err(_) => refuse(error.to_string(), "write it as in `docker.io/library/alpine`".to_owned()),
        },
    }
}

/// The rules that a value holds: one, or a list of them.
fn rules(walk: &mut Walk, node: &Node, may_pin: bool) -> Rules {
    let mut rules = Rules::default();
    if let Value::Typed(Kind::Nothing, _) = &node.value {
        walk.fault(node.position, RuleId::Type, "no tags are given", "write a tag, a list of tags, or \"*\" for all");
        return rules;
    }
    let before = walk.faults.len();
    for node in walk.one_or_more(node, "the selection of tags") {
        let Some(text) = walk.text(node, "a tag") else { continue };
        if let Err((message, mend)) = rules.add(text) {
            walk.fault(node.position, RuleId::TagRule, message, mend);
        }
    }
    if walk.faults.len() > before || matches!(node.value, Value::Refused) {
        return rules;
    }
    if !rules.take_something() {
        let mend = "write what to take too, as in [\"*\", \"!*-perl\"]";
        walk.fault(node.position, RuleId::TagRule, "only removals are given, so nothing is taken", mend);
    }
    let mut pins = BTreeMap::new();
    for (tag, digest) in rules.exact() {
        if let Some(rule) = rules.removed(tag) {
            let message = format!("`{tag}` is asked for, and removed by `{rule}`");
            walk.warn(node.position, RuleId::RemovedTag, message, "leave out one of both");
        }
        let Some(digest) = digest else { continue };
        if !may_pin {
            let message = format!("`{tag}` is pinned to a digest, and images of a layout are found by name");
            walk.fault(node.position, RuleId::TagRule, message, "leave out `@` and what follows");
        }
        if pins.insert(tag, digest).is_some_and(|other| other != digest) {
            let message = format!("`{tag}` is pinned to two digests");
            walk.fault(node.position, RuleId::TagRule, message, "leave out one of both");
        }
    }
    rules
}

fn destinations(
    walk: &mut Walk,
    key: Key,
    source: &RepositoryLocation,
    templates: &[Template],
    registries: &Registries,
) -> Vec<RepositoryLocation> {
    let mut destinations: Vec<RepositoryLocation> = Vec::new();
    for template in templates {
        let (text, line) = (&template.text, template.position.line);
        match template.expand(source.repository(), registries) {
            Err(error) => {
                let message = format!("`{text}` in line {line} gives no repository for this: {error}");
                walk.fault(key.position, RuleId::Destination, message, "change the template, or the `name` of the registry");
            }
            Ok(destination) if destination == *source => {
                let message = format!("`{text}` in line {line} sends this onto itself");
                walk.fault(key.position, RuleId::Collision, message, "change the template");
            }
            Ok(destination) if destinations.contains(&destination) => {
                let message = format!("two values of `to` send this to `{destination}`, the second in line {line}");
                walk.fault(key.position, RuleId::Collision, message, "leave out one of both");
            }
            Ok(destination) => destinations.push(destination),
        }
    }
    destinations
}

/// Refuses two sources for one destination tag. Which tags a pattern takes is known only from a listing, so two sources
/// may share a repository only if both name their tags, and different ones.
fn collisions(walk: &mut Walk, images: &[Images]) {
    let mut by_destination: BTreeMap<&RepositoryLocation, Vec<&Images>> = BTreeMap::new();
    for image in images {
        for destination in &image.destinations {
            let earlier = by_destination.entry(destination).or_default();
            for other in earlier.iter() {
                let (line, source) = (other.position.line, &other.source);
                let exact: BTreeSet<&Tag> = other.rules.exact().map(|(tag, _)| tag).collect();
                let shared = image.rules.exact().map(|(tag, _)| tag).find(|tag| exact.contains(tag));
                let what = match shared {
                    Some(tag) => format!("`{destination}:{tag}`"),
                    None if image.rules.need_listing() || other.rules.need_listing() => format!("`{destination}`"),
                    None => continue,
                };
                let message = format!("{what} is the destination of `{}` and of `{source}` in line {line}", image.source);
                let mend = "tell them apart by `{registry}` and `{path}` in `to`, or name different tags";
                walk.fault(image.position, RuleId::Collision, message, mend);
            }
            earlier.push(image);
        }
    }
}
