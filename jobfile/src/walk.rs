//! Reads values of known types out of the tree, and notes a fault where there is another.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::Repository;

use crate::fault::{Fault, Place, Position, RuleId};
use crate::keys::Table;
use crate::tree::{Kind, Node, Value};

/// Goes through files and collects what is wrong with them.
pub(crate) struct Walk {
    /// The folder of the file that is read: relative paths begin there.
    pub(crate) folder: PathBuf,
    /// The file that is read, as it is named in faults.
    pub(crate) file: Arc<Path>,
    pub(crate) faults: Vec<Fault>,
    /// What is odd, but may be meant.
    pub(crate) warnings: Vec<Fault>,
}

/// The values of a map whose keys are fixed.
pub(crate) struct Fields<'t> {
    /// Where the map stands.
    pub(crate) position: Position,
    entries: Vec<(Key<'t>, &'t Node)>,
    table: &'static Table,
}

impl<'t> Fields<'t> {
    /// The value of a key, if it was given.
    pub(crate) fn get(&self, key: &str) -> Option<&'t Node> {
        self.entry(key).map(|(_, node)| node)
    }

    /// A key and its value, if it was given.
    pub(crate) fn entry(&self, key: &str) -> Option<(Key<'t>, &'t Node)> {
        debug_assert!(self.table.has(key), "`{key}` is no key of {}", self.table.what);
        self.entries.iter().find(|(name, _)| name.text == key).copied()
    }

    /// All that was given.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Key<'t>, &'t Node)> {
        self.entries.iter().copied()
    }
}

impl Walk {
    /// Goes on with another file.
    pub(crate) fn enter(&mut self, file: &Arc<Path>, folder: &Path) {
        self.file = file.clone();
        self.folder = folder.to_owned();
    }

    /// A position in the file that is read.
    pub(crate) fn place(&self, position: Position) -> Place {
        Place { file: self.file.clone(), position }
    }

    pub(crate) fn fault(
        &mut self,
        position: Position,
        rule: RuleId,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.fault_at(self.place(position), rule, message, mend);
    }

    pub(crate) fn fault_at(&mut self, place: Place, rule: RuleId, message: impl Into<String>, mend: impl Into<String>) {
        self.faults.push(Fault { place, rule, message: message.into(), mend: mend.into() });
    }

    pub(crate) fn warn(
        &mut self,
        position: Position,
        rule: RuleId,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.warn_at(self.place(position), rule, message, mend);
    }

    pub(crate) fn warn_at(&mut self, place: Place, rule: RuleId, message: impl Into<String>, mend: impl Into<String>) {
        self.warnings.push(Fault { place, rule, message: message.into(), mend: mend.into() });
    }

    /// Notes that `what` is defined here, and already at `other`.
    pub(crate) fn defined_twice(&mut self, position: Position, what: &str, other: &Place) {
        let message = format!("{what} is already given in {}", other.seen_from(&self.file));
        self.fault(position, RuleId::DuplicateKey, message, "make one of both");
    }

