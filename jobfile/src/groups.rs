//! `groups` and `images`: which repositories, and what is said of each.

use std::collections::{BTreeMap, BTreeSet};

use proto::{Digest, Tag};

use crate::access::Registries;
use crate::fault::{Place, Position, RuleId};
use crate::files::Files;
use crate::job::Line;
use crate::keys;
use crate::layers::{Given, Layer, Names};
use crate::lines::{Named, line};
use crate::lists;
use crate::rules::Rules;
use crate::source::{self, From};
use crate::template::RepositoryLocation;
use crate::tree::{Kind, Node, Value};
use crate::walk::{Fields, Key, Walk};

/// A group, with a line for each repository that it names.
pub(crate) struct Group {
    /// None for the `images` of a file without groups.
    pub(crate) name: Option<String>,
    pub(crate) place: Place,
    pub(crate) lines: Vec<(RepositoryLocation, Line)>,
    /// Repositories that it says to skip, each with the place where it does.
    pub(crate) skipped: Vec<(RepositoryLocation, Place)>,
}

/// What groups are read with.
#[derive(Clone, Copy)]
pub(crate) struct Definitions<'d> {
    pub(crate) names: Names<'d>,
    pub(crate) defaults: &'d Layer,
    pub(crate) registries: &'d Registries,
}

impl Group {
    /// Reads a group.
    pub(crate) fn read(
        walk: &mut Walk,
        files: &mut Files,
        key: Key,
        node: &Node,
        definitions: Definitions,
    ) -> Option<Self> {
        let fields = walk.fields(node, &keys::GROUP)?;
        let layer = Layer::read(walk, &fields, definitions.names);
        let own_tags = layer.tags.as_ref().map(|tags| tags.place.clone());
        let layer = layer.over(definitions.defaults);
        let group = Self {
            name: Some(key.text.to_owned()),
            place: walk.place(key.position),
            lines: Vec::new(),
            skipped: Vec::new(),
        };
        let mut reader = Reader { group, layer, skipped: BTreeSet::new(), definitions };
        match (from(walk, &fields), fields.get("images")) {
            // What stands below a prefix that cannot be read cannot be judged.
            (Err(()), _) => {}
            (Ok(Some(From::Image { location, tag, digest })), _) => {
                if let Some(place) = own_tags {
                    let message = "`from` names a tag, and `tags` too";
                    walk.fault_at(place, RuleId::Value, message, "leave out one of both");
                }
                reader.image(walk, &fields, location, &tag, digest.as_ref());
            }
            (Ok(Some(From::Prefix(from))), Some(node)) => reader.images(walk, node, Some(&from)),
            (Ok(None), Some(node)) => reader.images(walk, node, None),
            (Ok(_), None) if fields.get("lists").is_none() => {
                let message = format!("the group `{}` names no images", key.text);
                let mend = "write its `images` or `lists`, or one image with its tag as `from`";
                walk.fault(key.position, RuleId::MissingKey, message, mend);
            }
            (Ok(_), None) => {
                for (key, _) in fields.entries().filter(|(key, _)| ["from", "tags"].contains(&key.text)) {
                    let message = format!("`{}` says something of `images`, and there are only lists", key.text);
                    walk.fault(key.position, RuleId::Value, message, "leave it out: lists name tags themselves");
                }
            }
        }
        if let Some(node) = fields.get("lists") {
            let mut rows = lists::read(walk, files, node);
            rows.retain(|(source, ..)| !reader.skipped.contains(source));
            for (source, place, tags) in rows {
                let layer = Layer { tags: Some(tags), ..reader.layer.clone() };
                reader.add(walk, source, &place, &layer);
            }
        }
        Some(reader.finish(walk))
    }

    /// Reads the `images` of a file without groups.
    pub(crate) fn unnamed(walk: &mut Walk, node: &Node, definitions: Definitions) -> Self {
        let place = walk.place(Position::START);
        let group = Self { name: None, place, lines: Vec::new(), skipped: Vec::new() };
        let layer = definitions.defaults.clone();
        let mut reader = Reader { group, layer, skipped: BTreeSet::new(), definitions };
        reader.images(walk, node, None);
        reader.finish(walk)
    }
}

