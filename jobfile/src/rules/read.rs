//! Reads selections of tags, and `tag_sets`.

mod versions;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use proto::{Digest, Tag};

pub(crate) use versions::NEWEST_MAX;

use super::Rules;
use super::rule::Rule;
use crate::fault::{Place, Position, RuleId};
use crate::tree::{Kind, Node, Value};
use crate::walk::{Key, Walk, closest, list};

/// `tag_sets`: selections that have a name.
#[derive(Debug, Default)]
pub(crate) struct TagSets(BTreeMap<String, TagSet>);

#[derive(Debug)]
struct TagSet {
    place: Place,
    /// None if it has faults.
    rules: Option<Rules>,
    is_used: AtomicBool,
}

impl TagSets {
    /// Reads `tag_sets` of a file, beside those of others.
    pub(crate) fn read(&mut self, walk: &mut Walk, node: &Node) {
        let mend = "write a map, as in `tag_sets: { stable: { versions: \">=0\", newest: { minors: 3 } } }`";
        for (Key { position, text }, node) in walk.entries(node, "`tag_sets`", mend).unwrap_or_default() {
            if let Some(other) = self.0.get(text) {
                walk.defined_twice(position, &format!("the tag set `{text}`"), &other.place);
                continue;
            }
            if !text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
                let message = format!("`{text}` is no name of a tag set");
                walk.fault(position, RuleId::TagSet, message, "write it in `a-z 0-9 -`, as in `stable`");
            }
            let rules = Rules::read_items(walk, node, &format!("the tag set `{text}`"), None);
            self.0.insert(
                text.to_owned(),
                TagSet { place: walk.place(position), rules, is_used: AtomicBool::new(false) },
            );
        }
    }

    /// Warns of sets that no selection named.
    pub(crate) fn warn_of_unused(&self, walk: &mut Walk) {
        for (name, set) in self.0.iter().filter(|(_, set)| !set.is_used.load(Relaxed)) {
            let message = format!("no selection of tags uses `${name}`");
            walk.warn_at(set.place.clone(), RuleId::UnusedTagSet, message, "use it, or leave it out");
        }
    }

    /// The rules of a set; none if it is not known, which is noted, or has faults.
    fn rules(&self, walk: &mut Walk, position: Position, name: &str) -> Option<&Rules> {
        if let Some(set) = self.0.get(name) {
            set.is_used.store(true, Relaxed);
            return set.rules.as_ref();
        }
        let known: Vec<_> = self.0.keys().map(String::as_str).collect();
        let mend = match closest(name, &known) {
            Some(close) => format!("did you mean `${close}`?"),
            None if known.is_empty() => format!("define it, as in `tag_sets: {{ {name}: \">=0\" }}`"),
            None => format!("define it in `tag_sets`, where there are {}", list(&known)),
        };
        walk.fault(position, RuleId::TagSet, format!("there is no tag set `{name}`"), mend);
        None
    }
}

impl Rules {
    /// Reads a selection of tags: a rule as text, or a list of rules as text, as maps, and of `$names` of sets.
    pub(crate) fn read(walk: &mut Walk, node: &Node, sets: &TagSets) -> Self {
        if let Value::Map(_) = &node.value {
            let mend = "write rules as a list, as in [{ versions: \">=3.18\", variants: [alpine] }]";
            walk.fault(node.position, RuleId::Type, "the selection of tags is a map", mend);
            return Self::default();
        }
        let Some(rules) = Self::read_items(walk, node, "the selection of tags", Some(sets)) else {
            return Self::default();
        };
        rules.check(walk, node.position);
        rules
    }

    /// Reads one rule or a list of them; `what` names them in faults. None if there are faults, which are noted.
    fn read_items(walk: &mut Walk, node: &Node, what: &str, sets: Option<&TagSets>) -> Option<Self> {
        if let Value::Typed(Kind::Nothing, _) = &node.value {
            let mend = "write a tag, a list of tags, or \"*\" for all";
            walk.fault(node.position, RuleId::Type, "no tags are given", mend);
            return None;
        }
        let items = walk.one_or_more(node, what);
        let mut rules = Self::default();
        let read = items.iter().filter_map(|item| rules.read_item(walk, item, sets)).count();
        (read > 0 && read == items.len()).then_some(rules)
    }

    /// Reads one rule, or the sets' rules for `$name`; without `sets`, within a set, where that is a fault.
    fn read_item(&mut self, walk: &mut Walk, node: &Node, sets: Option<&TagSets>) -> Option<()> {
        if let Value::Map(_) = &node.value {
            self.insert(versions::read(walk, node)?);
            return Some(());
        }
        let text = walk.text(node, "a tag")?;
        let Some(name) = text.strip_prefix('$') else {
            let rule = Rule::read(text);
            let fault = |(message, mend)| walk.fault(node.position, RuleId::TagRule, message, mend);
            self.insert(rule.map_err(fault).ok()?);
            return Some(());
        };
        let Some(sets) = sets else {
            let message = format!("`{text}` stands within a tag set, and sets name no other");
            let mend = "write its rules here, or name both sets where tags are selected";
            walk.fault(node.position, RuleId::TagSet, message, mend);
            return None;
        };
        let rules = sets.rules(walk, node.position, name)?;
        rules.take.iter().chain(&rules.remove).for_each(|rule| self.insert(rule.of_set(name)));
        Some(())
    }

    /// Adds a rule for exactly `tag`, and `digest` if it is pinned. The error says why it cannot be asked for, and how
    /// to mend it.
    pub(crate) fn add_exact(&mut self, tag: &Tag, digest: Option<&Digest>) -> Result<(), (String, String)> {
        let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
        self.insert(Rule::read(&format!("{tag}{digest}"))?);
        Ok(())
    }

    /// Notes what is wrong with the rules together.
    fn check(&self, walk: &mut Walk, position: Position) {
        if !self.take_something() {
            let mend = "write what to take too, as in [\"*\", \"!*-perl\"]";
            walk.fault(position, RuleId::TagRule, "only removals are given, so nothing is taken", mend);
        }
        let mut pins = BTreeMap::new();
        for (tag, digest) in self.exact() {
            if let Some(rule) = self.removed(tag) {
                let message = format!("`{tag}` is asked for, and removed by `{rule}`");
                walk.warn(position, RuleId::RemovedTag, message, "leave out one of both");
            }
            let Some(digest) = digest else { continue };
            if pins.insert(tag, digest).is_some_and(|other| other != digest) {
                let message = format!("`{tag}` is pinned to two digests");
                walk.fault(position, RuleId::TagRule, message, "leave out one of both");
            }
        }
    }
}
