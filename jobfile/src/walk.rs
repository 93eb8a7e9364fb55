//! Reads values of known types out of the tree, and notes a fault where there is another.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fault::{Fault, Place, Position, RuleId};
use crate::tree::{Kind, Node, Value};

/// Goes through a file and collects what is wrong with it.
pub(crate) struct Walk<'a> {
    /// The folder of the file: relative paths begin there.
    pub(crate) folder: &'a Path,
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
    entries: Vec<(&'t str, &'t Node)>,
}

impl<'t> Fields<'t> {
    /// The value of a key, if it was given.
    pub(crate) fn get(&self, key: &str) -> Option<&'t Node> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, node)| *node)
    }
}

impl Walk<'_> {
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
        let place = self.place(position);
        self.faults.push(Fault { place, rule, message: message.into(), mend: mend.into() });
    }

    pub(crate) fn warn(
        &mut self,
        position: Position,
        rule: RuleId,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        let place = self.place(position);
        self.warnings.push(Fault { place, rule, message: message.into(), mend: mend.into() });
    }

    /// A map with these keys and no other; `what` names the map in faults.
    pub(crate) fn fields<'t>(&mut self, node: &'t Node, what: &str, known: &[&str]) -> Option<Fields<'t>> {
        let mut entries = Vec::new();
        for (key, value) in self.entries(node, what, &format!("write a map of {}", list(known)))? {
            if known.contains(&key.text) {
                entries.push((key.text, value));
                continue;
            }
            let mend = match closest(key.text, known) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("known are {}", list(known)),
            };
            self.fault(key.position, RuleId::UnknownKey, format!("`{}` is no key of {what}", key.text), mend);
        }
        Some(Fields { position: node.position, entries })
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

    /// Text that no YAML tool takes for something else.
    pub(crate) fn text<'t>(&mut self, node: &'t Node, what: &str) -> Option<&'t str> {
        match &node.value {
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

/// The known word that was probably meant.
pub(crate) fn closest<'k>(text: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |word: &&'k str| strsim::damerau_levenshtein(text, word);
    known.iter().copied().min_by_key(distance).filter(|word| distance(word) <= 1 + word.len() / 4)
}

/// Words as `a`, `b`, `c`.
pub(crate) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
