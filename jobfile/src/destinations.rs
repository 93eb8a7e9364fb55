//! `destinations`: places to mirror to that have a name, and `to`, which names them or says where itself.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::fault::{Place, RuleId};
use crate::keys;
use crate::template::Template;
use crate::tree::Node;
use crate::walk::{Key, Walk, closest, list};

/// Destinations by name.
#[derive(Default)]
pub(crate) struct Destinations(BTreeMap<String, Destination>);

struct Destination {
    place: Place,
    templates: Vec<Rc<Template>>,
    is_used: Cell<bool>,
}

impl Destinations {
    /// Reads `destinations` of a file, beside those of others.
    pub(crate) fn read(&mut self, walk: &mut Walk, node: &Node) {
        let example = "destinations: { harbor: { repositories: [\"harbor.example.com/{registry}/{path}\"] } }";
        for (Key { position, text }, node) in walk.named(node, "`destinations`", "a destination", example) {
            if let Some(other) = self.0.get(text) {
                walk.defined_twice(position, &format!("the destination `{text}`"), &other.place);
                continue;
            }
            let templates = self::templates(walk, node);
            let destination = Destination { place: walk.place(position), templates, is_used: Cell::new(false) };
            self.0.insert(text.to_owned(), destination);
        }
    }

    /// Reads `to`: names of destinations, and templates; `allowed` are the only names, where there is such a limit.
    pub(crate) fn to(&self, walk: &mut Walk, node: &Node, allowed: Option<&BTreeSet<String>>) -> Vec<Rc<Template>> {
        let mut templates = Vec::new();
        for node in walk.one_or_more(node, "`to`") {
            let Some(text) = walk.text(node, "`to`") else { continue };
            if let Some(allowed) = allowed.filter(|allowed| !allowed.contains(text)) {
                let names: Vec<_> = allowed.iter().map(String::as_str).collect();
                let message = format!("`{text}` is not among the destinations that this file may use");
                walk.fault(node.position, RuleId::MayUse, message, format!("it may use {}", list(&names)));
            } else if Template::is_template(text) {
                templates.extend(Template::read(walk, node, "`to`").map(Rc::new));
            } else if let Some(destination) = self.find(walk, node, text) {
                destination.is_used.set(true);
                templates.extend(destination.templates.iter().cloned());
            }
        }
        templates
    }

    /// Notes a name that is no destination.
    pub(crate) fn expect(&self, walk: &mut Walk, node: &Node, name: &str) {
        self.find(walk, node, name);
    }

    /// Warns of destinations that no `to` names.
    pub(crate) fn warn_of_unused(&self, walk: &mut Walk) {
        for (name, destination) in self.0.iter().filter(|(_, destination)| !destination.is_used.get()) {
            let message = format!("no `to` names the destination `{name}`");
            walk.warn_at(destination.place.clone(), RuleId::UnusedDestination, message, "use it, or leave it out");
        }
    }

    fn find(&self, walk: &mut Walk, node: &Node, name: &str) -> Option<&Destination> {
        let found = self.0.get(name);
        if found.is_none() {
            let known: Vec<_> = self.0.keys().map(String::as_str).collect();
            let mend = match closest(name, &known) {
                Some(close) => format!("did you mean `{close}`?"),
                None if known.is_empty() => "write it as in `registry.example.com/mirror/{path}`".to_owned(),
                None => format!("known are {}; a template has a `/`", list(&known)),
            };
            walk.fault(node.position, RuleId::Destination, format!("there is no destination `{name}`"), mend);
        }
        found
    }
}

fn templates(walk: &mut Walk, node: &Node) -> Vec<Rc<Template>> {
    let Some(fields) = walk.fields(node, &keys::DESTINATION) else { return Vec::new() };
    let Some(node) = fields.get("repositories") else {
        let mend = "write `repositories: registry.example.com/{registry}/{path}`";
        walk.fault(fields.position, RuleId::MissingKey, "a destination has no `repositories`", mend);
        return Vec::new();
    };
    let nodes = walk.one_or_more(node, "`repositories`");
    nodes.iter().filter_map(|node| Template::read(walk, node, "a value of `repositories`")).map(Rc::new).collect()
}
