//! `images` and `to`: which repositories, which of their tags, and where they go.

use std::collections::BTreeMap;
use std::path::Path;

use proto::{Content, ImageRef, Repository, Tag};

use crate::access::Registries;
use crate::fault::RuleId;
use crate::job::{Expect, Line, Source};
use crate::rules::{Rules, TagSets};
use crate::template::{RepositoryLocation, Template, layout_folder};
use crate::tree::{Node, Value};
use crate::walk::{Key, Walk};

/// Reads `images`, and expands the templates of `to` for each.
pub(crate) fn read(
    walk: &mut Walk,
    images: &Node,
    to: &[Template],
    registries: &Registries,
    sets: &TagSets,
) -> Vec<Source> {
    let mend = "write a map of repositories to tags, as in `docker.io/library/alpine: \">=3.18\"`";
    let entries = walk.entries(images, "`images`", mend).unwrap_or_default();
    if matches!(&images.value, Value::Map(map) if map.is_empty()) {
        walk.fault(images.position, RuleId::Value, "`images` is an empty map", mend);
    }
    let mut read: Vec<Source> = Vec::new();
    let mut lines: BTreeMap<RepositoryLocation, usize> = BTreeMap::new();
    for (key, node) in entries {
        let source = source(walk.folder, key.text);
        let may_pin = !matches!(source, Ok(RepositoryLocation::Layout { .. }));
        let rules = Rules::read(walk, node, sets, may_pin);
        let source = match source {
            Ok(source) => source,
            Err((message, mend)) => {
                walk.fault(key.position, RuleId::Source, message, mend);
                continue;
            }
        };
        if let Some(line) = lines.insert(source.clone(), key.position.line) {
            let message = format!("`{}` is the repository of line {line}", key.text);
            walk.fault(key.position, RuleId::DuplicateKey, message, "make one of both");
            continue;
        }
        let destinations = destinations(walk, key, &source, to, registries);
        let line = Line {
            group: None,
            owner: None,
            kind: proto::Kind::Image,
            rules,
            destinations,
            content: Content::default(),
            expect: Expect::default(),
            place: walk.place(key.position),
            settings: Vec::new(),
        };
        read.push(Source { location: source, lines: vec![line] });
    }
    collisions(walk, &read);
    read
}

/// Reads `to`: one template or a list of them.
pub(crate) fn templates(walk: &mut Walk, node: &Node) -> Vec<Template> {
    walk.one_or_more(node, "`to`").iter().filter_map(|node| Template::read(walk, node)).collect()
}

/// The repository that a key names. The error says what is wrong, and how to mend it.
fn source(folder: &Path, text: &str) -> Result<RepositoryLocation, (String, String)> {
    if text.starts_with("oci-archive:") {
        let mend = "copy it into a layout folder, and write `oci:PATH:REPOSITORY`";
        return Err((format!("`{text}` is a tar, which is no source of a job"), mend.to_owned()));
    }
    if text.contains("://") {
        return Err((format!("`{text}` is a URL"), "leave out the scheme".to_owned()));
    }
    let (path, name) = match text.strip_prefix("oci:").map(|rest| rest.split_once(':')) {
        None => (None, text),
        Some(Some((path, name))) if !path.is_empty() => match layout_folder(folder, path) {
            Ok(path) => (Some(path), name),
            Err((message, mend)) => return Err((format!("`{text}` is no source: {message}"), mend.to_owned())),
        },
        Some(_) => {
            let mend = "write `oci:PATH:REPOSITORY`, as in `oci:mirror:docker.io/library/alpine`";
            return Err((format!("`{text}` does not say which repository of the layout is meant"), mend.to_owned()));
        }
    };
    let error = match (name.parse::<Repository>(), path) {
        (Ok(repository), None) => return Ok(RepositoryLocation::Registry(repository)),
        (Ok(repository), Some(path)) => return Ok(RepositoryLocation::Layout { path, repository }),
        (Err(error), _) => error,
    };
    let Ok(ImageRef { repository, tag, digest }) = name.parse() else {
        return Err((error.to_string(), "write it as in `docker.io/library/alpine`".to_owned()));
    };
    let tag = tag.map_or("TAG".to_owned(), |tag| tag.to_string());
    let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
    let layout = text.strip_suffix(name).unwrap_or_default();
    Err((
        format!("`{text}` is an image, and a key of `images` is a repository"),
        format!("write `{layout}{repository}: \"{tag}{digest}\"`"),
    ))
}

/// Where the images of `source` go: each template expanded.
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
                let mend = "change the template, or the `name` of the registry";
                walk.fault(key.position, RuleId::Destination, message, mend);
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

/// What is known to go to one destination.
struct Claims<'i> {
    first: Claimant<'i>,
    /// The first of which a listing decides what it takes.
    listed: Option<Claimant<'i>>,
    /// Tags that are asked for by name.
    tags: BTreeMap<&'i Tag, Claimant<'i>>,
}

/// Who claims a destination.
type Claimant<'i> = (&'i Source, &'i Line);

/// Refuses two sources for one destination tag. Which tags a pattern takes is known only from a listing, so two sources
/// may share a repository only if both name their tags, and different ones.
fn collisions(walk: &mut Walk, sources: &[Source]) {
    let mut claims: BTreeMap<&RepositoryLocation, Claims> = BTreeMap::new();
    for (source, line) in sources.iter().flat_map(|source| source.lines.iter().map(move |line| (source, line))) {
        let claimant = (source, line);
        for destination in &line.destinations {
            let needs_listing = line.rules.need_listing();
            let Some(claim) = claims.get_mut(destination) else {
                let tags = line.rules.exact().map(|(tag, _)| (tag, claimant)).collect();
                let listed = needs_listing.then_some(claimant);
                claims.insert(destination, Claims { first: claimant, listed, tags });
                continue;
            };
            let shared = line.rules.exact().find_map(|(tag, _)| Some((tag, *claim.tags.get(tag)?)));
            let uncertain = if needs_listing { Some(claim.first) } else { claim.listed };
            let (what, other) = match (shared, uncertain) {
                (Some((tag, other)), _) => (format!("`{destination}:{tag}`"), Some(other)),
                (None, other) => (format!("`{destination}`"), other),
            };
            if let Some((other, Line { place, .. })) = other {
                let message = format!(
                    "{what} is the destination of `{}` and of `{}` in line {}",
                    source.location, other.location, place.position.line
                );
                let mend = "tell them apart by `{registry}` and `{path}` in `to`, or name different tags";
                walk.fault(line.place.position, RuleId::Collision, message, mend);
            }
            claim.listed = claim.listed.or(needs_listing.then_some(claimant));
            claim.tags.extend(line.rules.exact().map(|(tag, _)| (tag, claimant)));
        }
    }
}
