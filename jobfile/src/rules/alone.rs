//! Rules for tags that stand in no job file, as on a command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Rules, TagSets};
use crate::JobFile;
use crate::fault::{Fault, Faults, Place, Position};
use crate::tree::{self, Node, Value};
use crate::walk::Walk;

impl Rules {
    /// Reads rules, each as text (`>=3.18`, `!*-perl`) or as a map (`{ versions: ">=3.18", variants: [alpine] }`), which a job file would
    /// hold in one list. `$names` are those of the tag sets of `file`.
    ///
    /// # Errors
    /// All that is wrong with them. `what` stands for their place in faults, and a line is the number of a rule.
    pub fn parse_all(texts: &[String], what: &str, file: Option<&JobFile>) -> Result<Self, Faults> {
        let none = TagSets::default();
        let sets = file.map_or(&none, |file| &file.sets);
        let file: Arc<Path> = Path::new(what).into();
        let mut walk = Walk { folder: PathBuf::new(), file: file.clone(), faults: Vec::new(), warnings: Vec::new() };
        let mut list = Vec::new();
        for (text, line) in texts.iter().zip(1..) {
            match item(text, &file, line, &mut walk.faults) {
                Ok(node) => list.push(node),
                Err(fault) => walk.faults.push(at_line(fault, line)),
            }
        }
        let position = Position { line: 1, column: 1 };
        let rules = if walk.faults.is_empty() {
            Self::read(&mut walk, &Node { position, value: Value::List(list) }, sets)
        } else {
            Self::default()
        };
        if walk.faults.is_empty() { Ok(rules) } else { Err(Faults::new(walk.faults)) }
    }
}

/// One rule. Only a map is YAML: a shell has taken the quotes away that `!edge` and `>=3` need there. A `:` is in no
/// glob, so `{a,b}` is none.
fn item(text: &str, file: &Arc<Path>, line: usize, faults: &mut Vec<Fault>) -> Result<Node, Fault> {
    let mut node = if text.starts_with('{') && text.contains(':') {
        tree::read(text, file, faults)?
    } else {
        Node { position: Position { line, column: 1 }, value: Value::Text(text.to_owned()) }
    };
    node.position.line = line;
    Ok(node)
}

fn at_line(fault: Fault, line: usize) -> Fault {
    let position = Position { line, ..fault.place.position };
    Fault { place: Place { position, ..fault.place }, ..fault }
}