    /// A map with the keys of `table` and no other.
    pub(crate) fn fields<'t>(&mut self, node: &'t Node, table: &'static Table) -> Option<Fields<'t>> {
        let (what, known) = (table.what, table.names());
        let mut entries = Vec::new();
        for (key, value) in self.entries(node, what, &format!("write a map of {}", list(&known)))? {
            if known.contains(&key.text) {
                entries.push((key, value));
                continue;
            }
            let mend = match closest(key.text, &known) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("known are {}", list(&known)),
            };
            self.fault(key.position, RuleId::UnknownKey, format!("`{}` is no key of {what}", key.text), mend);
        }
        Some(Fields { position: node.position, entries, table })
    }

    /// The same, of which at least one is given.
    pub(crate) fn filled<'t>(&mut self, node: &'t Node, table: &'static Table) -> Option<Fields<'t>> {
        if matches!(&node.value, Value::Map(map) if map.is_empty()) {
            let mend = format!("write some of {}", list(&table.names()));
            self.fault(node.position, RuleId::Value, format!("{} is an empty map", table.what), mend);
        }
        self.fields(node, table)
    }

    /// The entries of a map of things that have names; others are noted, and left out.
    pub(crate) fn named<'t>(
        &mut self,
        node: &'t Node,
        what: &'static str,
        thing: &'static str,
        example: &str,
    ) -> Vec<(Key<'t>, &'t Node)> {
        let mend = format!("write a map, as in `{example}`");
        let entries = self.entries(node, what, &mend).unwrap_or_default();
        if matches!(&node.value, Value::Map(map) if map.is_empty()) {
            self.fault(node.position, RuleId::Value, format!("{what} is an empty map"), mend);
        }
        let is_name = |(key, _): &(Key, &Node)| {
            let fits = is_path_part(key.text);
            if !fits {
                let message = format!("`{}` is no name for {thing}", key.text);
                self.fault(key.position, RuleId::Value, message, NAME);
            }
            fits
        };
        entries.into_iter().filter(is_name).collect()
    }

    /// The entries of a map with any keys that are text.
    pub(crate) fn entries<'t>(&mut self, node: &'t Node, what: &str, mend: &str) -> Option<Vec<(Key<'t>, &'t Node)>> {
        let Value::Map(map) = &node.value else {
            self.wrong_type(node, what, "a map", mend);
            return None;
        };
        let keys = map.iter().filter_map(|(key, value)| {
            let text = self.text(key, &format!("a key of {what}"))?;
            Some((Key { position: key.position, text }, value))
        });
        Some(keys.collect())
    }

    /// Text that no YAML tool takes for something else, and that holds no credentials: references may be written like
    /// URLs.
    pub(crate) fn text<'t>(&mut self, node: &'t Node, what: &str) -> Option<&'t str> {
        let text = self.words(node, what)?;
        if matches!(proto::image::without_credentials(text), Cow::Owned(_)) {
            let message = format!("{what} holds credentials in clear text");
            self.fault(node.position, RuleId::ClearSecret, message, "leave them out, and change the secret");
            return None;
        }
        Some(text)
    }

    /// Text for people, as it may stand on a terminal and in a report.
    pub(crate) fn words<'t>(&mut self, node: &'t Node, what: &str) -> Option<&'t str> {
        match &node.value {
            Value::Text(text) if text.chars().any(char::is_control) => {
                let message = format!("{what} holds a control character or a line end");
                self.fault(node.position, RuleId::Value, message, "write it on one line, without control characters");
            }
            Value::Text(text) if text.is_empty() => {
                self.fault(
                    node.position,
                    RuleId::Value,
                    format!("{what} is empty"),
                    "write a value, or leave the key out",
                );
            }
            Value::Text(text) => return Some(text),
            Value::Typed(Kind::Nothing, text) if text.is_empty() => {
                self.fault(node.position, RuleId::Type, format!("{what} has no value"), "write one");
            }
            Value::Typed(_, text) => {
                let message = format!("`{text}` without quotes is {} to YAML, and {what} is text", node.value.kind());
                self.fault(node.position, RuleId::Unquoted, message, format!("quote it: \"{text}\""));
            }
            _ => self.wrong_type(node, what, "text", "write text"),
        }
        None
    }

    /// One value, or the values of a list that is not empty.
    pub(crate) fn one_or_more<'t>(&mut self, node: &'t Node, what: &str) -> &'t [Node] {
        match &node.value {
            Value::List(list) if list.is_empty() => {
                self.fault(
                    node.position,
                    RuleId::Value,
                    format!("{what} is an empty list"),
                    "write at least one value",
                );
                &[]
            }
            Value::List(list) => list,
            _ => std::slice::from_ref(node),
        }
    }

    /// `true` or `false`, and none of the other words that some tools take for them.
    pub(crate) fn flag(&mut self, node: &Node, what: &str) -> bool {
        match &node.value {
            Value::Typed(Kind::Boolean, text) if text == "true" => return true,
            Value::Typed(Kind::Boolean, text) if text == "false" => {}
            Value::Typed(Kind::Boolean, text) => {
                let message = format!("`{text}` is a boolean to some YAML tools only");
                self.fault(node.position, RuleId::Value, message, "write `true` or `false`");
            }
            _ => self.wrong_type(node, what, "a boolean", "write `true` or `false`"),
        }
        false
    }

    /// A whole number within `range`.
    pub(crate) fn number(&mut self, node: &Node, what: &str, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
        let mend = format!("write a whole number from {} to {}", range.start(), range.end());
        let Value::Typed(Kind::Number, text) = &node.value else {
            self.wrong_type(node, what, "a number", &mend);
            return None;
        };
        let number = text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.fault(node.position, RuleId::Value, format!("`{text}` is out of range for {what}"), mend);
        }
        number
    }

    /// A file; relative to the folder of the job file.
    pub(crate) fn path(&mut self, node: &Node, what: &str) -> Option<PathBuf> {
        self.text(node, what).map(|path| self.folder.join(path))
    }

    /// Says that a value has another type than its key; never what it is, for it may be a secret.
    pub(crate) fn wrong_type(&mut self, node: &Node, what: &str, expected: &str, mend: &str) {
        let message = format!("{what} is {}, expected {expected}", node.value.kind());
        self.fault(node.position, RuleId::Type, message, mend);
    }
}

/// A key of a map.
#[derive(Clone, Copy)]
pub(crate) struct Key<'t> {
    pub(crate) position: Position,
    pub(crate) text: &'t str,
}

/// The form of names: they become parts of repositories, and of folders.
const NAME: &str = "write lower-case letters and digits, with `-`, `_` or `.` between them";

/// Whether the text can be one part of a repository's path.
pub(crate) fn is_path_part(text: &str) -> bool {
    !text.contains('/') && format!("localhost/{text}").parse::<Repository>().is_ok()
}

/// The known word that was probably meant.
pub(crate) fn closest<'k>(text: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |word: &&'k str| strsim::damerau_levenshtein(text, word);
    known.iter().copied().min_by_key(distance).filter(|word| distance(word) <= 1 + word.len() / 4)
}

/// Words as `a`, `b`, `c`.
pub(crate) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