/// What `from` says; the error is noted.
fn from(walk: &mut Walk, fields: &Fields) -> Result<Option<From>, ()> {
    let Some(node) = fields.get("from") else { return Ok(None) };
    let text = walk.text(node, "`from`").ok_or(())?;
    let from = From::read(&walk.folder, text, fields.get("images").is_some());
    from.map(Some).map_err(|(message, mend)| walk.fault(node.position, RuleId::Source, message, mend))
}

struct Reader<'d> {
    group: Group,
    /// What holds for all of the group.
    layer: Layer,
    /// What the group leaves out, of its lists too.
    skipped: BTreeSet<RepositoryLocation>,
    definitions: Definitions<'d>,
}

impl Reader<'_> {
    fn images(&mut self, walk: &mut Walk, node: &Node, from: Option<&str>) {
        let mend = "write a map of repositories to tags, as in `docker.io/library/alpine: \">=3.18\"`";
        let entries = walk.entries(node, "`images`", mend).unwrap_or_default();
        if matches!(&node.value, Value::Map(map) if map.is_empty()) {
            walk.fault(node.position, RuleId::Value, "`images` is an empty map", mend);
        }
        let mut lines: BTreeMap<RepositoryLocation, usize> = BTreeMap::new();
        for (key, node) in entries {
            let layer = self.layer_of(walk, node);
            let source = match source::repository(&walk.folder, from, key.text) {
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
            let place = walk.place(key.position);
            match layer {
                Some(layer) => self.add(walk, source, &place, &layer),
                None => {
                    self.skipped.insert(source.clone());
                    self.group.skipped.push((source, place));
                }
            }
        }
    }

    /// What is in force for an image: nothing of its own, its tags, or a map of settings; none to skip it.
    fn layer_of(&self, walk: &mut Walk, node: &Node) -> Option<Layer> {
        let names = self.definitions.names;
        let own = match &node.value {
            Value::Typed(Kind::Nothing, _) => Layer::default(),
            Value::Text(text) if text == "skip" => return None,
            Value::Map(map) if !is_rule(map) => {
                let fields = walk.fields(node, &keys::IMAGE);
                fields.map(|fields| Layer::read(walk, &fields, names)).unwrap_or_default()
            }
            _ => Layer { tags: Some(Layer::tags(walk, node, names)), ..Layer::default() },
        };
        Some(own.over(&self.layer))
    }

    /// The one image that `from` names.
    fn image(
        &mut self,
        walk: &mut Walk,
        fields: &Fields,
        source: RepositoryLocation,
        tag: &Tag,
        digest: Option<&Digest>,
    ) {
        let Some((key, _)) = fields.entry("from") else { return };
        let mut rules = Rules::default();
        if let Err((message, mend)) = rules.add_exact(tag, digest) {
            return walk.fault(key.position, RuleId::TagRule, message, mend);
        }
        let place = walk.place(key.position);
        let layer = Layer { tags: Some(Given::tags(rules, place.clone())), ..self.layer.clone() };
        self.add(walk, source, &place, &layer);
    }

    /// The group, of which something should be left.
    fn finish(self, walk: &mut Walk) -> Group {
        if self.group.lines.is_empty() && !self.skipped.is_empty() && walk.faults.is_empty() {
            let (place, mend) = (self.group.place.clone(), "leave it out, or skip less of it");
            walk.warn_at(place, RuleId::UnusedGroup, "all images here are skipped, so nothing is mirrored", mend);
        }
        self.group
    }

    fn add(&mut self, walk: &mut Walk, source: RepositoryLocation, place: &Place, layer: &Layer) {
        let named = Named { source: &source, place, group: self.group.name.as_deref(), home: &self.group.place };
        if let Some(line) = line(walk, named, layer, self.definitions.registries) {
            self.group.lines.push((source, line));
        }
    }
}

/// Whether a map is a rule for tags, which stands in a list.
fn is_rule(map: &[(Node, Node)]) -> bool {
    let mut keys = map.iter().filter_map(|(key, _)| if let Value::Text(text) = &key.value { Some(text) } else { None });
    keys.any(|key| keys::RULE.has(key))
}
